"""`SandboxFiles`: writing, making, renaming, removing, copying in."""

import os
import stat
import tempfile
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trees
from paddock.sandbox.files import Refused
from trees import Plot


@pytest.fixture(params=trees.IDENTITIES)
def plot(request: pytest.FixtureRequest, tmp_path: Path) -> Plot:
    return Plot(tmp_path, request.param)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def names_in(path: Path) -> list[str]:
    return sorted(each.name for each in path.iterdir())


async def test_what_is_written_is_the_sessions_whatever_the_umask(plot: Plot) -> None:
    umask = os.umask(0o077)
    try:
        async with plot.files() as files:
            await files.write("new/below/a", b"1")
            await files.write("new/b", b"2", mode=0o4)
            await files.mkdir("other/c", parents=True, mode=0o751)
            await files.symlink("link", "anywhere")
    finally:
        os.umask(umask)
    uid = os.geteuid() if plot.identity.uid is None else plot.uid
    for name, mode in (
        ("new", 0o755),
        ("new/below", 0o755),
        ("new/below/a", 0o644),
        ("new/b", 0o004),
        ("other", 0o755),
        ("other/c", 0o751),
    ):
        assert (mode_of(plot.root / name), (plot.root / name).stat().st_uid) == (mode, uid), name
    assert (plot.root / "link").lstat().st_uid == uid
    assert (plot.root / "new/below/a").read_bytes() == b"1"


async def test_write_replaces_the_file_and_keeps_its_mode(plot: Plot) -> None:
    plot.file("a", b"old", 0o750)
    plot.give(plot.root / "a")
    os.link(plot.root / "a", plot.root / "second")
    plot.file("setuid", b"", 0o4755)
    async with plot.files() as files:
        await files.write("a", b"new")
        assert (await files.read("a"), await files.read("second")) == (b"new", b"old")
        assert (await files.stat("a")).mode == 0o750
        await files.write("a", b"newer", mode=0o600)
        assert (await files.stat("a")).mode == 0o600
        await files.write("setuid", b"mine")
        assert (await files.stat("setuid")).mode == 0o755
        assert names_in(plot.root) == ["a", "second", "setuid"]


async def test_write_goes_to_where_a_link_inside_leads(plot: Plot) -> None:
    plot.directory("d")
    plot.file("d/a", b"old")
    plot.link("first", "./second")
    plot.link("second", "d/a")
    plot.link("d/up", "../new")
    plot.link("door", "d")
    async with plot.files() as files:
        await files.write("first", b"1")
        await files.write("door/up", b"2")
        assert (await files.read("d/a"), await files.read("new")) == (b"1", b"2")
        assert (await files.stat("first")).kind == (await files.stat("d/up")).kind == "symlink"


async def test_a_write_that_fails_changes_nothing(plot: Plot) -> None:
    plot.directory("d")
    plot.file("d/a", b"old")
    async with plot.files() as files:
        for path, error in (("d", IsADirectoryError), (".", IsADirectoryError), ("..", Refused)):
            with pytest.raises(error):
                await files.write(path, b"new")
        with pytest.raises(FileNotFoundError):
            await files.write("none/a", b"new", parents=False)
        with pytest.raises(NotADirectoryError):
            await files.write("d/a/b", b"new")
        for mode in (0o4755, 0o2755, 0o1777, -1, 1 << 20):
            for call in (
                files.write("d/a", b"new", mode=mode),
                files.chmod("d/a", mode),
                files.mkdir("e", mode=mode),
            ):
                with pytest.raises(Refused):
                    await call
    assert (names_in(plot.root), names_in(plot.root / "d")) == (["d"], ["a"])
    assert (plot.root / "d/a").read_bytes() == b"old"


async def test_mkdir(plot: Plot) -> None:
    plot.link("dangling", "none")
    plot.file("file")
    async with plot.files() as files:
        await files.mkdir("a", mode=0o700)
        with pytest.raises(FileExistsError):
            await files.mkdir("a")
        await files.mkdir("a", exist_ok=True)
        assert (await files.stat("a")).mode == 0o700
        with pytest.raises(FileNotFoundError):
            await files.mkdir("x/y")
        await files.mkdir("x/y", parents=True)
        await files.mkdir("x/../x/y/../z/", parents=True, exist_ok=True)
        assert names_in(plot.root / "x") == ["y", "z"]
        for path in ("dangling", "file"):
            with pytest.raises(OSError, match=path):
                await files.mkdir(path, exist_ok=True)


async def test_rename(plot: Plot) -> None:
    plot.file("a", b"a")
    plot.file("b", b"b")
    plot.directory("d")
    async with plot.files() as files:
        with pytest.raises(FileExistsError):
            await files.rename("a", "b", replace=False)
        await files.rename("a", "d/c", replace=False)
        await files.rename("d/c", "b")
        assert (await files.read("b"), names_in(plot.root)) == (b"a", ["b", "d"])
        with pytest.raises(OSError, match="d/e"):
            await files.rename("d", "d/e")
        with pytest.raises(Refused):
            await files.rename("d", "..")


async def test_remove_and_chmod(plot: Plot) -> None:
    plot.file("a")
    plot.directory("d")
    plot.file("d/a")
    plot.link("link", "d")
    async with plot.files() as files:
        await files.chmod("link", 0o500)
        assert mode_of(plot.root / "d") == 0o500
        await files.chmod("d", 0o700)
        await files.remove("link")
        await files.remove("a")
        for path, error in (("a", FileNotFoundError), (".", IsADirectoryError), ("d", OSError)):
            with pytest.raises(error):
                await files.remove(path)
        with pytest.raises(Refused):
            await files.remove("d/..", recursive=True)
        await files.remove("d", recursive=True)
    assert names_in(plot.root) == []


async def test_copy_in(plot: Plot, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "closed/deep").mkdir(parents=True)
    (source / "closed/deep/a").write_bytes(b"content")
    (source / "closed/deep/a").chmod(0o4750)
    os.utime(source / "closed/deep/a", ns=(1, 10**18))
    (source / "link").symlink_to("/etc/passwd")
    (source / "__pycache__").mkdir()
    os.mkfifo(source / "fifo")
    (source / "closed").chmod(0o500)
    source.chmod(0o700)  # the server's alone
    plot.file("link", b"replaced")
    async with plot.files() as files:
        for _ in range(2 if plot.identity.uid is None and trees.IS_ROOT else 1):
            await files.copy_in(source, "to/here")
            await files.copy_in(source)
        copy = await files.stat("to/here/closed/deep/a")
        assert (copy.size, copy.mode, copy.mtime_ns) == (7, 0o750, 10**18)
        assert (await files.stat("link")).target == "/etc/passwd"
        assert (await files.stat("closed")).mode == 0o500
        assert names_in(plot.root) == ["closed", "link", "to"]
        plot.directory("door")
        plot.link("door/closed", "../../outside")
        for path in ("door", "door/closed"):
            with pytest.raises(Refused):
                await files.copy_in(source, path)
        with pytest.raises(FileNotFoundError) as told:
            await files.copy_in(tmp_path / "none")
        assert str(tmp_path) not in str(told.value)
    assert plot.outside_is_untouched()


part = st.text(
    st.characters(blacklist_characters="/\0", blacklist_categories=("Cs",)), min_size=1, max_size=60
).filter(lambda text: text not in (".", "..") and len(text.encode()) <= 255)


@pytest.mark.parametrize("kind", trees.IDENTITIES)
@settings(max_examples=60, deadline=None)
@given(parts=st.lists(part, min_size=1, max_size=6), data=st.binary(max_size=3000), cut=st.data())
def test_what_is_written_is_read(kind: str, parts: list[str], data: bytes, cut: st.DataObject):
    offset = cut.draw(st.integers(0, len(data) + 2))
    limit = cut.draw(st.none() | st.integers(0, len(data) + 2))

    async def check(plot: Plot) -> None:
        path = "/".join(parts)
        async with plot.files() as files:
            await files.write(path, data)
            assert await files.read(path) == data
            end = None if limit is None else offset + limit
            assert await files.read(path, offset=offset, limit=limit) == data[offset:end]
            assert [entry.path for entry in (await files.walk()).entries][-1] == path
        assert (plot.root / path).read_bytes() == data

    with tempfile.TemporaryDirectory() as directory:
        anyio.run(check, Plot(Path(directory), kind))
