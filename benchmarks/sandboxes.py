"""What sandboxes cost: each level against the same zygote without walls, in turns.

Nothing hostile runs here: `true`, `sleep` and shells that wait. That is why level `none`, which
has no walls, can be the peer.
"""

import os
import statistics
import time
from contextlib import AsyncExitStack

import anyio

from paddock.limits import Limits
from paddock.sandbox.confinement import Level, Profile
from paddock.sandbox.levels import survey
from paddock.sandbox.sandbox import Sandbox
from paddock.sandbox.sandboxes import Sandboxes

__all__ = ["READS", "SPAWN", "levels", "one_round"]

SPAWN = "spawn true, to its end (ms)"
READS = "read of a 4 KiB file (us)"
PLAIN = "plain open"

STARTED_S = 10.0
SETTLE_S = 0.5
CROWD = 30
_CROWD = f"for i in $(seq {CROWD - 1}); do sleep 600 & done; echo; wait"

Measures = dict[str, dict[str, float]]
"""A measure's medians, by level or peer."""


async def levels() -> tuple[list[Level], dict[Level, str]]:
    """Return the levels that run here, and why the others do not."""
    refused = {level: why for level, why in (await survey()).items() if why is not None}
    walls = (Level.NAMESPACES, Level.UID, Level.LANDLOCK)
    return [level for level in walls if level not in refused], refused


async def one_round(run: list[Level], scale: float) -> Measures:
    """Measure every level once, call by call in turns."""
    count = max(3, int(100 * scale))
    async with AsyncExitStack() as stack:
        boxes: dict[Level, Sandbox] = {}
        for level in (Level.NONE, *run):
            sandboxes = await stack.enter_async_context(Sandboxes.serving(level, Profile()))
            boxes[level] = await sandboxes.take(Limits(processes=2 * CROWD))
            await boxes[level].prepare()
        await anyio.sleep(SETTLE_S)  # the pools have filled up
        return {
            SPAWN: await _spawns(boxes, count),
            "kill of a session, empty (ms)": await _kills(boxes, count // 4 + 1),
            f"kill of a session, {CROWD} processes (ms)": await _kills(
                boxes, count // 10 + 1, crowded=True
            ),
            READS: await _reads(boxes, 4 * count),
        }


async def _spawns(boxes: dict[Level, Sandbox], count: int) -> dict[str, float]:
    times: dict[str, list[float]] = {}
    for _ in range(count):
        for level, sandbox in boxes.items():
            began = time.perf_counter()
            process = await sandbox.spawn(["true"])
            code = await process.wait()
            times.setdefault(level, []).append(time.perf_counter() - began)
            process.close()
            assert code == 0, f"true at level {level} ended with {code}"
    return _medians(times, 1e3)


async def _kills(
    boxes: dict[Level, Sandbox], count: int, *, crowded: bool = False
) -> dict[str, float]:
    times: dict[str, list[float]] = {}
    for _ in range(count):
        for level, sandbox in boxes.items():
            if level is Level.NONE:  # there it goes by descent; nobody would kill a session so
                continue
            await sandbox.prepare()
            if crowded:
                await _crowd(sandbox)
            began = time.perf_counter()
            await sandbox.kill()
            times.setdefault(level, []).append(time.perf_counter() - began)
    return _medians(times, 1e3)


async def _crowd(sandbox: Sandbox) -> None:
    """Start processes that wait, and return when all of them are there."""
    read, write = os.pipe2(os.O_CLOEXEC)
    try:
        process = await sandbox.spawn(["sh", "-c", _CROWD], stdio=[write, write, write])
        process.close()
        os.close(write)
        write = -1
        with anyio.fail_after(STARTED_S):
            await anyio.wait_readable(read)
    finally:
        os.close(read)
        if write >= 0:
            os.close(write)


async def _reads(boxes: dict[Level, Sandbox], count: int) -> dict[str, float]:
    times: dict[str, list[float]] = {}
    for sandbox in boxes.values():
        await sandbox.files.write("file", bytes(4096))
    path = boxes[Level.NONE].workspace / "file"
    for _ in range(count):
        began = time.perf_counter()
        path.read_bytes()
        times.setdefault(PLAIN, []).append(time.perf_counter() - began)
        for level, sandbox in boxes.items():
            if level is not Level.NONE:
                began = time.perf_counter()
                await sandbox.files.read("file")
                times.setdefault(level, []).append(time.perf_counter() - began)
    return _medians(times, 1e6)


def _medians(times: dict[str, list[float]], unit: float) -> dict[str, float]:
    return {name: statistics.median(values) * unit for name, values in times.items()}
