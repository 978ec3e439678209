"""What there is in a tree: one entry, a directory's, or all of them."""

import errno
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from paddock.sandbox.files.budget import Budget
from paddock.sandbox.files.errors import TooLarge, named
from paddock.sandbox.files.tree import Tree, opened

__all__ = ["PASSED_OVER", "Entry", "Walk", "entries_of", "entry_at", "names_in", "walk"]

PATHS_LENGTH: Final = 64 << 20
"""Characters of all paths and targets: 100,000 long ones are hundreds of megabytes."""

PASSED_OVER: Final = frozenset(
    {
        errno.EACCES,
        errno.EAGAIN,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EXDEV,
    }
)
"""What a session can do to an entry, as against what is the server's own trouble."""

Kind = Literal["file", "directory", "symlink", "other"]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a name in a tree stands for; a symbolic link stands for itself.

    Attributes:
        path: Relative to the tree. Bytes that are not UTF-8 are surrogates (``os.fsencode``).
        kind: ``other`` is a FIFO, a socket or a device.
        size: Bytes, of a file and of a symbolic link.
        mode: Permission bits.
        mtime_ns: When the content last changed, as nanoseconds since 1970. A session can set it.
        target: Where a symbolic link points.
    """

    path: str
    kind: Kind
    size: int
    mode: int
    mtime_ns: int
    target: str | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Walk:
    """What a walk found.

    Attributes:
        entries: Each directory's entries together and in order of their names, parents first.
        skipped: Directories whose entries are missing, and why: closed to the session itself, gone
            meanwhile, or deeper than a path can be long.
        complete: Nothing is missing but for ``skipped`` and what was asked to be left out.
    """

    entries: list[Entry]
    skipped: dict[str, str]
    complete: bool


def entry_at(tree: Tree, path: bytes, *, follow: bool) -> Entry:
    """Describe what a path names."""
    flags = os.O_PATH if follow else os.O_PATH | os.O_NOFOLLOW
    with opened(tree.open(path, flags)) as fd:
        found = os.fstat(fd)
        target = os.readlink(b"", dir_fd=fd) if stat.S_ISLNK(found.st_mode) else None
    return _entry(path, found, target)


def names_in(directory: int, budget: Budget) -> Iterator[bytes]:
    """Yield a directory's names as they come, and however many they are."""
    with os.scandir(directory) as found:
        for each in found:
            budget.check()
            yield os.fsencode(each.name)


def entries_of(
    directory: int, prefix: bytes, budget: Budget, limit: int, paths_length: int = PATHS_LENGTH
) -> list[Entry]:
    """Describe what is in a directory, in order of the names.

    Raises:
        TooLarge: It has more than ``limit`` entries, or their paths and targets have more than
            ``paths_length`` characters together.
    """
    names: list[bytes] = []
    for name in names_in(directory, budget):
        if len(names) == limit:
            raise TooLarge(errno.EFBIG, f"There are more than {limit} entries")
        names.append(name)
    entries: list[Entry] = []
    for name in sorted(names):
        budget.check()
        try:
            found = os.stat(name, dir_fd=directory, follow_symlinks=False)
            target = os.readlink(name, dir_fd=directory) if stat.S_ISLNK(found.st_mode) else None
        except OSError as exc:
            if exc.errno in (errno.ENOENT, errno.EINVAL):  # gone, or no link any more
                continue
            raise
        entries.append(_entry(prefix + name, found, target))
        paths_length -= _length(entries[-1])
        if paths_length < 0:
            raise TooLarge(errno.EFBIG, f"All paths together are over {PATHS_LENGTH} characters")
    return entries


def _length(entry: Entry) -> int:
    return len(entry.path) + len(entry.target or "")


def walk(
    tree: Tree,
    top: bytes,
    *,
    max_entries: int,
    limit: int | None = None,
    skip: Collection[str] = (),
) -> Walk:
    """Describe all that is below a directory, following nothing in it.

    Every directory is opened by its path from ``top``, so that it needs one descriptor however deep
    it is, and nothing that is moved meanwhile can lead elsewhere.

    Args:
        tree: The tree.
        top: The directory; links in this path are followed.
        max_entries: More are too many.
        limit: Stop after so many.
        skip: Names of directories that are not gone into.

    Raises:
        TooLarge: There are more than ``max_entries``, or their paths are too long taken together.
        OSError: ``top`` cannot be listed.
    """
    if limit is not None and limit < 0:
        raise ValueError(f"limit {limit} cannot be negative")
    walked = Walk([], {}, complete=True)
    prefix = top + b"/" if top else b""
    below_top, paths_length = [b""], PATHS_LENGTH
    with opened(tree.directory(top)) as fd:
        inside = Tree(fd, tree.budget, links=False)
        while below_top:
            path = below_top.pop()
            try:
                with opened(inside.directory(path, read=True)) as directory:
                    room = max_entries - len(walked.entries)
                    here = prefix + (path + b"/" if path else b"")
                    found = entries_of(directory, here, tree.budget, room, paths_length)
            except OSError as exc:
                why = named(exc, prefix + path)
                if not path or exc.errno not in PASSED_OVER:
                    raise why from exc
                walked.skipped[why.filename] = why.strerror or str(why)
                continue
            paths_length -= sum(map(_length, found))
            walked.entries.extend(found)
            if limit is not None and len(walked.entries) >= limit:
                more = len(walked.entries) > limit or bool(below_top) or _any_directory(found)
                return Walk(walked.entries[:limit], walked.skipped, complete=not more)
            below_top.extend(
                os.fsencode(entry.path)[len(prefix) :]
                for entry in reversed(found)
                if entry.kind == "directory" and entry.name not in skip
            )
    return walked


def _any_directory(entries: list[Entry]) -> bool:
    return any(entry.kind == "directory" for entry in entries)


def _entry(path: bytes, found: os.stat_result, target: bytes | None) -> Entry:
    kind: Kind = "other"
    match stat.S_IFMT(found.st_mode):
        case stat.S_IFREG:
            kind = "file"
        case stat.S_IFDIR:
            kind = "directory"
        case stat.S_IFLNK:
            kind = "symlink"
        case _:
            pass
    return Entry(
        path=os.fsdecode(path) or ".",
        kind=kind,
        size=found.st_size if kind in ("file", "symlink") else 0,
        mode=stat.S_IMODE(found.st_mode),
        mtime_ns=found.st_mtime_ns,
        target=None if target is None else os.fsdecode(target),
    )
