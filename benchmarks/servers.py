"""The servers that are compared: started as their users start them, measured from outside."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from load import Load

HERE = Path(__file__).parent
TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Candidate:
    """One server.

    Attributes:
        name: Its name in the table.
        command: How it is started; ``{port}`` is filled in.
        env: Environment variables beside this process's own.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]


@dataclass(frozen=True)
class Running:
    """A server that answers.

    Attributes:
        pid: Its process.
        port: Its port on loopback.
        start_s: Seconds from its start to its first healthy answer.
        idle_mb: Its resident memory before the first session.
    """

    pid: int
    port: int
    start_s: float
    idle_mb: float

    def cpu_s(self) -> float:
        """Return the processor time it has used, in seconds."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def load(self, what: str, at_once: int, total: int) -> tuple[Load, float]:
        """Put load on it from a process of its own; return that and the processor time it took."""
        before = self.cpu_s()
        command = [sys.executable, str(HERE / "load.py"), what, str(self.port), str(at_once)]
        done = subprocess.run(
            [*command, str(total)], capture_output=True, text=True, check=True, timeout=300
        )
        return Load(**json.loads(done.stdout)), self.cpu_s() - before


def candidates(openenv_python: Path) -> list[Candidate]:
    """Return the floor, ours and OpenEnv's."""
    uvicorn = ("-m", "uvicorn", "--port", "{port}", "--log-level", "warning")
    # Compiled files are kept, as on any user's machine, whatever this one is told.
    here = {"PYTHONPATH": str(HERE), "PYTHONDONTWRITEBYTECODE": ""}
    # Compression off for the floor as for ours: it is to be the least that is possible.
    floor = (sys.executable, *uvicorn, "--ws-per-message-deflate=false", "floor:app")
    ours = (sys.executable, "-m", "paddock", "serve", "noop:SPEC", "--port", "{port}")
    return [
        Candidate("floor", floor, here),
        Candidate("paddock", (*ours, "--capacity", "1000"), here),
        Candidate("openenv", (str(openenv_python), *uvicorn, "openenv_noop:app"), here),
        Candidate("openenv async", (str(openenv_python), *uvicorn, "openenv_noop:async_app"), here),
    ]


@contextmanager
def running(candidate: Candidate) -> Generator[Running]:
    """Start a server, wait until it is healthy, and stop it after the block."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    command = [part.format(port=port) for part in candidate.command]
    started = time.perf_counter()
    process = subprocess.Popen(
        command, env={**os.environ, **candidate.env}, stderr=subprocess.DEVNULL
    )
    try:
        while not _healthy(port):
            if process.poll() is not None or time.perf_counter() - started > 60:
                raise RuntimeError(f"{candidate.name} did not start: {' '.join(command)}")
            time.sleep(0.002)
        start_s = time.perf_counter() - started
        time.sleep(0.5)
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        yield Running(process.pid, port, start_s, int(resident.split()[1]) / 1024)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _healthy(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as client:
            client.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            return b" 200 " in client.recv(200)
    except OSError:
        return False
