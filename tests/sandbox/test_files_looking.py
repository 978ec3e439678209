"""`SandboxFiles`: reading, describing, listing, walking, and their limits."""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

import trees
from paddock.sandbox.files import Identity, Refused, SandboxFiles, TooLarge
from trees import Plot


@pytest.fixture(params=trees.IDENTITIES)
def plot(request: pytest.FixtureRequest, tmp_path: Path) -> Plot:
    return Plot(tmp_path, request.param)


async def test_read_gives_the_whole_file_or_a_part(plot: Plot) -> None:
    plot.file("a", b"0123456789")
    async with plot.files() as files:
        assert await files.read("a") == b"0123456789"
        assert await files.read(Path("./a")) == b"0123456789"
        assert await files.read("a", offset=3) == b"3456789"
        assert await files.read("a", offset=3, limit=2) == b"34"
        assert await files.read("a", limit=0) == b""
        assert await files.read("a", limit=10**30) == b"0123456789"
        for past in (10, 11, 2**63 - 1, 10**30):
            assert await files.read("a", offset=past) == b""
        for wrong in ({"offset": -1}, {"limit": -1}):
            with pytest.raises(ValueError, match="negative"):
                await files.read("a", **wrong)


async def test_a_file_over_the_limit_is_too_large_unless_a_part_is_asked_for(plot: Plot) -> None:
    plot.file("a", b"x" * 1001)
    with plot.file("holes").open("r+b") as holes:
        holes.truncate(1 << 40)
    async with plot.files(max_file_bytes=1000) as files:
        for name in ("a", "holes"):
            with pytest.raises(TooLarge) as told:
                await files.read(name)
            assert told.value.filename == name
            assert await files.read(name, limit=1000) == (b"x" if name == "a" else b"\0") * 1000
        assert await files.read("a", offset=1) == b"x" * 1000
        assert await files.read("holes", offset=(1 << 40) - 5) == bytes(5)
        with pytest.raises(TooLarge):
            await files.read("a", limit=1001)
        with pytest.raises(TooLarge):
            await files.write("b", b"x" * 1001)
        assert not (plot.root / "b").exists()


async def test_links_that_stay_inside_are_followed(plot: Plot) -> None:
    plot.directory("d")
    plot.file("d/a", b"here")
    plot.link("to_file", "d/a")
    plot.link("to_directory", "d")
    plot.link("d/up", "../d/../to_file")
    async with plot.files() as files:
        for path in ("to_file", "to_directory/a", "d/up", "d/../d/a", "to_directory/up"):
            assert await files.read(path) == b"here"
        link = await files.stat("to_file")
        assert (link.kind, link.target, link.size) == ("symlink", "d/a", 3)
        assert (await files.stat("to_file", follow=True)).kind == "file"
        assert [entry.path for entry in await files.list("to_directory")] == [
            "to_directory/a",
            "to_directory/up",
        ]


async def test_stat_describes_every_kind(plot: Plot) -> None:
    os.utime(plot.file("a", b"abc", 0o640), ns=(5, 10**18 + 7))
    plot.directory("d", 0o750)
    os.mkfifo(plot.root / "fifo")
    async with plot.files() as files:
        entry = await files.stat("a")
        assert (entry.kind, entry.size, entry.mode) == ("file", 3, 0o640)
        assert (entry.mtime_ns, entry.name, entry.target) == (10**18 + 7, "a", None)
        assert ((await files.stat("d/")).kind, (await files.stat("d")).mode) == ("directory", 0o750)
        assert (await files.stat("fifo")).kind == "other"
        assert ((await files.stat(".")).path, (await files.stat("")).kind) == (".", "directory")


async def test_names_that_are_not_utf8_come_and_go(plot: Plot) -> None:
    name = os.fsdecode(b"caf\xe9\n")
    plot.file(name, b"x")
    async with plot.files() as files:
        assert [entry.path for entry in await files.list()] == [name]
        assert await files.read(name) == b"x"


async def test_list_is_in_order_and_bounded(plot: Plot) -> None:
    for number in (3, 1, 2):
        plot.file(f"f{number}")
    async with plot.files(max_entries=3) as files:
        assert [entry.name for entry in await files.list()] == ["f1", "f2", "f3"]
        plot.file("f4")
        with pytest.raises(TooLarge):
            await files.list()
        with pytest.raises(NotADirectoryError):
            await files.list("f1")


async def test_walk_goes_everywhere_but_through_links(plot: Plot) -> None:
    plot.directory("d")
    plot.directory("d/e")
    plot.directory("skipped")
    plot.file("skipped/not")
    plot.file("d/e/a", b"12")
    plot.link("d/round", ".")
    plot.link("out", str(plot.outside))
    async with plot.files() as files:
        walk = await files.walk(skip={"skipped"})
        paths = ["d", "out", "skipped", "d/e", "d/round", "d/e/a"]
        assert [entry.path for entry in walk.entries] == paths
        assert (walk.complete, walk.skipped) == (True, {})
        assert [entry.path for entry in (await files.walk("d/e")).entries] == ["d/e/a"]
        some = await files.walk(limit=2)
        assert ([entry.path for entry in some.entries], some.complete) == (["d", "out"], False)
        assert (await files.walk("d/e", limit=1)).complete
        assert (await files.walk(limit=0)).entries == []
        with pytest.raises(ValueError, match="negative"):
            await files.walk(limit=-1)
    async with plot.files(max_entries=6) as files:
        with pytest.raises(TooLarge):
            await files.walk()


async def test_walk_says_what_is_deeper_than_a_path_is_long() -> None:
    with TemporaryDirectory(dir=trees.MEMORY) as directory:
        plot = Plot(Path(directory))
        plot.deep(2100)
        async with plot.files(time_budget_s=60) as files:
            walk = await files.walk()
            assert list(walk.skipped.values()) == ["File name too long"]
            assert 2040 < len(walk.entries) < 2060
            await files.remove("d", recursive=True)


async def test_paths_are_bounded_together() -> None:
    with TemporaryDirectory(dir=trees.MEMORY) as directory:
        plot = Plot(Path(directory))
        for number in range(17_000):  # each with 4,000 characters, which is over 64 Mi together
            (plot.root / str(number)).symlink_to("x" * 4000)
        async with plot.files(time_budget_s=60) as files:
            for look in (files.list, files.walk):
                with pytest.raises(TooLarge, match="paths together"):
                    await look()


@pytest.mark.parametrize("kind", trees.IDENTITIES)
async def test_permissions_are_those_of_the_identity(tmp_path: Path, kind: str) -> None:
    plot = Plot(tmp_path, kind)
    plot.file("closed", b"own", 0o000)
    plot.directory("shut", 0o000)
    (plot.root / "servers").write_bytes(b"server's")
    (plot.root / "servers").chmod(0o640)  # of a group that the server is in, and the session is not
    paths = ("closed", "servers", "shut/a")
    async with plot.files() as files:
        if kind == "session" or not trees.IS_ROOT:
            denied = paths if trees.IS_ROOT else ("closed", "shut/a")
            for path in denied:
                with pytest.raises(PermissionError) as told:
                    await files.read(path)
                assert told.value.filename == path
            with pytest.raises(PermissionError):
                await files.list("shut")
            assert (await files.walk()).skipped == {"shut": "Permission denied"}
            assert set((await files.archive_out()).skipped) == {*denied} - {"shut/a"} | {"shut"}
            await files.chmod("closed", 0o400)
            assert await files.read("closed") == b"own"
        else:
            assert await files.read("closed") == b"own"
            assert await files.list("shut") == []


async def test_errors_are_the_builtins_with_the_callers_path(plot: Plot) -> None:
    plot.file("a")
    plot.directory("d")
    async with plot.files() as files:
        for path, error in (
            ("none", FileNotFoundError),
            ("none/a", FileNotFoundError),
            ("a/b", NotADirectoryError),
            ("d", IsADirectoryError),
            (".", IsADirectoryError),
            ("x" * 256, OSError),
            ("x/" * 2100 + "x", OSError),
            ("a\0b", Refused),
            ("\ud800", Refused),
        ):
            with pytest.raises(error) as told:
                await files.read(path)
            assert str(plot.root) not in str(told.value)
        with pytest.raises(FileNotFoundError) as told:
            await files.rename("none", "d/there")
        assert (told.value.filename, told.value.filename2) == ("none", "d/there")


async def test_a_server_that_may_not_act_as_another_says_so(tmp_path: Path) -> None:
    # The one id that stands for nobody: even root cannot be it.
    async with SandboxFiles(tmp_path, Identity(0xFFFFFFFF, 0xFFFFFFFF)) as files:
        with pytest.raises(PermissionError):
            await files.list()
        with pytest.raises(PermissionError):
            await files.write("a", b"")
    assert list(tmp_path.iterdir()) == []
