"""What an episode costs: resets of a terminal through a real server, and many at once.

Beside them what a container per episode costs, when an engine answers; none is started here.
"""

import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from paddock.client import EnvClient
from paddock.sandbox.confinement import Level
from servers import Candidate, Running

__all__ = ["EPISODE_S", "Containers", "containers", "many", "resets", "server"]

EPISODE_S = 0.1  # of thinking, which the server gets to make a sandbox ready in
WARM_UP = 3
AT_ONCE = 8
DOCKER_S = 60.0
_PROGRAM = "true"

Percentiles = tuple[float, float]
Containers = dict[str, float]


def server(level: Level) -> Candidate:
    """Return a server of terminals at a level."""
    command = (sys.executable, "-m", "paddock", "serve", "terminal", "--port", "{port}")
    return Candidate(
        f"terminal at {level}",
        (*command, "--isolation", level, "--capacity", "400", "--log-level", "error"),
        {"PYTHONDONTWRITEBYTECODE": ""},
    )


async def resets(port: int, count: int, pause_s: float) -> Percentiles:
    """Reset a session so often, with a command in each episode; return p50 and p95 in ms."""
    times: list[float] = []
    async with _client(port) as env:
        for number in range(WARM_UP + count):
            began = time.perf_counter()
            await env.reset()
            if number >= WARM_UP:
                times.append(time.perf_counter() - began)
            result = await env.step({"type": "run", "command": "echo hello"})
            assert "hello" in result.observation["output"], result
            await anyio.sleep(pause_s)
    return _percentiles(times)


async def many(live: Running, sessions: int) -> dict[str, float]:
    """Open so many sessions, a few at a time, and look at what all processes hold then."""
    before = _pss_mb(live.pid)
    times: list[float] = []
    limiter = anyio.CapacityLimiter(AT_ONCE)
    async with AsyncExitStack() as stack:

        async def open_one() -> None:
            async with limiter:
                began = time.perf_counter()
                env = await stack.enter_async_context(_client(live.port))
                await env.reset()
                times.append(time.perf_counter() - began)

        began = time.perf_counter()
        async with anyio.create_task_group() as tasks:
            for _ in range(sessions):
                tasks.start_soon(open_one)
        took_s = time.perf_counter() - began
        held_mb = await to_thread.run_sync(_pss_mb, live.pid) - before
    return {
        "opened, each (ms)": took_s / sessions * 1e3,
        "open and reset, p50 (ms)": _percentiles(times)[0],
        "memory of each (MB)": held_mb / sessions,
    }


def containers(count: int) -> Containers | str:
    """Return the medians of a container per episode in ms, or why there are none."""
    if shutil.which("docker") is None:
        return "no engine"
    try:
        found = _docker("images", "--format", "{{.Repository}}:{{.Tag}}").split()
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired):
        return "no engine"
    images = [name for name in found if "<none>" not in name]
    if not images:
        return "no image on this machine"
    image = next((name for name in images if name.startswith("paddock/terminal:")), images[0])
    runs = ["run", "--rm", "--entrypoint", _PROGRAM, image]
    name = _docker("run", "-d", "--rm", "--entrypoint", "sleep", image, "600").strip()
    try:
        return {
            "docker run --rm": _timed(runs, count),
            "docker exec": _timed(["exec", name, _PROGRAM], count),
        }
    finally:
        _docker("rm", "-f", name)


def _client(port: int) -> EnvClient[Mapping[str, Any], Mapping[str, Any]]:
    return EnvClient(f"http://127.0.0.1:{port}")


def _timed(command: list[str], count: int) -> float:
    times: list[float] = []
    for _ in range(count):
        began = time.perf_counter()
        _docker(*command)
        times.append(time.perf_counter() - began)
    return statistics.median(times) * 1e3


def _docker(*args: str) -> str:
    done = subprocess.run(
        ["docker", *args], capture_output=True, text=True, check=True, timeout=DOCKER_S
    )
    return done.stdout


def _percentiles(times: list[float]) -> Percentiles:
    times = sorted(times)
    last = len(times) - 1
    return statistics.median(times) * 1e3, times[min(last, len(times) * 95 // 100)] * 1e3


def _pss_mb(root: int) -> float:
    """Return the memory of a process and all below it, with shared pages divided among users."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:  # it has ended
                continue
            parents[int(entry.name)] = int(fields[1])
    total_kb = 0
    for pid in parents:
        above = pid
        while above not in (root, 0):
            above = parents.get(above, 0)
        if above == root:
            total_kb += _pss_kb(pid)
    return total_kb / 1024


def _pss_kb(pid: int) -> int:
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:  # it has ended
        return 0
    return next((int(line.split()[1]) for line in rollup.splitlines() if line[:4] == "Pss:"), 0)
