"""Removing what a session left, or is still at work in.

A tree can be 10,000 directories deep, so nothing here goes down: what is in a directory is removed,
directories in it that are not empty are moved up next to it, and it goes. The only state is on the
disk, at most three descriptors are open, and a removal that ran out of time can be called again.

Everything goes by a name that is not followed, in an open directory, as the session. Should it move
a directory away at that moment, it loses what it could have removed itself.
"""

import errno
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path

from paddock.sandbox.files.budget import Budget
from paddock.sandbox.files.entries import names_in
from paddock.sandbox.files.identity import Identity, acting_as
from paddock.sandbox.files.tree import chmod, opened

__all__ = ["remove_directory", "remove_tree"]

_RACED = frozenset(
    {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR, errno.EISDIR, errno.ELOOP}
)
"""It was another a moment ago: look again, as long as there is time."""

_O_PATH = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_O_RDONLY = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK | os.O_CLOEXEC


def remove_tree(path: Path, identity: Identity, time_budget_s: float) -> bool:
    """Remove a directory that a session has, or had, the use of.

    For a worker thread. The path is the server's own and trusted; the directory itself goes by the
    server's hand, as its parent is not the session's to change.

    Args:
        path: What to remove; links below it are not followed, nor is it one itself.
        identity: As whom to remove what is in it.
        time_budget_s: How long to go on.

    Returns:
        Whether it is gone. If not, time ran out, and another call goes on.

    Raises:
        PermissionError: What is left is not the identity's. Once nobody is in it any more, the
            server itself may remove it (`SERVER`).
        OSError: The file system does not let it go.
    """
    with opened(os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)) as parent:
        name, budget = os.fsencode(path.name), Budget(time_budget_s)
        try:
            fd = os.open(name, _O_PATH, dir_fd=parent)
        except FileNotFoundError:
            return True
        except NotADirectoryError:
            os.unlink(name, dir_fd=parent)
            return True
        with opened(fd), acting_as(identity):
            try:
                _empty(fd, budget)
            except TimeoutError:
                return False
        with suppress(FileNotFoundError):
            os.rmdir(name, dir_fd=parent)
    return True


def remove_directory(parent: int, name: bytes, budget: Budget) -> None:
    """Remove a directory and all that is below it.

    Raises:
        NotADirectoryError: It is something else; a link, for example.
        TimeoutError: Time ran out; another call goes on.
        OSError: Something did not go; everything else has.
    """
    with opened(os.open(name, _O_PATH, dir_fd=parent)) as directory:
        _empty(directory, budget)
    os.rmdir(name, dir_fd=parent)


def _empty(directory: int, budget: Budget) -> None:
    with opened(_opened_up(directory)) as top:
        while _pass(top, budget):
            pass


def _pass(top: int, budget: Budget) -> bool:
    """Remove each entry once. Return whether there was any: another may have come since."""
    _unlock(top)
    gone, stuck, found = False, None, False
    for name in names_in(top, budget):
        found = True
        try:
            if not _removed(top, name):
                with opened(_open(top, name)) as directory:
                    _flatten(directory, top, budget)
                os.rmdir(name, dir_fd=top)
            gone = True
        except OSError as exc:
            if isinstance(exc, TimeoutError):
                raise
            if exc.errno in _RACED:
                gone = True
            stuck = stuck or exc
    if stuck is not None and not gone:
        raise stuck
    return found


def _flatten(directory: int, top: int, budget: Budget) -> None:
    """Remove what is in a directory, but move directories that are not empty up."""
    stuck = None
    for name in names_in(directory, budget):
        try:
            if not _removed(directory, name):
                _move_up(directory, name, top)
        except OSError as exc:
            if exc.errno not in _RACED:
                stuck = stuck or exc
    if stuck is not None:
        raise stuck


def _removed(directory: int, name: bytes) -> bool:
    """Remove an entry unless it is a directory with something in it."""
    try:
        os.unlink(name, dir_fd=directory)
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError as exc:
            if exc.errno in (errno.ENOTEMPTY, errno.EEXIST):
                return False
            raise
    return True


def _move_up(directory: int, name: bytes, top: int) -> None:
    fresh = b".paddock-" + secrets.token_hex(8).encode()
    try:
        os.rename(name, fresh, src_dir_fd=directory, dst_dir_fd=top)
    except PermissionError:
        # A directory has to be writable to be moved: its ".." is written.
        os.close(_open(directory, name))
        os.rename(name, fresh, src_dir_fd=directory, dst_dir_fd=top)


def _open(parent: int, name: bytes) -> int:
    with opened(os.open(name, _O_PATH, dir_fd=parent)) as directory:
        return _opened_up(directory)


def _opened_up(directory: int) -> int:
    """Open a directory for listing, and open it up: a session can close its own to itself."""
    try:
        fd = os.open(b".", _O_RDONLY, dir_fd=directory)
    except PermissionError:
        chmod(directory, stat.S_IRWXU)
        fd = os.open(b".", _O_RDONLY, dir_fd=directory)
    _unlock(fd)
    return fd


def _unlock(fd: int) -> None:
    if os.fstat(fd).st_mode & stat.S_IRWXU != stat.S_IRWXU:
        with suppress(PermissionError):  # another's; what is in it may go nevertheless
            os.fchmod(fd, stat.S_IRWXU)
