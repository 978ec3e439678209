"""Extracting a tar archive into a tree.

An archive is read twice: all of it is looked at before the first file is written, so that of one
that is refused nothing is there. What its names say has been checked by their letters then, and is
once more by the kernel: no link is followed, whether the archive brought it or it was there.
"""

import errno
import os
import stat
from typing import BinaryIO, Final

from paddock.sandbox.files.archive import Member, members, readable
from paddock.sandbox.files.budget import Bounds
from paddock.sandbox.files.content import write_all
from paddock.sandbox.files.errors import Refused, naming
from paddock.sandbox.files.paths import joined
from paddock.sandbox.files.tree import Tree, chmod, opened, place, place_link, place_symlink

__all__ = ["unpack"]

CHUNK: Final = 1 << 20


def unpack(
    tree: Tree, path: bytes, source: BinaryIO, bounds: Bounds, *, outside_links: bool
) -> None:
    """Extract an archive into a directory.

    Args:
        tree: The tree, following no links.
        path: Made if it is missing.
        source: Plain, or compressed by gzip, bzip2 or xz; has to be seekable.
        bounds: How much the archive may have.
        outside_links: Whether symbolic links may point out of the directory.

    Raises:
        Refused: It is not an archive, or one with something in it that archives may not have.
        TooLarge: It exceeds the bounds.
    """
    start = source.tell()
    for _ in members(source, bounds, tree.budget, outside_links=outside_links):
        pass
    source.seek(start)
    modes: dict[bytes, int] = {}
    with naming(path), opened(tree.directory(path, create=True)) as fd:
        inside = Tree(fd, tree.budget, links=False)
        for member, content in members(source, bounds, tree.budget, outside_links=outside_links):
            with naming(joined(path, member.path)):
                if member.kind != "directory":
                    _make(inside, member, content)
                elif member.path:
                    os.close(inside.directory(member.path, create=True))
                    modes[member.path] = member.mode
        # Last and from below, for those that nothing can be made in.
        for below in sorted(modes, reverse=True):
            tree.budget.check()
            with naming(joined(path, below)), opened(inside.directory(below)) as directory:
                chmod(directory, modes[below])


def _make(inside: Tree, member: Member, content: BinaryIO | None) -> None:
    def fill(fd: int) -> None:
        assert content is not None
        left = member.size
        while left:
            with readable():
                data = content.read(min(left, CHUNK))
            left -= len(data)
            write_all(fd, data, inside.budget)

    with inside.parent(member.path, create=True) as (directory, name):
        match member.kind:
            case "symlink":
                place_symlink(directory, name, member.link)
            case "link":
                with inside.parent(member.link) as (source_directory, source):
                    found = os.stat(source, dir_fd=source_directory, follow_symlinks=False)
                    if not stat.S_ISREG(found.st_mode):
                        # A symbolic link would stay inside no more, with its name elsewhere.
                        raise Refused(errno.EINVAL, "A member is a link to what is not a file")
                    place_link(source_directory, source, directory, name)
            case _:
                place(directory, name, fill, member.mode, member.mtime_ns)
