"""Archives: out of a tree and into one, and what nobody should extract."""

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import trees
from trees import Plot, tar

SYMLINK, LINK, DIRECTORY = tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE
MANY_BYTES = 3_000_000


@pytest.fixture(params=trees.IDENTITIES)
def plot(request: pytest.FixtureRequest, tmp_path: Path) -> Plot:
    return Plot(tmp_path, request.param)


def found_in(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Describe a tree by what an archive keeps of it."""
    found: dict[bytes, tuple[object, ...]] = {}
    for above, directories, files in os.walk(os.fsencode(root)):
        for name in directories + files:
            path = Path(os.fsdecode(os.path.join(above, name)))  # noqa: PTH118 - bytes
            status = path.lstat()
            what: list[object] = [stat.S_IFMT(status.st_mode)]
            if path.is_symlink():
                what += [path.readlink()]
            else:
                what += [stat.S_IMODE(status.st_mode)]
                if path.is_file():
                    what += [path.read_bytes(), status.st_mtime_ns]
            found[os.fsencode(path.relative_to(root))] = tuple(what)
    return found


part = st.binary(min_size=1, max_size=40).filter(
    lambda name: name not in (b".", b"..") and not set(b"/\0") & set(name)
) | st.just(b"x" * 200)
node: Any = st.recursive(
    st.tuples(st.just("file"), st.binary(max_size=1200), st.integers(0, 0o777))
    | st.tuples(st.just("link"), st.binary(min_size=1, max_size=200)),
    lambda below: st.tuples(
        st.just("directory"), st.dictionaries(part, below, max_size=4), st.integers(0o700, 0o777)
    ),
    max_leaves=12,
)


def build(plot: Plot, above: bytes, tree: dict[bytes, Any]) -> None:
    for name, (kind, what, *mode) in tree.items():
        path = above + b"/" + name
        match kind:
            case "link":
                os.symlink(what.replace(b"\0", b"/"), path)  # noqa: PTH211 - bytes
            case "file":
                plot.file(os.fsdecode(path), what, mode[0] | (0 if trees.IS_ROOT else 0o400))
                os.utime(path, (7 * len(what), 7 * len(what)))
            case _:
                plot.directory(os.fsdecode(path))
                build(plot, path, what)
                os.chmod(path, mode[0])  # noqa: PTH101 - bytes


@settings(max_examples=60, deadline=None)
@given(tree=st.dictionaries(part, node, max_size=5), compress=st.sampled_from(["", "gz", "xz"]))
@example(tree={b"BZh": ("file", b"", 0o600)}, compress="")  # it begins as bzip2 does
@example(tree={b"\x1f\x8b": ("directory", {}, 0o700)}, compress="")
def test_what_is_packed_comes_back(tree: dict[bytes, Any], compress: str) -> None:
    # As the server, who may read what is closed.
    async def check(plot: Plot, copy: Plot) -> None:
        build(plot, os.fsencode(plot.root), tree)
        async with plot.files() as files, copy.files() as copied:
            packed = await files.archive_out()
            assert (packed.skipped, packed.entries) == ({}, len(found_in(plot.root)))
            data = {"": bytes, "gz": gzip.compress, "xz": lzma.compress}[compress](packed.data)
            await copied.archive_in(data, outside_links=True)
            assert found_in(copy.root) == found_in(plot.root)
            assert (await copied.archive_out()).data == packed.data
            assert (await files.walk()).entries == [] or packed.entries

    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        anyio.run(check, Plot(Path(one)), Plot(Path(other)))


async def test_an_archive_is_of_a_directory_and_relative_to_it(plot: Plot) -> None:
    plot.directory("d")
    plot.directory("d/e", 0o750)
    plot.file("d/e/a", b"content", 0o4755)
    plot.link("d/out", str(plot.outside / "secret"))
    plot.directory("d/skip")
    plot.file("d/skip/b")
    plot.file("large", b"x" * 2000)
    into = io.BytesIO()
    async with plot.files(max_file_bytes=1000) as files:
        packed = await files.archive_out("d", into=into, skip=["skip"])
        assert (packed.data, packed.entries, packed.skipped) == (b"", 4, {})
        assert list((await files.archive_out()).skipped) == ["large"]
        with pytest.raises(NotADirectoryError):
            await files.archive_out("large")
    into.seek(0)
    with tarfile.open(fileobj=into) as archive:
        assert [(m.name, m.mode, m.uid) for m in archive] == [
            ("e", 0o750, 0),
            ("out", 0o777, 0),
            ("skip", 0o755, 0),
            ("e/a", 0o755, 0),
        ]


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:bz2", "w:xz"])
async def test_archives_are_extracted_as_the_session(plot: Plot, mode: str) -> None:
    data = tar(
        [
            ("./d/deep/a", b"one"),
            ("d/deep/a", b"two"),  # the last of a name counts
            ("d/deep", {"type": DIRECTORY, "mode": 0o500}),
            ("d", {"type": DIRECTORY, "mode": 0o7711}),  # after what is in it
            ("setuid", {"mode": 0o6755}),
            ("again", {"type": LINK, "linkname": "./d/deep/a"}),
            ("s", {"type": SYMLINK, "linkname": "d/deep"}),
            ("d/up", {"type": SYMLINK, "linkname": ".././s"}),
        ],
        mode,
    )
    async with plot.files() as files:
        await files.archive_in(data, "new/here")
        await files.archive_in(io.BytesIO(data))
    uid = os.geteuid() if plot.identity.uid is None else plot.uid
    assert (plot.root / "d/deep/a").stat().st_ino == (plot.root / "again").stat().st_ino
    for name, permissions in (("d", 0o711), ("d/deep", 0o500), ("setuid", 0o755)):
        status = (plot.root / "new/here" / name).stat()
        assert (stat.S_IMODE(status.st_mode), status.st_uid) == (permissions, uid)
    assert (plot.root / "d/up/a").read_bytes() == b"two"


@pytest.mark.parametrize("compress", [gzip.compress, bz2.compress, lzma.compress])
async def test_what_compresses_well_is_no_bomb_within_the_limits(
    plot: Plot, compress: Callable[[bytes], bytes]
) -> None:
    async with plot.files() as files:
        await files.archive_in(compress(tar([(name, bytes(MANY_BYTES)) for name in "ab"])))
        assert [entry.size for entry in await files.list()] == [MANY_BYTES] * 2
