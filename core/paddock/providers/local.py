"""The local provider: a server as a child process on this machine."""

import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import IO

import anyio
from anyio import to_thread
from anyio.abc import Process

from paddock.catalog import EnvSpec
from paddock.errors import ProviderError

__all__ = ["LocalProvider"]

STOP_S = 9.0  # a server exits within 8 s of SIGTERM


@dataclass(frozen=True)
class LocalProvider:
    """Runs ``paddock serve`` as a child process on a free loopback port.

    The child holds one end of a socket: it says there where it listens, and when this process is
    gone, however it went, the child sees the end of it and exits.

    Args:
        options: Further command line options of ``paddock serve``.
        env: Environment variables beside this process's own.
        start_s: Seconds the server may take to start.
    """

    options: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict[str, str])
    start_s: float = 30.0

    @asynccontextmanager
    async def serve(self, spec: EnvSpec) -> AsyncGenerator[str]:
        """Run a server for as long as the block lasts, and yield its URL.

        Raises:
            ProviderError: It did not start; the message ends with what it printed.
        """
        ours, theirs = socket.socketpair()
        with ours, theirs, tempfile.TemporaryFile() as log:
            command = [sys.executable, "-m", "paddock", "serve", spec.source or spec.name]
            command += ["--host", "127.0.0.1", "--port", "0"]
            command += ["--control-fd", str(theirs.fileno()), *self.options]
            process = await anyio.open_process(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.env},
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for this process; the server is told to stop
            )
            try:
                theirs.close()
                yield await self._ready(ours, process, log)
            finally:
                with anyio.CancelScope(shield=True):
                    await _stop(process)

    async def _ready(self, ours: socket.socket, process: Process, log: IO[bytes]) -> str:
        ours.setblocking(False)
        said = b""
        with anyio.move_on_after(self.start_s):
            while not said.endswith(b"\n"):
                await anyio.wait_readable(ours)
                chunk = ours.recv(4096)
                if not chunk:
                    break
                said += chunk
        if said.endswith(b"\n"):
            return said.decode().strip()
        if process.returncode is None:
            with anyio.move_on_after(1):
                await process.wait()
        how = "is not ready" if process.returncode is None else f"exited ({process.returncode})"
        said = (await to_thread.run_sync(_tail, log)).decode(errors="replace").strip()
        raise ProviderError(f"the server {how} after at most {self.start_s:g} s; it said:\n{said}")


def _tail(log: IO[bytes]) -> bytes:
    log.seek(max(0, log.seek(0, os.SEEK_END) - 4000))
    return log.read()


async def _stop(process: Process) -> None:
    if process.returncode is None:
        process.terminate()
        with anyio.move_on_after(STOP_S):
            await process.wait()
    if process.returncode is None:
        process.kill()
        await process.wait()
    await process.aclose()
