"""When operations of `SandboxFiles` end: cancelled, closed, out of time; and what they leave."""

import errno
import io
import threading
import time
from pathlib import Path

import anyio
import pytest

import trees
from paddock.sandbox.files import Refused
from trees import Plot

SOON_S = 20


@pytest.fixture(params=trees.IDENTITIES)
def plot(request: pytest.FixtureRequest, tmp_path: Path) -> Plot:
    return Plot(tmp_path, request.param)


class Slow(io.BytesIO):
    """A file that takes its time, and says who is at it."""

    def __init__(self, data: bytes = b"") -> None:
        super().__init__(data)
        self.uses = 0
        self.in_use = False
        self.started = threading.Event()

    def _use(self) -> None:
        self.in_use = True
        self.uses += 1
        self.started.set()
        time.sleep(0.02)
        self.in_use = False

    def write(self, data: bytes) -> int:  # type: ignore[override]
        self._use()
        return super().write(data)

    def read(self, size: int | None = -1) -> bytes:
        self._use()
        return super().read(size)


MEMBERS = 500


def some_files(plot: Plot) -> None:
    for number in range(MEMBERS):
        plot.file(str(number))


async def started(slow: Slow) -> None:
    with anyio.fail_after(SOON_S):
        while not slow.started.is_set():
            await anyio.sleep(0.001)


async def test_a_cancelled_operation_is_over_when_its_caller_is(plot: Plot) -> None:
    some_files(plot)
    slow = Slow()
    async with plot.files(time_budget_s=SOON_S) as files:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: files.archive_out(into=slow))
            await started(slow)
            group.cancel_scope.cancel()
        assert not slow.in_use
        assert slow.uses < MEMBERS
        uses = slow.uses
        await anyio.sleep(0.1)
        assert slow.uses == uses
        assert len(await files.list()) == MEMBERS


async def test_a_cancelled_extraction_leaves_no_half_of_a_file(plot: Plot) -> None:
    content = bytes(range(256)) * 80
    slow = Slow(trees.tar([(str(number), content) for number in range(20)]))
    async with plot.files(time_budget_s=SOON_S) as files:
        async with anyio.create_task_group() as group:
            group.start_soon(files.archive_in, slow)
            with anyio.fail_after(SOON_S):
                while not list(plot.root.iterdir()):
                    await anyio.sleep(0.01)
            group.cancel_scope.cancel()
        assert not slow.in_use
        found = await files.list()
        assert all(entry.name.isdigit() and entry.size == len(content) for entry in found)
        assert len(found) < 20


async def test_a_cancelled_write_happened_or_did_not(plot: Plot) -> None:
    old, new = b"o" * 1000, b"n" * (30 << 20)
    async with plot.files() as files:
        await files.write("a", old)
        for delay in (0, 0.001, 0.005, 0.01):
            with anyio.move_on_after(delay):
                await files.write("a", new)
            assert await files.read("a") in (old, new)
            assert [entry.name for entry in await files.list()] == ["a"]


async def test_closing_ends_what_runs_and_refuses_what_comes(plot: Plot) -> None:
    some_files(plot)
    before = trees.descriptors()
    files, slow, told = plot.files(time_budget_s=SOON_S), Slow(), list[OSError]()

    async def pack(into: io.BytesIO) -> None:
        with pytest.raises(OSError, match="closed") as closed:
            await files.archive_out(into=into)
        told.append(closed.value)

    async with anyio.create_task_group() as group:
        for _ in range(6):  # more than run at once
            group.start_soon(pack, slow)
        await started(slow)
        await files.close()
        assert not slow.in_use
    for call in (files.read("0"), files.list(), files.write("b", b"")):
        with pytest.raises(OSError, match="closed") as closed:
            await call
        told.append(closed.value)
    await files.close()
    assert {exc.errno for exc in told} == {errno.EBADF}
    assert len(told) == 9
    assert trees.descriptors() == before


async def test_closing_while_cancelled_closes(plot: Plot) -> None:
    before = trees.descriptors()
    files = plot.files()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await files.close()
    with pytest.raises(OSError, match="closed"):
        await files.read("a")
    assert trees.descriptors() == before


async def test_an_operation_that_is_not_done_in_time_says_so(plot: Plot) -> None:
    some_files(plot)
    slow = Slow()
    async with plot.files(time_budget_s=0.1) as files:
        with pytest.raises(TimeoutError, match="within") as told:
            await files.archive_out(into=slow)
        assert (told.value.filename, told.value.errno) == (".", errno.ETIMEDOUT)
        assert not slow.in_use
        # One that waits for those that run has the same time.
        async with anyio.create_task_group() as group:

            async def pack() -> None:
                with pytest.raises(TimeoutError):
                    await files.archive_out(into=Slow())

            for _ in range(12):
                group.start_soon(pack)
        assert len(await files.list()) == MEMBERS


async def test_nothing_stays_open_after_a_thousand_operations(plot: Plot) -> None:
    plot.file("a", b"a")
    plot.link("out", "../outside/secret")
    plot.link("loop", "loop")
    async with plot.files() as files:

        async def some(number: int) -> None:
            await files.write(f"d{number}/new/b", b"x")
            assert await files.read("a") == b"a"
            for path in ("out", "loop", "/etc/passwd", "../outside"):
                with pytest.raises(Refused):
                    await files.read(path)
            with pytest.raises(NotADirectoryError):
                await files.write("a/b", b"")
            with pytest.raises(IsADirectoryError):
                await files.read("d0")
            packed = await files.archive_out(f"d{number}")
            await files.archive_in(packed.data, f"e{number}")
            with pytest.raises(Refused):
                await files.archive_in(packed.data[:700], f"f{number}")
            await files.walk(limit=3)
            await files.stat("out")
            await files.rename(f"e{number}", f"d{number}/e")
            await files.remove(f"d{number}", recursive=number > 0)

        with pytest.raises(OSError, match="d0"):
            await some(0)
        before = trees.descriptors()
        for start in range(1, 71, 7):
            async with anyio.create_task_group() as group:
                for number in range(start, start + 7):
                    group.start_soon(some, number)
        assert trees.descriptors() == before
