"""Removing what sessions leave: deep, wide, closed, and more than there is time for."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio.to_thread
import pytest

import trees
from paddock.sandbox.files import SERVER, remove_tree
from trees import Plot

MANY_S = 60.0


@pytest.fixture
def place() -> Iterator[Path]:
    with TemporaryDirectory(dir=trees.MEMORY) as directory:
        yield Path(directory)


@pytest.fixture(params=trees.IDENTITIES)
def plot(request: pytest.FixtureRequest, place: Path) -> Plot:
    return Plot(place, request.param)


def deep(plot: Plot) -> None:
    plot.deep(3000)


def wide(plot: Plot) -> None:
    directory = plot.directory("d")
    at = os.open(directory, os.O_RDONLY)
    for number in range(20_000):
        os.close(os.open(str(number), os.O_WRONLY | os.O_CREAT, dir_fd=at))
    os.close(at)


def closed(plot: Plot) -> None:
    plot.directory("d")
    for name in ("d/a", "d/a/b", "d/a/b/c", "d/x"):
        plot.directory(name)
    for name in ("d/a/f", "d/a/b/f", "d/a/b/c/f", "d/x/f"):
        plot.file(name, b"", 0o000)
    for name, mode in (("d/a/b/c", 0), ("d/a/b", 0o400), ("d/x", 0o500), ("d/a", 0o100), ("d", 0)):
        (plot.root / name).chmod(mode)


def mixed(plot: Plot) -> None:
    plot.directory("d")
    for number in range(300):
        plot.directory(f"d/{number}")
        plot.directory(f"d/{number}/below")
        plot.file(f"d/{number}/below/f")
        plot.link(f"d/{number}/out", str(plot.outside))
    os.mkfifo(plot.root / "d/fifo")
    plot.link("d/dangling", "none")


TREES = [deep, wide, closed, mixed]


@pytest.mark.parametrize("make", TREES)
async def test_remove_takes_everything(plot: Plot, make: Callable[[Plot], None]) -> None:
    make(plot)
    async with plot.files(time_budget_s=MANY_S) as files:
        before = trees.descriptors()
        await files.remove("d", recursive=True)
        assert await files.list() == []
        assert trees.descriptors() == before
    assert plot.outside_is_untouched()


@pytest.mark.parametrize("make", TREES)
def test_remove_tree_takes_the_directory_too(plot: Plot, make: Callable[[Plot], None]) -> None:
    make(plot)
    plot.root.chmod(0)
    assert remove_tree(plot.root, plot.identity, MANY_S)
    assert not plot.root.exists()
    assert remove_tree(plot.root, plot.identity, MANY_S), "gone is gone"
    assert plot.outside_is_untouched()


def test_remove_tree_removes_a_link_and_not_what_it_points_at(plot: Plot) -> None:
    link = plot.root.parent / "link"
    link.symlink_to(plot.outside)
    assert remove_tree(link, plot.identity, MANY_S)
    assert not link.is_symlink()
    assert plot.outside_is_untouched()


@pytest.mark.parametrize("make", [deep, wide])
def test_a_removal_that_ran_out_of_time_goes_on(plot: Plot, make: Callable[[Plot], None]) -> None:
    make(plot)
    assert not remove_tree(plot.root, plot.identity, 0.005)
    assert plot.root.exists()
    calls = 1
    while not remove_tree(plot.root, plot.identity, 0.02):
        calls += 1
        assert calls < 5000
    assert not plot.root.exists()


async def test_a_removal_by_a_session_goes_on_too(plot: Plot) -> None:
    wide(plot)
    async with plot.files(time_budget_s=0.02) as files:
        with pytest.raises(TimeoutError) as told:
            await files.remove("d", recursive=True)
        assert told.value.filename == "d"
        for _ in range(5000):
            try:
                await files.remove("d", recursive=True)
                break
            except TimeoutError:
                pass
    assert list(plot.root.iterdir()) == []


@pytest.mark.parametrize("kind", trees.IDENTITIES)
def test_what_is_anothers_stays_and_the_rest_goes(place: Path, kind: str) -> None:
    plot = Plot(place, kind)
    mixed(plot)
    servers = plot.root / "d/7/servers"
    servers.mkdir(mode=0o700)
    (servers / "a").touch()
    if kind == "session":
        with pytest.raises(PermissionError):
            remove_tree(plot.root, plot.identity, MANY_S)
        assert [len(list(each.iterdir())) for each in plot.root.iterdir()] == [1]
        assert remove_tree(plot.root, SERVER, MANY_S)
    assert remove_tree(plot.root, plot.identity, MANY_S)
    assert not plot.root.exists()


MAKING = """
print("ready", flush=True)
number = 0
while True:
    number += 1
    try:
        os.makedirs(f"d/{number % 50}/b/c")
        os.rename(f"d/{number % 50}/b", f"d/{number % 7}/moved{number}")
        os.symlink("../../outside", f"d/{number % 50}/out")
    except OSError:
        pass
"""


async def test_removing_what_a_process_is_at_work_in_ends(plot: Plot) -> None:
    plot.directory("d")
    with plot.process(MAKING):
        async with plot.files(time_budget_s=0.3) as files:
            for _ in range(5):
                try:
                    await files.remove("d", recursive=True)
                except OSError as exc:
                    assert exc.filename == "d"  # in time, whatever came of it
    assert plot.outside_is_untouched()
    assert await anyio.to_thread.run_sync(remove_tree, plot.root, SERVER, MANY_S)
