"""Paths in a tree: bytes, relative to it, taken apart by their letters alone."""

import errno
import os
from typing import Final

from paddock.sandbox.files.errors import Refused

__all__ = ["PATH_MAX", "StrPath", "encoded", "joined", "parts_of", "raw", "split"]

StrPath = str | os.PathLike[str]

PATH_MAX: Final = 4095
"""Bytes of a path; the kernel takes no longer one."""


def encoded(path: StrPath) -> bytes:
    """Turn a caller's path into bytes, without what makes no difference; the tree itself is empty.

    Raises:
        Refused: It is absolute, or no file can have it.
    """
    name = raw(path)
    if name.startswith(b"/"):
        raise Refused(errno.EXDEV, "Not a path relative to the tree", os.fspath(path))
    return b"/".join(parts_of(name))


def raw(path: StrPath) -> bytes:
    """Turn text that the kernel is to take as a path into bytes.

    Raises:
        Refused: No path can have this text.
    """
    try:
        name = os.fsencode(path)
    except UnicodeEncodeError as exc:
        raise Refused(errno.EINVAL, f"Not a path: {exc.reason}", ascii(path)) from None
    if b"\0" in name:
        raise Refused(errno.EINVAL, "A path cannot have a NUL in it", os.fspath(path))
    return name


def joined(above: bytes, below: bytes) -> bytes:
    """Put two paths together."""
    return above + b"/" + below if above and below else above or below


def parts_of(path: bytes) -> list[bytes]:
    """Take a path apart."""
    return [part for part in path.split(b"/") if part not in (b"", b".")]


def split(path: bytes) -> tuple[bytes, bytes]:
    """Split a path into a directory and a name in it.

    Raises:
        IsADirectoryError: It names the tree itself.
        Refused: It ends in ``..``, which is no name.
    """
    parts = parts_of(path)
    if not parts:
        raise IsADirectoryError(errno.EISDIR, "This is the tree itself")
    if parts[-1] == b"..":
        raise Refused(errno.EINVAL, "The path ends in '..', which is nothing's name")
    return b"/".join(parts[:-1]), parts[-1]
