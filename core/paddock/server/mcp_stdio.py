"""MCP over stdin and stdout: one process, one client, one session.

Desktop clients start a command and talk to it. They end it by closing its stdin, or with SIGTERM.
"""

import logging
import math
import os
import signal
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import anyio
from mcp.server.lowlevel import Server
from mcp.server.runner import serve_dual_era_loop
from mcp.server.stdio import stdio_server

from paddock.catalog import EnvSpec
from paddock.errors import EnvError
from paddock.manager import Place, SessionManager
from paddock.messages import ResetData
from paddock.server.mcp_tools import mcp_server
from paddock.server.settings import Settings

__all__ = ["serve_stdio"]

SESSION = "stdio"
MAX_LINE_BYTES = 16 << 20

logger = logging.getLogger(__name__)


async def serve_stdio(spec: EnvSpec, settings: Settings, options: dict[str, Any]) -> None:
    """Serve an environment until the client closes stdin, or SIGTERM or SIGINT.

    Args:
        spec: The environment.
        settings: Isolation, the ceiling of a step, the largest answer.
        options: Options of a reset; with any, the episode begins before the client does.

    Raises:
        ConfigurationError: The isolation that was asked for cannot be had here.
        EnvError: The reset failed.
    """
    # The one client is there until it says otherwise, however long it is silent.
    limits = replace(settings.limits(spec), capacity=1, idle_s=math.inf)
    manager = SessionManager(spec, limits, settings.isolate)
    refused: EnvError | None = None
    with _wire() as wire:
        async with manager.running():
            try:
                server = await _begin(manager, options)
            except EnvError as exc:
                refused = exc  # raised below, outside the manager's own wrapping
            else:
                await _serve(server, wire)
    if refused is not None:
        raise refused


async def _begin(manager: SessionManager, options: dict[str, Any]) -> Server[Any]:
    lease = await manager.begin(session_id=SESSION, place=Place.FREE)
    instructions: str | None = None
    if options:
        observation = await lease.session.reset(ResetData(**options))
        instructions = getattr(observation, "instruction", None)
    return mcp_server(manager, instructions)


async def _serve(server: Server[Any], wire: "_Wire") -> None:
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(_until_signal, tasks.cancel_scope)
        async with stdio_server(cast("Any", wire), cast("Any", wire)) as (read, write):
            await serve_dual_era_loop(server, read, write, lifespan_state=SESSION)
        tasks.cancel_scope.cancel()


async def _until_signal(scope: anyio.CancelScope) -> None:
    with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async for number in signals:
            logger.info("ending on %s", signal.Signals(number).name)
            scope.cancel()


@contextmanager
def _wire() -> Generator["_Wire"]:
    """Take stdin and stdout away from everybody else: what is printed by mistake goes to stderr."""
    wire = os.dup(0), os.dup(1)
    blocking = [os.get_blocking(fd) for fd in wire]
    with Path(os.devnull).open("rb") as null:
        os.dup2(null.fileno(), 0)
    os.dup2(2, 1)
    try:
        for fd in wire:
            os.set_blocking(fd, False)
        yield _Wire(*wire)
    finally:
        # Other processes may share the terminal, and with it this setting.
        for fd, before, number in zip(wire, blocking, (0, 1), strict=True):
            os.set_blocking(fd, before)
            os.dup2(fd, number)
            os.close(fd)


class _Wire:
    """Lines in and text out, where the SDK would have two threads that nothing can interrupt."""

    def __init__(self, source: int, sink: int) -> None:
        self._source = source
        self._sink = sink
        self._buffer = bytearray()

    def __aiter__(self) -> "_Wire":
        return self

    async def __anext__(self) -> str:
        seen = 0
        while (end := self._buffer.find(b"\n", seen)) < 0:
            seen = len(self._buffer)
            if seen > MAX_LINE_BYTES:
                logger.error("a message of more than %d bytes: that is no client", MAX_LINE_BYTES)
                raise StopAsyncIteration
            if not (some := await self._read()):
                raise StopAsyncIteration
            self._buffer += some
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.decode(errors="replace")

    async def write(self, text: str) -> None:
        rest = memoryview(text.encode())
        while rest:
            try:
                rest = rest[os.write(self._sink, rest) :]
            except BlockingIOError:
                await anyio.wait_writable(self._sink)

    async def flush(self) -> None:
        """Do nothing: what is written is out."""

    async def _read(self) -> bytes:
        while True:
            try:
                return os.read(self._source, 1 << 16)
            except BlockingIOError:
                await anyio.wait_readable(self._source)
