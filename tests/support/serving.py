"""A server of ours inside the test's own event loop, on a real port."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import anyio
import uvicorn
from websockets.asyncio.client import ClientConnection, connect

from paddock.catalog import EnvSpec
from paddock.manager import SessionManager
from paddock.server import Settings, create_app


@dataclass
class Served:
    """A running server."""

    port: int
    manager: SessionManager

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @asynccontextmanager
    async def ws(self, path: str = "/ws", **headers: str) -> AsyncGenerator["Wire"]:
        """Open a WebSocket that speaks raw JSON."""
        url = f"ws://127.0.0.1:{self.port}{path}"
        named = {k.replace("_", "-"): v for k, v in headers.items()}
        async with connect(url, additional_headers=named, proxy=None, max_size=None) as socket:
            yield Wire(socket)

    async def until(self, what: Any, limit_s: float = 5) -> None:
        """Wait until something about the server is so."""
        with anyio.fail_after(limit_s):
            while not what(self.manager):
                await anyio.sleep(0.01)


@dataclass
class Wire:
    """A raw conversation."""

    socket: ClientConnection

    async def send(self, frame: Any) -> None:
        text = frame if isinstance(frame, str | bytes) else json.dumps(frame)
        await self.socket.send(text)

    async def receive(self) -> dict[str, Any]:
        with anyio.fail_after(20):
            return json.loads(await self.socket.recv())

    async def ask(self, frame: Any) -> dict[str, Any]:
        await self.send(frame)
        return await self.receive()

    async def step(self, **action: Any) -> dict[str, Any]:
        return await self.ask({"type": "step", "data": action})


@asynccontextmanager
async def serving(spec: EnvSpec, **settings: Any) -> AsyncGenerator[Served]:
    """Serve an environment for as long as the block lasts."""
    app = create_app(spec, Settings(**{"capacity": 8, **settings}))
    config = uvicorn.Config(
        app,
        port=0,
        log_level="warning",
        lifespan="on",
        ws_per_message_deflate=False,
        timeout_graceful_shutdown=2,
    )
    server = _Server(config)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(server.serve)
        with anyio.fail_after(10):
            while not server.started:
                await anyio.sleep(0.01)
        port = server.servers[0].sockets[0].getsockname()[1]
        try:
            yield Served(port, app.state.manager)
        finally:
            server.should_exit = True


class _Server(uvicorn.Server):
    def capture_signals(self):  # the tests keep their own Ctrl-C
        return nullcontext()
