"""Archives that nobody should extract: bad names, links, lies, bombs, and noise."""

import bz2
import errno
import gzip
import lzma
import os
import tarfile
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trees
from paddock.sandbox.files import Refused, TooLarge
from trees import Plot, tar

SYMLINK, LINK, DIRECTORY = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
MANY_BYTES = 3_000_000


@pytest.fixture(params=trees.IDENTITIES)
def plot(request: pytest.FixtureRequest, tmp_path: Path) -> Plot:
    return Plot(tmp_path, request.param)


BAD = {
    "absolute": [("/a", b"")],
    "dots": [("../a", b"")],
    "dots in the middle": [("d/../../a", b"")],
    "no name": [("./.", b"")],
    "absolute link": [("s", {"type": SYMLINK, "linkname": "/etc/passwd"})],
    "link up": [("d/s", {"type": SYMLINK, "linkname": "../../outside"})],
    "link up by way of another": [
        ("d/e/up", {"type": SYMLINK, "linkname": "../.."}),
        ("s", {"type": SYMLINK, "linkname": "d/e/up/../outside"}),
    ],
    "link to nothing": [("s", {"type": SYMLINK, "linkname": ""})],
    "hard link up": [("s", {"type": LINK, "linkname": "../outside/secret"})],
    "absolute hard link": [("s", {"type": LINK, "linkname": "/etc/passwd"})],
    "device": [("zero", {"type": tarfile.CHRTYPE, "devmajor": 1, "devminor": 5})],
    "disk": [("disk", {"type": tarfile.BLKTYPE})],
    "FIFO": [("fifo", {"type": tarfile.FIFOTYPE})],
    "sparse": [("holes", {"type": tarfile.GNUTYPE_SPARSE})],
    "unknown": [("what", {"type": b"Z"})],
}


@pytest.mark.parametrize("members", BAD.values(), ids=BAD)
async def test_one_bad_member_and_nothing_is_extracted(plot: Plot, members: Any) -> None:
    data = tar([("good", b"1"), *members, ("good too", b"2")])
    async with plot.files() as files:
        with pytest.raises(Refused):
            await files.archive_in(data)
        assert await files.list() == []
    assert plot.outside_is_untouched()


async def test_no_link_is_followed_that_was_there_or_came(plot: Plot) -> None:
    plot.link("door", "../outside")
    plot.link("secret", "../outside/secret")
    plot.directory("d")
    plot.link("inner", "d")
    came = {"type": SYMLINK, "linkname": "d"}
    over = {"type": LINK, "linkname": "secret"}
    async with plot.files() as files:
        for members in (
            [("door/secret", b"changed")],
            [("inner/a", b"")],
            [("s", came), ("s/a", b"")],
            [("s", {"type": SYMLINK, "linkname": "../outside"}), ("s/a", b"")],
            [("d/moved", over)],
            [("door", {"type": DIRECTORY})],
        ):
            with pytest.raises(Refused):
                await files.archive_in(tar(members), outside_links=True)
        await files.archive_in(tar([("secret", b"a file now")]))
        assert await files.read("secret") == b"a file now"
        assert await files.list("d") == []
    assert plot.outside_is_untouched()


def pax(items: int, kind: bytes = tarfile.XHDTYPE) -> bytes:
    body = b"".join(b"13 k%06d=v\n" % number for number in range(items))
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, len(body)
    return info.tobuf(tarfile.USTAR_FORMAT) + body + bytes(-len(body) % 512)


def says(size: int) -> bytes:
    info = tarfile.TarInfo("a")
    info.size = size
    return info.tobuf(tarfile.GNU_FORMAT) + bytes(500_224)


FILE, END = tar([("a", b"")])[:512], bytes(1024)

NOT_ARCHIVES = {
    "nothing": b"",
    "noise": bytes(range(256)) * 8,
    "cut off in a header": tar([("a", b"x" * 1000), ("b", b"")])[:1800],
    "cut off in a file": tar([("a", b"x" * 1000)])[:700],
    "cut off between files": tar([("a", b"x"), ("b", b"")])[:1024],
    "broken in the middle": FILE + b"\1" * 512 + FILE + END,
    "cut off gzip": gzip.compress(tar([("a", os.urandom(9999))]))[:5000],
    "broken gzip": gzip.compress(tar([("a", b"x")]))[:-8] + bytes(8),
    "cut off xz": lzma.compress(tar([("a", os.urandom(9999))]))[:5000],
    "cut off bzip2": bz2.compress(tar([("a", os.urandom(9999))]))[:5000],
    "headers of headers": pax(1) * 2000 + FILE + END,
    "long header": pax(100_000) + FILE + END,
    "many global items": pax(200, tarfile.XGLTYPE) * 2 + FILE + END,
}


@pytest.mark.parametrize("data", NOT_ARCHIVES.values(), ids=NOT_ARCHIVES)
async def test_what_is_not_an_archive_is_refused_as_a_whole(plot: Plot, data: bytes) -> None:
    async with plot.files() as files:
        with pytest.raises(Refused, match="archive") as told:
            await files.archive_in(data, "d")
        assert (told.value.errno, told.value.filename) == (errno.EBADMSG, "d")
        assert await files.list() == []


BOMBS = {
    "gzip": gzip.compress(tar([("zeros", bytes(MANY_BYTES))])),
    "bzip2": bz2.compress(tar([("zeros", bytes(MANY_BYTES))])),
    "xz": lzma.compress(tar([("zeros", bytes(MANY_BYTES))])),
    "gzip of nothing": gzip.compress(FILE) + gzip.compress(b"") * 100_000,
    "many small": gzip.compress(tar([(str(number), b"") for number in range(1001)])),
    "one that is large": tar([("a", bytes(500_001))]),
    "one that says so": says(1 << 40),
    "one that says more than there may be": says(500_000) * 3,
}


@pytest.mark.parametrize("data", BOMBS.values(), ids=BOMBS)
async def test_bombs_are_too_large(plot: Plot, data: bytes) -> None:
    limits = {"max_file_bytes": 500_000, "max_archive_bytes": 1_000_000, "max_entries": 1000}
    async with plot.files(**limits) as files:
        with pytest.raises(TooLarge):
            await files.archive_in(data)
        assert await files.list() == []
        plot.file("a", bytes(500_000))
        plot.file("b", bytes(500_000))
        with pytest.raises(TooLarge):
            await files.archive_out()


@settings(max_examples=150, deadline=None)
@given(
    kind=st.sampled_from(["w", "w:gz", "w:bz2", "w:xz"]),
    changes=st.lists(st.tuples(st.integers(0, 1 << 12), st.integers(0, 255)), max_size=8),
    cut=st.none() | st.integers(0, 4000),
)
def test_any_bytes_are_extracted_or_refused(
    kind: str, changes: list[tuple[int, int]], cut: int | None
) -> None:
    plain = pax(3) + tar(
        [
            ("d/a", b"content"),
            ("x" * 300, b"long name"),
            ("s", {"type": SYMLINK, "linkname": "d"}),
            ("h", {"type": LINK, "linkname": "d/a"}),
        ]
    )
    compress = {"w": bytes, "w:gz": gzip.compress, "w:bz2": bz2.compress, "w:xz": lzma.compress}
    data = bytearray(compress[kind](plain))
    for at, value in changes:
        data[at % len(data)] = value

    async def check(plot: Plot) -> None:
        async with plot.files(max_archive_bytes=1 << 20) as files:
            with suppress(OSError):  # anything else is a bug
                await files.archive_in(bytes(data[:cut]))
            assert not any(".paddock-" in entry.path for entry in (await files.walk()).entries)
        assert plot.outside_is_untouched()

    with tempfile.TemporaryDirectory() as directory:
        anyio.run(check, Plot(Path(directory)))
