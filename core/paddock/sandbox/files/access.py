"""The one object through which the server touches a session's files."""

import errno
import io
import os
from collections.abc import Callable, Collection
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self, TypeVar

from paddock.sandbox.files.budget import Bounds, Budget
from paddock.sandbox.files.changing import (
    make_directory,
    make_symlink,
    remove,
    rename,
    set_mode,
    write_file,
)
from paddock.sandbox.files.content import read_file
from paddock.sandbox.files.copying import copy_in
from paddock.sandbox.files.entries import Entry, Walk, entries_of, entry_at, walk
from paddock.sandbox.files.errors import Refused, TooLarge, naming
from paddock.sandbox.files.identity import SERVER, Identity, acting_as
from paddock.sandbox.files.packing import Packed, pack
from paddock.sandbox.files.paths import StrPath, encoded, raw
from paddock.sandbox.files.threads import Lanes
from paddock.sandbox.files.tree import PERMISSIONS, Tree, opened
from paddock.sandbox.files.unpacking import unpack

__all__ = ["SandboxFiles"]

T = TypeVar("T")
Entries = list[Entry]  # a class with a method `list` has no `list[...]`


class SandboxFiles:
    """A directory that hostile processes work in, from the server's side.

    Every access is made as the session, on a thread of this module's, and resolved by the kernel
    beneath the directory; see `Tree` and `acting_as`. Nothing waits for a FIFO or a device, nothing
    is without a limit, and everything is over when the call returns, even when it is cancelled.

    Paths are relative to the directory. Links are followed as long as they stay inside, except
    where a method says otherwise; those that do not, and absolute paths, are refused.

    Args:
        root: The directory; trusted, and so is everything above it.
        identity: The session's user and group.
        max_file_bytes: Bytes of a file that is read or written.
        max_entries: Entries of a directory, a walk or an archive.
        max_archive_bytes: Bytes of an archive, decompressed.
        time_budget_s: Seconds an operation may take.

    Raises:
        OSError: The directory cannot be opened.

    All methods raise, with the path they were given:

    * `FileNotFoundError`, `FileExistsError`, `NotADirectoryError`, `IsADirectoryError`,
      `PermissionError` (for the session): as the system calls.
    * `Refused`: the path leads out, or what it names is not a regular file.
    * `TooLarge`: more than the limits above.
    * `TimeoutError`: not done in time.
    * `OSError`: anything else; ``EBADF`` after `close`.
    """

    def __init__(
        self,
        root: Path,
        identity: Identity,
        *,
        max_file_bytes: int = 64 << 20,
        max_entries: int = 100_000,
        max_archive_bytes: int = 256 << 20,
        time_budget_s: float = 10.0,
    ) -> None:
        self._identity = identity
        self._bounds = Bounds(max_entries, max_file_bytes, max_archive_bytes)
        self._lanes = Lanes(time_budget_s)
        self._root = os.open(root, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop what is running and let go of the directory. Everything raises from here on."""
        try:
            await self._lanes.close()
        finally:
            root, self._root = self._root, -1
            if root >= 0:
                os.close(root)

    # -- looking ----------------------------------------------------------------------------------

    async def read(self, path: StrPath, *, offset: int = 0, limit: int | None = None) -> bytes:
        """Read a regular file.

        Args:
            path: The file.
            offset: Bytes to pass over.
            limit: Bytes after which to stop. Without it, a longer rest than ``max_file_bytes`` is
                `TooLarge`.
        """
        if offset < 0 or (limit is not None and limit < 0):
            raise ValueError(f"offset {offset} and limit {limit} cannot be negative")

        def job(tree: Tree, name: bytes) -> bytes:
            return read_file(tree, name, cap=self._bounds.file_bytes, offset=offset, limit=limit)

        return await self._run(job, path)

    async def stat(self, path: StrPath, *, follow: bool = False) -> Entry:
        """Describe what a path names: a link itself, or with ``follow`` where it leads."""
        return await self._run(lambda tree, name: entry_at(tree, name, follow=follow), path)

    async def list(self, path: StrPath = ".") -> Entries:
        """Describe what is in a directory, in order of the names."""

        def job(tree: Tree, name: bytes) -> Entries:
            with opened(tree.directory(name, read=True)) as directory:
                prefix = name + b"/" if name else b""
                return entries_of(directory, prefix, tree.budget, self._bounds.entries)

        return await self._run(job, path)

    async def walk(
        self, path: StrPath = ".", *, limit: int | None = None, skip: Collection[str] = ()
    ) -> Walk:
        """Describe all that is below a directory; no link in it is followed.

        Args:
            path: The directory.
            limit: Stop after so many entries. Without it more than ``max_entries`` are `TooLarge`;
                with it, only that many in one directory are.
            skip: Names of directories that are listed, but not gone into.
        """

        def job(tree: Tree, name: bytes) -> Walk:
            return walk(tree, name, max_entries=self._bounds.entries, limit=limit, skip=skip)

        return await self._run(job, path)

    # -- changing ---------------------------------------------------------------------------------

    async def write(
        self, path: StrPath, data: bytes, *, mode: int | None = None, parents: bool = True
    ) -> None:
        """Write a file: all at once, so that nobody ever sees half of it.

        The file is a new one of the session's, in the place of the old. Other hard links keep the
        old content, and a read-only file is replaced, if its directory can be written.

        Args:
            path: The file, or a link to one.
            data: Its content.
            mode: Permissions; as they were, or 0o644, when None.
            parents: Make missing directories.
        """
        if len(data) > self._bounds.file_bytes:
            why = f"{len(data)} bytes are more than {self._bounds.file_bytes}"
            raise TooLarge(errno.EFBIG, why, os.fspath(path))
        _check_mode(mode, path)

        def job(tree: Tree, name: bytes) -> None:
            write_file(tree, name, data, mode=mode, parents=parents)

        await self._run(job, path)

    async def mkdir(
        self,
        path: StrPath,
        *,
        mode: int = 0o755,
        parents: bool = False,
        exist_ok: bool = False,
    ) -> None:
        """Make a directory. What is there already is left as it is."""
        _check_mode(mode, path)

        def job(tree: Tree, name: bytes) -> None:
            make_directory(tree, name, mode=mode, parents=parents, exist_ok=exist_ok)

        await self._run(job, path)

    async def rename(self, path: StrPath, target: StrPath, *, replace: bool = True) -> None:
        """Rename an entry; a link itself. Without ``replace``, nothing may have the new name."""
        second = encoded(target)
        await self._run(
            lambda tree, name: rename(tree, name, second, replace=replace), path, second
        )

    async def remove(self, path: StrPath, *, recursive: bool = False) -> None:
        """Remove an entry; a link itself.

        Args:
            path: A file, a link, or a directory with nothing in it.
            recursive: Or one with something in it, even if the session closed it to itself. If
                time runs out, what is left is in disorder; another call goes on.
        """
        await self._run(lambda tree, name: remove(tree, name, recursive=recursive), path)

    async def symlink(self, path: StrPath, target: str) -> None:
        """Make a symbolic link. It may point anywhere: it is used by us only if it stays inside."""
        text = raw(target)
        await self._run(lambda tree, name: make_symlink(tree, name, text), path)

    async def chmod(self, path: StrPath, mode: int) -> None:
        """Set the permissions of a file or a directory."""
        _check_mode(mode, path)
        await self._run(lambda tree, name: set_mode(tree, name, mode), path)

    # -- many at once -----------------------------------------------------------------------------

    async def copy_in(self, source: Path, path: StrPath = ".") -> None:
        """Copy what is in a directory of the server's own into one of the tree.

        Modes, times and links are kept, files replaced, ``__pycache__`` left out. No link in the
        tree is followed.

        Args:
            source: Read as the server; trusted.
            path: Where to; made if it is missing.
        """

        def job(tree: Tree, name: bytes) -> None:
            copy_in(source, Tree(tree.fd, tree.budget, links=False), name, self._identity)

        await self._run(job, path, identity=SERVER)

    async def archive_out(
        self, path: StrPath = ".", *, into: BinaryIO | None = None, skip: Collection[str] = ()
    ) -> Packed:
        """Write what is below a directory as a tar archive; the same bytes for the same content.

        Args:
            path: The directory; names in the archive are relative to it.
            into: A file to write to, for large ones.
            skip: Names of directories whose content is left out.
        """

        def job(tree: Tree, name: bytes) -> Packed:
            return pack(tree, name, into, self._bounds, skip=skip)

        return await self._run(job, path)

    async def archive_in(
        self, data: bytes | BinaryIO, path: StrPath = ".", *, outside_links: bool = False
    ) -> None:
        """Extract a tar archive, plain or compressed (gzip, bzip2, xz), which need not be trusted.

        With an absolute name, a ``..``, a device or a FIFO in it, or a link that leads out of it,
        it is `Refused` before anything is made. No link is followed, the archive's own included.

        Args:
            data: The archive; a file has to be seekable.
            path: Where to; made if it is missing.
            outside_links: Let symbolic links point out, as those of a virtual environment do.
        """
        source = io.BytesIO(data) if isinstance(data, bytes) else data

        def job(tree: Tree, name: bytes) -> None:
            inside = Tree(tree.fd, tree.budget, links=False)
            unpack(inside, name, source, self._bounds, outside_links=outside_links)

        await self._run(job, path)

    async def _run(
        self,
        job: Callable[[Tree, bytes], T],
        path: StrPath,
        second: bytes | None = None,
        *,
        identity: Identity | None = None,
    ) -> T:
        name, identity = encoded(path), identity or self._identity

        def act(budget: Budget) -> T:
            budget.check()
            with acting_as(identity):
                return job(Tree(self._root, budget), name)

        with naming(name, second):
            return await self._lanes.run(act)


def _check_mode(mode: int | None, path: StrPath) -> None:
    if mode is not None and mode & ~PERMISSIONS:
        why = f"Only permission bits can be set, not {mode:#o}"
        raise Refused(errno.EINVAL, why, os.fspath(path))
