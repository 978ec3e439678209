"""Copying the server's own files into a tree: a template, a task's files, a check."""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from paddock.sandbox.files.budget import Budget
from paddock.sandbox.files.errors import naming
from paddock.sandbox.files.identity import Identity, acting_as
from paddock.sandbox.files.paths import joined
from paddock.sandbox.files.tree import PERMISSIONS, Tree, chmod, opened, place, place_symlink

__all__ = ["copy_in"]

CHUNK: Final = 8 << 20
LEFT_OUT: Final = frozenset({b"__pycache__"})


@dataclass(frozen=True, slots=True)
class _Source:
    path: bytes
    """Below the source."""
    full: bytes
    found: os.stat_result


def copy_in(source: Path, tree: Tree, path: bytes, identity: Identity) -> None:
    """Copy what is in a directory of the server's own into a directory of the tree.

    Runs as the server, which alone may read the source, and turns into the session for each thing
    that it makes. Files are replaced, directories are kept, and no link in the tree is followed.
    FIFOs, sockets and devices are left out.

    Args:
        source: Trusted; nobody else changes it.
        tree: The tree, following no links.
        path: Made if it is missing.
        identity: Whose the copy is.
    """
    with acting_as(identity), naming(path):
        top = tree.directory(path, create=True)
    modes: list[tuple[bytes, int]] = []
    with opened(top):
        inside = Tree(top, tree.budget, links=False)
        for each in _sources(os.fsencode(source), tree.budget):
            with naming(joined(path, each.path)):
                mode = stat.S_IMODE(each.found.st_mode) & PERMISSIONS
                match stat.S_IFMT(each.found.st_mode):
                    case stat.S_IFDIR:
                        with acting_as(identity):
                            os.close(inside.directory(each.path, create=True))
                        modes.append((each.path, mode))
                    case stat.S_IFLNK:
                        target = os.readlink(each.full)  # noqa: PTH115 - bytes
                        with acting_as(identity), inside.parent(each.path) as (directory, name):
                            place_symlink(directory, name, target)
                    case stat.S_IFREG:
                        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
                        with opened(os.open(each.full, flags)) as original:
                            with acting_as(identity):
                                _copy(original, inside, each, mode)
                    case _:
                        pass
        # Last and from below, for those that nothing can be made in.
        with acting_as(identity):
            for below, mode in reversed(modes):
                tree.budget.check()
                with naming(joined(path, below)), opened(inside.directory(below)) as directory:
                    chmod(directory, mode)


def _copy(original: int, inside: Tree, source: _Source, mode: int) -> None:
    def fill(copy: int) -> None:
        offset = 0
        while sent := os.sendfile(copy, original, offset, CHUNK):
            inside.budget.check()
            offset += sent

    with inside.parent(source.path) as (directory, name):
        place(directory, name, fill, mode, source.found.st_mtime_ns)


def _sources(top: bytes, budget: Budget) -> Iterator[_Source]:
    """Yield what is below a directory, parents first, in order of the names."""
    below_top = [b""]
    while below_top:
        path = below_top.pop()
        with os.scandir(top + b"/" + path) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        directories: list[bytes] = []
        for entry in entries:
            budget.check()
            if entry.name in LEFT_OUT:
                continue
            below = joined(path, entry.name)
            yield _Source(below, entry.path, entry.stat(follow_symlinks=False))
            if entry.is_dir(follow_symlinks=False):
                directories.append(below)
        below_top.extend(reversed(directories))
