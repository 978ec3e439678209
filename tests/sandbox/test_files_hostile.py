"""`SandboxFiles` against a session that wants the server to touch something else."""

import errno
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import anyio
import pytest

import trees
from paddock.sandbox.files import SERVER, Refused, SandboxFiles
from trees import SECRET, Plot

SOON_S = 10
"""What hangs does so for ever."""

LEADS_OUT = {
    "absolute link": "link",
    "relative link": "relative",
    "link to a link": "chain",
    "link below a link": "below/secret",
    "dots": "../outside/secret",
    "dots in the middle": "d/../../outside/secret",
    "dots through a link": "d/up/../outside/secret",
    "absolute": "{outside}/secret",
    "absolute, and inside": "{root}/a",
}

# To be looked at only: whoever breaks what is tested here is not to lose his machine.
LEADS_TO_THE_SYSTEM = {
    "more dots than directories": "../" * 40 + "etc/passwd",
    "absolute": "/etc/passwd",
    "the root": "/",
    "environment": "env",
    "descriptor": "fd",
    "link to a device": "zero",
}

NOT_REGULAR = {"FIFO": "fifo", "socket": "socket", "link to a FIFO": "to_fifo"} | (
    {"device": "device"} if trees.IS_ROOT else {}
)

Calls = dict[str, Callable[[SandboxFiles, str], Awaitable[object]]]

LOOKING: Calls = {
    "read": lambda files, path: files.read(path),
    "read a part": lambda files, path: files.read(path, limit=1),
    "list": lambda files, path: files.list(path),
    "walk": lambda files, path: files.walk(path),
    "archive_out": lambda files, path: files.archive_out(path),
    "stat": lambda files, path: files.stat(path, follow=True),
}

CHANGING: Calls = {
    "write": lambda files, path: files.write(path, b"changed"),
    "write with a mode": lambda files, path: files.write(path, b"changed", mode=0o777),
    "chmod": lambda files, path: files.chmod(path, 0o600),
    "archive_in": lambda files, path: files.archive_in(trees.tar([("x", b"")]), path),
    "copy_in": lambda files, path: files.copy_in(Path(__file__).parent, path),
    "mkdir below": lambda files, path: files.mkdir(path + "/x", parents=True),
    "write below": lambda files, path: files.write(path + "/x", b"changed"),
    "symlink below": lambda files, path: files.symlink(path + "/x", "a"),
    "rename from below": lambda files, path: files.rename(path + "/secret", "stolen"),
    "rename to below": lambda files, path: files.rename("a", path + "/x"),
    "remove below": lambda files, path: files.remove(path + "/secret"),
}


@pytest.fixture(params=trees.IDENTITIES)
def plot(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plot:
    plot = Plot(tmp_path, request.param)
    plot.file("a", b"inside")
    plot.directory("d")
    plot.link("d/up", "..")
    plot.link("link", str(plot.outside / "secret"))
    plot.link("relative", "../outside/secret")
    plot.link("chain", "relative")
    plot.link("below", "../outside")
    plot.link("env", "/proc/self/environ")
    plot.link("fd", "/proc/self/fd/0")
    plot.link("zero", "/dev/zero")
    plot.link("loop", "loop")
    plot.link("to_fifo", "fifo")
    os.mkfifo(plot.root / "fifo", 0o666)
    plot.give(plot.root / "fifo")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(plot.root)  # a socket's path is short
        server.bind("socket")
    plot.give(plot.root / "socket")
    if trees.IS_ROOT:
        os.mknod(plot.root / "device", 0o666 | stat.S_IFCHR, os.makedev(1, 5))
        plot.give(plot.root / "device")
    return plot


@pytest.mark.parametrize(
    ("path", "calls"),
    [
        *((path, LOOKING | CHANGING) for path in LEADS_OUT.values()),
        *((path, LOOKING) for path in LEADS_TO_THE_SYSTEM.values()),
    ],
    ids=[*LEADS_OUT, *LEADS_TO_THE_SYSTEM],
)
async def test_what_leads_out_is_refused_by_every_call(plot: Plot, path: str, calls: Calls) -> None:
    given = path.format(root=plot.root, outside=plot.outside)
    async with plot.files() as files:
        for what, call in calls.items():
            with anyio.fail_after(SOON_S):
                with pytest.raises(Refused, match=r"tree|link") as told:
                    await call(files, given)
            assert told.value.filename.startswith((given, "a"))
            assert plot.outside_is_untouched(), what


@pytest.mark.parametrize("path", NOT_REGULAR.values(), ids=NOT_REGULAR)
async def test_what_is_not_a_regular_file_is_refused_at_once(plot: Plot, path: str) -> None:
    async with plot.files() as files:
        with anyio.fail_after(SOON_S):
            for call in (
                files.read(path),
                files.read(path, limit=1),
                files.write(path, b""),
                files.chmod(path, 0o600),
            ):
                with pytest.raises(Refused, match="Not a regular file"):
                    await call
        packed = await files.archive_out()
        assert packed.skipped["fifo"] == packed.skipped["socket"] == "Not a regular file"
    assert stat.S_ISFIFO((plot.root / "fifo").stat().st_mode)


async def test_links_in_a_circle_end(plot: Plot) -> None:
    async with plot.files() as files:
        for call in (files.read("loop"), files.write("loop", b""), files.list("loop/x")):
            with pytest.raises(Refused):
                await call


async def test_the_kernels_own_links_are_refused() -> None:
    async with SandboxFiles(Path("/proc/self"), SERVER) as files:
        for path in ("cwd/pyproject.toml", "root/etc/passwd", "exe", "fd/0", "task/../exe"):
            with pytest.raises(Refused):
                await files.read(path)


async def test_links_themselves_can_be_handled(plot: Plot) -> None:
    async with plot.files() as files:
        assert (await files.stat("link")).target == str(plot.outside / "secret")
        await files.rename("link", "d/link")
        await files.remove("d/link")
        await files.remove("below")
        await files.symlink("again", "/etc/passwd")
        with pytest.raises(Refused):
            await files.read("again")
        for wrong in ("\ud800", "a\0b"):
            with pytest.raises(Refused):
                await files.symlink("wrong", wrong)
    assert plot.outside_is_untouched()


async def test_a_file_that_a_process_holds_does_not_hold_the_server(plot: Plot) -> None:
    plot.file("held", b"1")
    lease = """
signal.signal(signal.SIGIO, signal.SIG_IGN)
held = open("held", "r+b")
fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
print("ready", flush=True)
time.sleep(60)
"""
    with plot.process(lease):
        async with plot.files() as files:
            with anyio.fail_after(SOON_S):
                with pytest.raises(Refused, match="held") as told:
                    await files.read("held")
                assert told.value.errno == errno.EAGAIN
                await files.write("held", b"2")


SWAP = """
swap = ctypes.CDLL(None, use_errno=True).renameat2
print("ready", flush=True)
while True:
    if swap(-100, b"swapped", -100, b"other", 2):  # RENAME_EXCHANGE
        raise OSError(ctypes.get_errno(), "renameat2")
"""

TRIES = 55_000
"""Accesses as each identity."""

INSIDE = 1000
"""Files in the directory that is a link half of the time."""


async def test_a_directory_that_turns_into_a_link_and_back_never_leads_out(plot: Plot) -> None:
    """At names whose meaning changes all the time."""
    plot.directory("swapped")
    plot.link("other", "../outside")
    plot.file("swapped/secret", b"inside")
    for number in range(INSIDE):
        plot.file(f"swapped/{number}", b"inside")
    archive = trees.tar([("swapped/new", b"inside")] * 10)
    tries, done, refused = 0, 0, 0

    async def again(times: int, call: Callable[[], Awaitable[object]]) -> None:
        nonlocal tries, done, refused
        for _ in range(times):
            tries += 1
            try:
                assert await call() in (None, b"inside")
                done += 1
            except Refused:
                refused += 1

    with plot.process(SWAP):
        async with plot.files() as files:

            async def pack() -> None:
                nonlocal tries, done, refused
                while tries < TRIES:
                    packed = await files.archive_out()
                    assert SECRET not in packed.data
                    tries += packed.entries + len(packed.skipped)
                    done += packed.entries
                    refused += len(packed.skipped)

            async with anyio.create_task_group() as group:
                for _ in range(3):
                    group.start_soon(again, 3_000, lambda: files.read("swapped/secret"))
                    group.start_soon(again, 1_000, lambda: files.read("other/secret"))
                group.start_soon(again, 500, lambda: files.write("swapped/new", b"inside"))
                group.start_soon(again, 500, lambda: files.chmod("swapped/secret", 0o640))
                group.start_soon(again, 200, lambda: files.archive_in(archive))
                group.start_soon(pack)

    assert tries >= TRIES
    assert min(done, refused) > 1000, "the race was one"
    assert plot.outside_is_untouched()
