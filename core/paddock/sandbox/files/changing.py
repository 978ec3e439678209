"""Changing what is in a tree, one thing at a time."""

import errno
import os
import stat
from contextlib import suppress

from paddock.sandbox.files.content import write_all
from paddock.sandbox.files.paths import joined, split
from paddock.sandbox.files.removal import remove_directory
from paddock.sandbox.files.tree import (
    PERMISSIONS,
    Tree,
    chmod,
    opened,
    place,
    wrong_kind,
)
from paddock.sandbox.fs_syscalls import RENAME_NOREPLACE, renameat2

__all__ = ["make_directory", "make_symlink", "remove", "rename", "set_mode", "write_file"]

MAX_LINKS = 40  # the kernel's own limit
NEW_FILE_MODE = 0o644


def write_file(tree: Tree, path: bytes, data: bytes, *, mode: int | None, parents: bool) -> None:
    """Write a file, all at once.

    A link is followed by us and not by the kernel, for the new file has to come to where the old
    one is. What it says is one more path to be resolved beneath the tree.
    """

    def fill(fd: int) -> None:
        write_all(fd, data, tree.budget)

    for _ in range(MAX_LINKS):
        with tree.parent(path, create=parents) as (directory, name):
            link = _link_at(directory, name)
            if link is None:
                old_mode = _mode_at(directory, name)
                return place(directory, name, fill, old_mode if mode is None else mode)
        if link.startswith(b"/"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        above, _ = split(path)
        path = joined(above, link)
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _link_at(directory: int, name: bytes) -> bytes | None:
    try:
        return os.readlink(name, dir_fd=directory)
    except OSError as exc:
        if exc.errno in (errno.EINVAL, errno.ENOENT):  # not a link; nothing
            return None
        raise


def _mode_at(directory: int, name: bytes) -> int:
    try:
        found = os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return NEW_FILE_MODE
    if stat.S_ISREG(found.st_mode) or stat.S_ISLNK(found.st_mode):  # a link since a moment ago
        return stat.S_IMODE(found.st_mode) & PERMISSIONS
    raise wrong_kind(found.st_mode)


def make_directory(tree: Tree, path: bytes, *, mode: int, parents: bool, exist_ok: bool) -> None:
    """Make a directory, with exactly this mode whatever the server's umask."""
    if exist_ok:
        # What is there may be a link to a directory that stays inside.
        with suppress(FileNotFoundError):
            os.close(tree.directory(path))
            return
    with tree.parent(path, create=parents) as (directory, name):
        try:
            os.mkdir(name, 0o700, dir_fd=directory)
        except FileExistsError:
            if not exist_ok:
                raise
            os.close(tree.directory(path))  # another made it; unless it is no directory
            return
        with opened(Tree(directory, tree.budget, links=False).directory(name)) as made:
            chmod(made, mode)


def make_symlink(tree: Tree, path: bytes, target: bytes) -> None:
    """Make a symbolic link, where nothing is yet."""
    with tree.parent(path) as (directory, name):
        os.symlink(target, name, dir_fd=directory)


def rename(tree: Tree, path: bytes, target: bytes, *, replace: bool) -> None:
    """Rename an entry; a link itself, and not what it points at."""
    with tree.parent(path) as (source_directory, source), tree.parent(target) as (directory, name):
        renameat2(
            source,
            name,
            0 if replace else RENAME_NOREPLACE,
            source_directory=source_directory,
            target_directory=directory,
        )


def remove(tree: Tree, path: bytes, *, recursive: bool) -> None:
    """Remove an entry; a link itself, and not what it points at."""
    with tree.parent(path) as (directory, name):
        try:
            os.unlink(name, dir_fd=directory)
        except IsADirectoryError:
            if not recursive:
                return os.rmdir(name, dir_fd=directory)
            remove_directory(directory, name, tree.budget)


def set_mode(tree: Tree, path: bytes, mode: int) -> None:
    """Set the permissions of a file or a directory, at the end of links that stay inside."""
    with opened(tree.open(path, os.O_PATH)) as fd:
        found = os.fstat(fd).st_mode
        if not stat.S_ISDIR(found) and not stat.S_ISREG(found):
            raise wrong_kind(found)
        chmod(fd, mode)
