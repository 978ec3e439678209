"""The door ``/ws``: one connection, one session, one answer frame per request frame, in order.

A connection reads its socket itself as long as steps are quick. When one turns out slow, a reader
task takes over: it notices a client that goes away in the middle of a step, which cancels the step
and frees the session at once, and it keeps what the client sends meanwhile. Handing every frame
from task to task would cost a quick step more than all the rest of this server.

The only frames nobody asked for come right before the server closes the connection: the refusal at
connect, and the farewell when the session is ended.
"""

import asyncio
import logging
from collections import deque
from typing import Protocol

import anyio
from anyio.abc import TaskGroup

from paddock.errors import CapacityReached, EnvError, NotAvailable, SessionClosed, SessionError
from paddock.manager import Lease, SessionManager
from paddock.messages import (
    CloseMessage,
    Codec,
    McpMessage,
    ResetMessage,
    StateMessage,
    StepMessage,
)
from paddock.server.address import address_of
from paddock.server.door import hold
from paddock.server.guard import Message, Receive, Scope, Send
from paddock.server.mcp import answer_frame
from paddock.watchdog import PERIOD_S

__all__ = ["Connection", "Dialect", "OpenEnvDialect"]

MAX_PIPELINED = 1024
"""Frames a client may send ahead of their answers."""

GOING_AWAY = 1001
NORMAL = 1000

logger = logging.getLogger(__name__)


class Dialect(Protocol):
    """What the frames of a connection mean."""

    async def answer(self, lease: Lease, text: str | bytes) -> str | None:
        """Answer one frame; ``None`` when the client said good-bye."""
        ...

    def error(self, exc: EnvError) -> str:
        """Write the refusal or the farewell."""
        ...


class OpenEnvDialect:
    """The frames of ``/ws``.

    Args:
        codec: Reads and writes the environment's frames.
        production: Refuse reset, step and state.
    """

    def __init__(self, codec: Codec, *, production: bool) -> None:
        self._codec = codec
        self._production = production

    async def answer(self, lease: Lease, text: str | bytes) -> str | None:
        """Answer one frame. An `EnvError` becomes an error frame here and nowhere else."""
        session, codec = lease.session, self._codec
        try:
            message = codec.read(text)
            if self._production and not isinstance(message, McpMessage | CloseMessage):
                raise NotAvailable(f"{message.type} is not available in production mode")
            match message:
                case StepMessage():
                    return codec.write_observation(await session.step(message.data))
                case ResetMessage():
                    return codec.write_observation(await session.reset(message.data))
                case StateMessage():
                    return codec.write_state(await session.state())
                case McpMessage():
                    return codec.write_mcp(await answer_frame(message.data, session))
                case CloseMessage():
                    return None
        except EnvError as exc:
            return codec.write_error(exc)

    def error(self, exc: EnvError) -> str:
        """Write the refusal or the farewell."""
        return self._codec.write_error(exc)


class Connection:
    """One WebSocket connection: one session, one answer frame per request frame, in order.

    Args:
        manager: Where its session comes from.
        dialect: What the frames mean.
        receive: ASGI receive.
        send: ASGI send.
    """

    def __init__(
        self, manager: SessionManager, dialect: Dialect, receive: Receive, send: Send
    ) -> None:
        self._manager = manager
        self._dialect = dialect
        self._receive = receive
        self._send = send
        self._tasks: TaskGroup | None = None
        self._inbox: deque[Message] | None = None
        self._arrived = asyncio.Event()
        self._lost = False
        self._farewell: EnvError | None = None
        self._code = NORMAL

    async def run(self, scope: Scope) -> None:
        """Serve the connection until one side closes it."""
        await self._receive()  # websocket.connect
        await self._send({"type": "websocket.accept"})
        try:
            async with anyio.create_task_group() as self._tasks:
                await self._serve(scope)
                self._tasks.cancel_scope.cancel()
        except* OSError:  # uvicorn's ClientDisconnected: there is nobody to answer any more
            self._lost = True
        if not self._lost:
            await self._close()

    async def _serve(self, scope: Scope) -> None:
        # While it waits for a place the client may go away, too.
        timer = asyncio.get_running_loop().call_later(PERIOD_S, self._start_reader)
        try:
            async with hold(self._manager, address_of(scope)) as lease:
                timer.cancel()
                await self._converse(lease)
        except EnvError as exc:
            self._farewell = exc
        finally:
            timer.cancel()

    async def _converse(self, lease: Lease) -> None:
        session = lease.session
        session.turn.on_slow = self._start_reader
        lease.on_end = self._end
        lease.lost = True  # until the client says good-bye
        answer_frame = self._dialect.answer
        try:
            while True:
                if self._inbox is None:
                    event = await self._receive()
                else:
                    event = await self._next()
                if event["type"] == "websocket.disconnect":
                    self._lost = True
                    return
                text = event.get("text")
                answer = await answer_frame(lease, event["bytes"] if text is None else text)
                if answer is None:
                    lease.lost = False
                    return
                await self._send({"type": "websocket.send", "text": answer})
        finally:
            session.turn.on_slow = None

    # -- reading while a step runs ----------------------------------------------------------------

    def _start_reader(self) -> None:
        if self._inbox is None and self._tasks is not None:
            self._inbox = deque()
            self._tasks.start_soon(self._read, name="read /ws")

    async def _read(self) -> None:
        assert self._inbox is not None
        assert self._tasks is not None
        while True:
            event = await self._receive()
            if event["type"] == "websocket.disconnect":
                self._lost = True
                self._tasks.cancel_scope.cancel()
                return
            if len(self._inbox) >= MAX_PIPELINED:
                self._end(SessionError(f"more than {MAX_PIPELINED} frames without an answer"))
                return
            self._inbox.append(event)
            self._arrived.set()

    async def _next(self) -> Message:
        assert self._inbox is not None
        while not self._inbox:
            self._arrived.clear()
            await self._arrived.wait()
        return self._inbox.popleft()

    # -- ending -----------------------------------------------------------------------------------

    def _end(self, reason: EnvError) -> None:
        """End the connection from the server's side."""
        self._farewell = reason
        self._code = GOING_AWAY
        assert self._tasks is not None
        self._tasks.cancel_scope.cancel()

    async def _close(self) -> None:
        reason = ""
        try:
            if self._farewell is not None:
                frame = self._dialect.error(self._farewell)
                await self._send({"type": "websocket.send", "text": frame})
                if not isinstance(self._farewell, CapacityReached):
                    reason = self._farewell.message.encode()[:120].decode(errors="ignore")
            await self._send({"type": "websocket.close", "code": self._code, "reason": reason})
        except OSError:
            logger.debug("the client closed first")
        if isinstance(self._farewell, SessionClosed):
            logger.info("connection closed: %s", self._farewell.message)
