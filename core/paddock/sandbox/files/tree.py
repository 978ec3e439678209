"""The one way into a directory whose inside is hostile.

What is in the tree belongs to processes that run at the same time and want us to open something
else. So no path is ever looked at first and opened then. The kernel resolves it, once, beneath the
tree's own descriptor (``openat2``), and what has been opened is looked at through its descriptor.
What has to go by name - making, renaming, removing - goes by a last name that is never followed, in
a directory that was opened so.

Paths are bytes here, relative to the tree.
"""

import errno
import os
import secrets
import stat
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from typing import Final

from paddock.sandbox.files.budget import Budget
from paddock.sandbox.files.errors import Refused
from paddock.sandbox.files.paths import parts_of, split
from paddock.sandbox.fs_syscalls import (
    RESOLVE_BENEATH,
    RESOLVE_NO_MAGICLINKS,
    RESOLVE_NO_SYMLINKS,
    openat2,
)

__all__ = [
    "PERMISSIONS",
    "Tree",
    "chmod",
    "opened",
    "place",
    "place_link",
    "place_symlink",
    "wrong_kind",
]

PERMISSIONS: Final = 0o777
"""The mode bits that are ever set; set-id bits are not carried into a tree."""

_ATTEMPTS = 64
_PATH_FLAGS = os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class Tree:
    """A directory and what may be spent on it.

    Args:
        fd: The directory. It stays the caller's.
        budget: For the operation under way.
        links: Whether symbolic links that stay inside are followed.
    """

    def __init__(self, fd: int, budget: Budget, *, links: bool = True) -> None:
        self.fd = fd
        self.budget = budget
        self._resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS
        if not links:
            self._resolve |= RESOLVE_NO_SYMLINKS

    def open(self, path: bytes, flags: int) -> int:
        """Open what a path names, without ever waiting for it.

        Raises:
            Refused: Renames, or a process's lease, kept it from being opened.
            OSError: As `openat2`.
        """
        flags |= os.O_CLOEXEC
        if flags & os.O_PATH:
            flags &= _PATH_FLAGS  # the call refuses what makes no difference
        else:
            flags |= os.O_NONBLOCK | os.O_NOCTTY
        for _ in range(_ATTEMPTS):
            try:
                return openat2(self.fd, path or b".", flags, self._resolve)
            except (BlockingIOError, InterruptedError):
                self.budget.check()
        raise Refused(errno.EAGAIN, "The path is held, or keeps changing")

    def regular(self, path: bytes) -> tuple[int, os.stat_result]:
        """Open a regular file for reading.

        Raises:
            IsADirectoryError: It is a directory.
            Refused: It is a FIFO, a socket or a device.
            OSError: As `open`.
        """
        try:
            fd = self.open(path, os.O_RDONLY)
        except OSError as exc:
            if exc.errno in (errno.ENXIO, errno.ENODEV):  # sockets; devices without a driver
                raise _not_regular() from exc
            raise
        found = os.fstat(fd)
        if stat.S_ISREG(found.st_mode):
            return fd, found
        os.close(fd)
        raise wrong_kind(found.st_mode)

    def directory(self, path: bytes, *, create: bool = False, read: bool = False) -> int:
        """Open a directory.

        Args:
            path: The directory.
            create: Make it, and those above it, if it is missing.
            read: For listing, and not only for reaching what is in it.

        Raises:
            OSError: As `open`.
        """
        flags = os.O_DIRECTORY | (os.O_RDONLY if read else os.O_PATH)
        try:
            return self.open(path, flags)
        except FileNotFoundError:
            if not create:
                raise
        self._make(path)
        return self.open(path, flags)

    def _make(self, path: bytes) -> None:
        above, prefix = self.open(b".", os.O_PATH | os.O_DIRECTORY), b""
        try:
            for part in parts_of(path):
                self.budget.check()
                # From the tree's own descriptor each time: a link may lead up and down again.
                prefix = prefix + b"/" + part if prefix else part
                made = False
                with suppress(FileExistsError):
                    os.mkdir(part, 0o700, dir_fd=above)
                    made = True
                below = self.open(prefix, os.O_PATH | os.O_DIRECTORY)
                os.close(above)
                above = below
                if made:
                    chmod(above, 0o755)  # whatever the server's umask
        finally:
            os.close(above)

    @contextmanager
    def parent(self, path: bytes, *, create: bool = False) -> Generator[tuple[int, bytes]]:
        """Open the directory that holds a path's last name, and give both.

        Raises:
            OSError: As `split` and `directory`.
        """
        above, name = split(path)
        with opened(self.directory(above, create=create)) as directory:
            yield directory, name


@contextmanager
def opened(fd: int) -> Generator[int]:
    """Close a descriptor at the end."""
    try:
        yield fd
    finally:
        os.close(fd)


def chmod(fd: int, mode: int) -> None:
    """Set the permissions of what was opened, ``O_PATH`` included, which `os.fchmod` refuses.

    By the kernel's own link to the descriptor, which does not go by any name in the tree. It is
    open to a thread that acts as another user, too: a process is let at its own.
    """
    os.chmod(b"/proc/self/fd/%d" % fd, mode)  # noqa: PTH101 - one call, not an object


def place(
    directory: int,
    name: bytes,
    fill: Callable[[int], None],
    mode: int,
    mtime_ns: int | None = None,
) -> None:
    """Put a regular file in a place, all at once or not at all.

    Whatever had the name is replaced and not followed; but a directory stays.

    Args:
        directory: Where.
        name: The name there.
        fill: Writes the content to a descriptor.
        mode: Its permissions.
        mtime_ns: Its time; now when None.

    Raises:
        OSError: As the system calls; nothing is left of it then.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with _replacing(directory, name) as temporary:
        with opened(os.open(temporary, flags, 0o600, dir_fd=directory)) as fd:
            fill(fd)
            os.fchmod(fd, mode)
            if mtime_ns is not None:
                os.utime(fd, ns=(mtime_ns, mtime_ns))


def place_symlink(directory: int, name: bytes, target: bytes) -> None:
    """Put a symbolic link in a place, as `place` does."""
    with _replacing(directory, name) as temporary:
        os.symlink(target, temporary, dir_fd=directory)


def place_link(source_directory: int, source: bytes, directory: int, name: bytes) -> None:
    """Put a second name of a file in a place, as `place` does. A link itself is not followed."""
    with _replacing(directory, name) as temporary:
        os.link(
            source,
            temporary,
            src_dir_fd=source_directory,
            dst_dir_fd=directory,
            follow_symlinks=False,
        )


@contextmanager
def _replacing(directory: int, name: bytes) -> Generator[bytes]:
    temporary = b".paddock-" + secrets.token_hex(8).encode()
    try:
        yield temporary
        os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    finally:
        # It is there still after a failure, and after a rename onto another name of the same file.
        with suppress(OSError):
            os.unlink(temporary, dir_fd=directory)


def _not_regular() -> Refused:
    return Refused(errno.EINVAL, "Not a regular file")


def wrong_kind(mode: int) -> OSError:
    """Return the error for what is not a regular file."""
    if stat.S_ISDIR(mode):
        return IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    return _not_regular()
