"""What can go wrong with a session's file, and how it is told: by the path the caller gave.

The builtins where they fit (`FileNotFoundError`, `IsADirectoryError`, `PermissionError` ...), and
two of our own. None of them ever holds a path of the server.
"""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager

from paddock.errors import PaddockError

__all__ = ["Refused", "TooLarge", "naming"]


class Refused(PaddockError, OSError):
    """Something that is not done, whatever the permissions.

    The path leads out of the tree or through a link that is not followed, what it names is not a
    regular file, or an archive wants what an archive may not.
    """


class TooLarge(PaddockError, OSError):
    """Too many bytes or too many entries."""


@contextmanager
def naming(path: bytes, second: bytes | None = None) -> Generator[None]:
    """Give failures inside the path that the caller knows, as `named` does."""
    try:
        yield
    except OSError as exc:
        known = named(exc, path, second)
        if known is exc:
            raise
        raise known from exc


def named(exc: OSError, path: bytes, second: bytes | None = None) -> OSError:
    """Return a failure with the path that the caller knows.

    The innermost name stays. Everything below works with bytes, so that a name that is a `str` is
    one that was given here.
    """
    if isinstance(exc.filename, str):
        return exc
    number, text = exc.errno or errno.EIO, exc.strerror or str(exc)
    kind = type(exc)
    if number in _LEADS_OUT and not isinstance(exc, (Refused, TooLarge)):
        kind, text = Refused, _LEADS_OUT[number]
    name = os.fsdecode(path) or "."
    if second is None:
        return kind(number, text, name)
    return kind(number, text, name, None, os.fsdecode(second) or ".")


_LEADS_OUT = {
    errno.EXDEV: "The path leads out of the tree",
    errno.ELOOP: "The path goes through a link that is not followed, or through too many",
}
