"""Writing a tar archive of what is in a tree."""

import errno
import io
import os
import tarfile
from collections.abc import Collection
from dataclasses import dataclass
from typing import BinaryIO, Final

from paddock.sandbox.files.budget import Bounds
from paddock.sandbox.files.content import read_up_to
from paddock.sandbox.files.entries import PASSED_OVER, Entry, walk
from paddock.sandbox.files.errors import Refused, TooLarge, named
from paddock.sandbox.files.tree import PERMISSIONS, Tree, opened

__all__ = ["Packed", "pack"]

BLOCK: Final = tarfile.BLOCKSIZE
END: Final = bytes(2 * BLOCK)


@dataclass(frozen=True, slots=True)
class Packed:
    """A tree as an archive.

    Attributes:
        data: The archive; empty when it was written to a file.
        entries: How many entries it has.
        skipped: What is not in it, and why: closed to the session itself, gone meanwhile, too
            large, not a regular file.
    """

    data: bytes
    entries: int
    skipped: dict[str, str]


def pack(
    tree: Tree, top: bytes, into: BinaryIO | None, bounds: Bounds, *, skip: Collection[str]
) -> Packed:
    """Write what is below a directory; the same bytes for the same content.

    Owners are left out, and the times of all but files. Names that a tree gives to the same file
    become files of their own.
    """
    walked = walk(tree, top, max_entries=bounds.entries, skip=skip)
    skipped = dict(walked.skipped)
    memory = io.BytesIO()
    out = memory if into is None else into
    written = count = 0

    def write(data: bytes) -> None:
        nonlocal written
        written += len(data)
        if written > bounds.archive_bytes:
            raise TooLarge(errno.EFBIG, f"There are more than {bounds.archive_bytes} bytes")
        out.write(data)

    strip = len(top) + 1 if top else 0
    with opened(tree.directory(top)) as fd:
        inside = Tree(fd, tree.budget, links=False)
        for entry in walked.entries:
            tree.budget.check()
            name = os.fsencode(entry.path)[strip:]
            data, mode, mtime = b"", entry.mode, 0
            try:
                if entry.kind == "file":
                    data, mode, mtime = _file(inside, name, bounds.file_bytes)
                elif entry.kind == "other":
                    raise Refused(errno.EINVAL, "Not a regular file")
            except OSError as exc:
                why = named(exc, os.fsencode(entry.path))
                if not isinstance(exc, (Refused, TooLarge)) and exc.errno not in PASSED_OVER:
                    raise why from exc
                skipped[entry.path] = why.strerror or str(why)
                continue
            write(_header(name, entry, len(data), mode, mtime))
            write(data + bytes(-len(data) % BLOCK))
            count += 1
        write(END)
    return Packed(memory.getvalue(), count, skipped)


def _file(inside: Tree, name: bytes, cap: int) -> tuple[bytes, int, int]:
    fd, found = inside.regular(name)
    with opened(fd):
        data = read_up_to(fd, found.st_size, inside.budget, cap=cap)
    return data, found.st_mode, int(found.st_mtime)


def _header(name: bytes, entry: Entry, size: int, mode: int, mtime: int) -> bytes:
    info = tarfile.TarInfo(os.fsdecode(name))
    info.type = _TYPES[entry.kind]
    info.size, info.mode, info.mtime = size, mode & PERMISSIONS, mtime
    info.linkname = entry.target or ""
    # GNU's headers take any bytes in a name as they are, and every tar reads them.
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


_TYPES = {"file": tarfile.REGTYPE, "directory": tarfile.DIRTYPE, "symlink": tarfile.SYMTYPE}
