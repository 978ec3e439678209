"""What is in a tar archive that need not be trusted, member by member.

The format's own promises are not believed: what an archive says of a size, of its end and of its
own headers is bounded before tarfile acts on it. What its names say is checked by their letters;
the kernel checks them once more when they are used.
"""

import bz2
import errno
import gzip
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final, Literal, NoReturn, Self, cast

from paddock.sandbox.files.budget import Bounds, Budget
from paddock.sandbox.files.errors import Refused, TooLarge, naming
from paddock.sandbox.files.paths import PATH_MAX, parts_of
from paddock.sandbox.files.tree import PERMISSIONS

__all__ = ["Member", "members", "readable"]

CHUNK: Final = 1 << 20
MAX_ENDS: Final = 64
MAX_HEADER_BYTES: Final = 64 << 10
"""Bytes of an extended header: a long name and a long link are 8 KiB, and the items in one become
objects many times their size."""

MAX_GLOBAL_ITEMS: Final = 100
"""Items that go for all members: each member has a copy."""

END_OF_TIME_S: Final = (1 << 33) - 1

_MAGIC: Final[dict[bytes, Callable[[BinaryIO], BinaryIO]]] = {
    b"\x1f\x8b": lambda file: cast("BinaryIO", gzip.GzipFile(fileobj=file, mode="rb")),
    b"BZh": lambda file: cast("BinaryIO", bz2.BZ2File(file)),
    b"\xfd7zXZ\0": lambda file: cast("BinaryIO", lzma.LZMAFile(file)),  # noqa: SIM115 - has no end
}

_USTAR: Final = slice(257, 262)

_EXTENDED: Final = frozenset(
    {
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
    }
)

# Everything that tarfile and the decompressors raise for bytes that are not an archive.
_UNREADABLE = (
    tarfile.TarError,
    EOFError,
    zlib.error,
    lzma.LZMAError,
    ArithmeticError,
    LookupError,
    RecursionError,
    ValueError,
)


@dataclass(frozen=True, slots=True)
class Member:
    """What an archive says is to be made, checked.

    Attributes:
        path: Where; empty for the directory that everything goes to.
        kind: A ``link`` is a second name of a file.
        link: What a symbolic link says, or the other name of a file.
        size: Bytes of a file.
        mode: Permission bits, and no others.
        mtime_ns: When its content last changed.
    """

    path: bytes
    kind: Literal["file", "directory", "symlink", "link"]
    link: bytes
    size: int
    mode: int
    mtime_ns: int


def members(
    source: BinaryIO, bounds: Bounds, budget: Budget, *, outside_links: bool
) -> Iterator[tuple[Member, BinaryIO | None]]:
    """Read an archive, and give each member with its content, which is to be read under `readable`.

    Args:
        source: Plain, or compressed by gzip, bzip2 or xz; has to be seekable.
        bounds: How much the archive may have.
        budget: For how long.
        outside_links: Whether symbolic links may point out of the archive.

    Raises:
        Refused: It is not an archive, not all of one, or one with something in it that archives
            may not have.
        TooLarge: It exceeds the bounds.
    """
    bounded = _ForTarfile(_plain(source, bounds, budget), bounds.archive_bytes, budget)
    with readable():
        archive: Any = tarfile.open(  # noqa: SIM115 - has no end of its own
            fileobj=cast("BinaryIO", bounded),
            mode="r|",
            encoding="utf-8",
            errors="surrogateescape",
            tarinfo=_Header,
        )
    count = 0
    while True:
        with readable():
            info: tarfile.TarInfo | None = archive.next()
            archive.members.clear()  # it would keep them all
            if info is None:
                while bounded.read(CHUNK):  # to where a decompressor compares its checksum
                    pass
                return
            member = _checked(info, bounds, outside_links)
            content = archive.extractfile(info) if member.kind == "file" else None
        budget.check()
        count += 1
        if count > bounds.entries:
            raise TooLarge(errno.EFBIG, f"The archive has more than {bounds.entries} entries")
        yield member, content


@contextmanager
def readable() -> Generator[None]:
    """Turn what tarfile raises for bytes that are no archive into `Refused`."""
    try:
        yield
    except _UNREADABLE as exc:
        raise Refused(errno.EBADMSG, f"Not a tar archive that can be read: {exc}") from exc


def _checked(info: tarfile.TarInfo, bounds: Bounds, outside_links: bool) -> Member:
    name = os.fsencode(info.name)
    with naming(name):
        path, link, kind = _inside(name), b"", "file"
        if info.isdir():
            kind = "directory"
        elif not path:
            raise _refused("names nothing")
        elif info.issym():
            kind, link = "symlink", os.fsencode(info.linkname)
            if not link or b"\0" in link or not (outside_links or _stays(path, link)):
                raise _refused("is a link that leads out of the archive, or nowhere")
        elif info.islnk():
            kind, link = "link", _inside(os.fsencode(info.linkname))
        elif not info.isreg() or info.issparse():
            raise _refused("is not a file, a directory or a link")
        if kind == "file" and not 0 <= info.size <= bounds.file_bytes:
            raise TooLarge(errno.EFBIG, f"A file in the archive has over {bounds.file_bytes} bytes")
    seconds = min(max(int(info.mtime), 0), END_OF_TIME_S)
    return Member(path, kind, link, info.size, info.mode & PERMISSIONS, seconds * 10**9)


def _inside(name: bytes) -> bytes:
    parts = parts_of(name)
    if name.startswith(b"/") or b".." in parts or b"\0" in name or len(name) > PATH_MAX:
        raise _refused("has a name that leads out of the archive, or is none")
    return b"/".join(parts)


def _stays(path: bytes, link: bytes) -> bool:
    """Whether a link stays inside, if all the others do."""
    parts = parts_of(link)
    up = 0
    while up < len(parts) and parts[up] == b"..":
        up += 1
    # Up from a name that may be another link is anybody's guess.
    return not link.startswith(b"/") and up < len(parts_of(path)) and b".." not in parts[up:]


def _refused(what: str) -> Refused:
    return Refused(errno.EINVAL, f"A member of the archive {what}")


class _Header(tarfile.TarInfo):
    """What tarfile makes of a header: less than it would, and no silence about a broken one."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        try:
            return super().frombuf(buf, encoding, errors)
        except tarfile.HeaderError as exc:
            if buf.count(b"\0") == tarfile.BLOCKSIZE:
                raise  # the end, as it should be
            # To tarfile this would be the end as well.
            raise tarfile.ReadError(f"broken or cut off: {exc}") from exc

    def _proc_member(self, archive: Any) -> Any:
        # The method that tarfile has for a subclass to override, and says so.
        if self.type == tarfile.GNUTYPE_SPARSE:
            return self._proc_gnusparse_10()
        if self.type in _EXTENDED:
            many = len(archive.pax_headers) > MAX_GLOBAL_ITEMS
            if many or not 0 <= self.size <= MAX_HEADER_BYTES:
                raise tarfile.ReadError("its extended headers are too long")
        parent: Any = super()
        return parent._proc_member(archive)

    def _proc_gnusparse_10(self, *_: Any) -> NoReturn:
        # Its map of holes is of any length.
        raise tarfile.ReadError("a sparse file")


def _plain(source: BinaryIO, bounds: Bounds, budget: Budget) -> BinaryIO:
    start = source.tell()
    head = source.read(tarfile.BLOCKSIZE)
    source.seek(start)
    if head[_USTAR] == b"ustar":
        return source  # whatever the first name begins with
    for magic, decompress in _MAGIC.items():
        if head.startswith(magic):
            # A decompressor can read for ever without giving anything.
            return decompress(cast("BinaryIO", _Checked(source, bounds.archive_bytes, budget)))
    return source


class _Checked:
    """A file of which no more is read than there may be."""

    def __init__(self, file: BinaryIO, most: int, budget: Budget) -> None:
        self._file = file
        self._most = self._left = most
        self._budget = budget

    def read(self, size: int) -> bytes:
        self._budget.check()
        data = self._file.read(size)
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge(errno.EFBIG, f"The archive has more than {self._most} bytes")
        return data


class _ForTarfile(_Checked):
    """What tarfile reads from: it believes the sizes in an archive, and reads on after its end."""

    _ends = 0

    def read(self, size: int) -> bytes:
        try:
            data = super().read(size)
        except OSError as exc:
            if exc.errno is not None:
                raise
            raise tarfile.ReadError(str(exc)) from exc  # the decompressors' own
        if not data:
            self._ends += 1
            if self._ends > MAX_ENDS:
                raise EOFError("it ends too early")
        return data
