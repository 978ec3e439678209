"""What the files of a session use.

Directories are read with the server's own rights, so that a session cannot close one to it. That is
safe because each is opened in its parent without following a link, and no file is opened at all.
"""

import contextlib
import os
import stat
import time
from collections.abc import Collection, Generator
from dataclasses import dataclass
from pathlib import Path

from paddock.sandbox.files.identity import Identity, acting_as

__all__ = ["DiskLook", "filesystem_use"]

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def filesystem_use(place: Path) -> tuple[int, int]:
    """Return the bytes and the inodes that a file system has in use. 1 us."""
    found = os.statvfs(place)
    return (found.f_blocks - found.f_bfree) * found.f_frsize, found.f_files - found.f_ffree


class DiskLook:
    """A count of a session's files, in pieces: how long it takes is up to the session.

    What has no name any more and is held open counts, files in memory as well; what is only mapped,
    or on its way through a socket, does not. Where the server is not root it cannot look into a
    directory that the session has closed to itself. What remains for these is the size of the file
    system.

    Args:
        places: The session's directories.
        pids: Its processes.
        identity: As whom their open files are looked at.
        max_bytes: It is done when there are more.
        max_entries: It is done when there are more.
        shared: Directories that others write to as well. What the identity's user owns directly in
            them counts, with all that is below.

    Attributes:
        bytes: On the disk, so far.
        entries: Files and directories, so far; hard links to one file are one.
        spent_s: Time it took so far.
    """

    def __init__(
        self,
        places: Collection[Path],
        pids: Collection[int],
        identity: Identity,
        *,
        max_bytes: int,
        max_entries: int,
        shared: Collection[Path] = (),
    ) -> None:
        self.bytes = 0
        self.entries = 0
        self.spent_s = 0.0
        self._max_bytes = max_bytes
        self._max_entries = max_entries
        self._seen: set[tuple[int, int]] = set()
        self._steps = self._all(places, pids, identity, shared)

    @property
    def over(self) -> bool:
        """There is more than may be."""
        return self.bytes > self._max_bytes or self.entries > self._max_entries

    def go_on(self, seconds: float) -> bool:
        """Count for some time, and return whether it is done."""
        began = time.monotonic()
        done = True
        for _ in self._steps:
            if self.over:
                break
            if time.monotonic() - began > seconds:
                done = False
                break
        if done:
            self.close()
        self.spent_s += time.monotonic() - began
        return done

    def close(self) -> None:
        """Count no more."""
        self._steps.close()

    def _all(
        self,
        places: Collection[Path],
        pids: Collection[int],
        identity: Identity,
        shared: Collection[Path],
    ) -> Generator[None]:
        for place in places:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                yield from self._tree(place)
        for place in shared:
            with contextlib.suppress(FileNotFoundError, NotADirectoryError):
                yield from self._owned(place, identity)
        for pid in pids:
            with contextlib.suppress(OSError):  # it ended, or does not let itself be read
                yield from self._held(pid, identity)

    def _tree(self, top: Path) -> Generator[None]:
        with contextlib.closing(_Descent(top)) as descent:
            self._count(os.fstat(descent.fd))
            yield from self._directory(descent)
            while descent.levels:
                below = descent.levels[-1].below
                if not below:
                    descent.up()
                elif descent.down(below.pop()):
                    yield from self._directory(descent)
                yield

    def _owned(self, place: Path, identity: Identity) -> Generator[None]:
        """Count what a user owns in a directory that is not its own."""
        below: list[str] = []
        with os.scandir(place) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # gone
                    found = entry.stat(follow_symlinks=False)
                    if found.st_uid == identity.uid and stat.S_ISDIR(found.st_mode):
                        below.append(entry.name)
                    elif found.st_uid == identity.uid:
                        self._count(found)
                yield
        for name in below:
            with contextlib.suppress(OSError):  # gone, or another now
                yield from self._tree(place / name)

    def _directory(self, descent: "_Descent") -> Generator[None]:
        """Count what is in a directory, and note the directories in it."""
        below = descent.levels[-1].below
        with os.scandir(descent.fd) as entries:
            for entry in entries:
                with contextlib.suppress(OSError):  # gone
                    found = entry.stat(follow_symlinks=False)
                    self._count(found)
                    if stat.S_ISDIR(found.st_mode):
                        below.append(entry.name)
                yield

    def _held(self, pid: int, identity: Identity) -> Generator[None]:
        """Count what a process has open and has no name: in steps, all of which act as nobody."""
        path = f"/proc/{pid}/fd"
        with acting_as(identity):
            fds = os.listdir(path)  # noqa: PTH208 - numbers are enough
        for first in range(0, len(fds), 64):
            with acting_as(identity):
                for fd in fds[first : first + 64]:
                    with contextlib.suppress(OSError):  # closed
                        found = os.stat(f"{path}/{fd}")  # noqa: PTH116
                        if found.st_nlink == 0 and stat.S_ISREG(found.st_mode):
                            self._count(found, shared=True)
            yield

    def _count(self, found: os.stat_result, *, shared: bool = False) -> None:
        if shared or (found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode)):
            key = found.st_dev, found.st_ino
            if key in self._seen:
                return
            self._seen.add(key)
        self.bytes += found.st_blocks * 512
        self.entries += 1


@dataclass(slots=True)
class _Level:
    name: str
    inode: int
    below: list[str]


class _Descent:
    """Where a walk is: one open directory, and the names that led to it.

    A tree can be deeper than there are descriptors, and than a path can be long, so the way back is
    ``..``; it is only gone when it leads to where the walk came from. Whatever is moved meanwhile,
    the walk stays in what it found below its top, on one file system.

    Attributes:
        fd: The directory.
        levels: Directories from the top to this one; empty when the walk is at its end.
    """

    def __init__(self, top: Path) -> None:
        self._top = top
        self.fd = os.open(top, _DIRECTORY)
        found = os.fstat(self.fd)
        self._device = found.st_dev
        self.levels = [_Level("", found.st_ino, [])]

    def down(self, name: str) -> bool:
        """Go into a directory. Return whether it is still there, and may be gone into."""
        if (inode := self._to(name)) is None:
            return False
        self.levels.append(_Level(name, inode, []))
        return True

    def up(self) -> None:
        """Go back, or to the nearest directory above that is still where it was."""
        self.levels.pop()
        if self.levels and self._to("..", self.levels[-1].inode) is None:
            self._again()

    def close(self) -> None:
        """Close the directory."""
        os.close(self.fd)

    def _again(self) -> None:
        os.close(self.fd)
        try:
            self.fd = os.open(self._top, _DIRECTORY)
        except OSError:
            self.fd = os.open("/", _DIRECTORY)  # something to close
            self.levels.clear()
            return
        if os.fstat(self.fd).st_ino != self.levels[0].inode:
            self.levels.clear()
        for depth, level in enumerate(self.levels[1:], 1):
            if self._to(level.name, level.inode) is None:
                del self.levels[depth:]
                return

    def _to(self, name: str, inode: int | None = None) -> int | None:
        """Make another directory the open one and return its inode, if it is the one wanted."""
        try:
            fd = os.open(name, _DIRECTORY, dir_fd=self.fd)
        except OSError:
            return None
        found = os.fstat(fd)
        if found.st_dev != self._device or inode not in (None, found.st_ino):
            os.close(fd)
            return None
        os.close(self.fd)
        self.fd = fd
        return found.st_ino
