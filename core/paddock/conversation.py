"""A conversation with a session: frames out, answers in, across whatever connections it takes.

It names its session itself (header ``X-Session-Id``), so that a connection that breaks can be
attached to it again (``?session_id=``). It never begins a second session on its own.
"""

import json
import uuid
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import anyio
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from paddock.errors import (
    AnswerTimeout,
    CapacityReached,
    ConnectionInterrupted,
    EnvError,
    EnvLost,
    FactoryFailed,
    SessionClosed,
    SessionError,
    UnknownSession,
    from_wire,
)

__all__ = ["Conversation", "url_of"]

SESSION_HEADER = "X-Session-Id"
PING_TIMEOUT_S = 120  # a busy server answers late; a dead one is noticed by the kernel
_GONE = (UnknownSession, SessionClosed, SessionError)


class Conversation:
    """One session, one question at a time.

    Args:
        base_url: Of the server: ``http(s)://`` or ``ws(s)://``; a path prefix is kept.
        headers: Further headers of every connection.
        connect_s: Seconds a connection may take.
        max_message_bytes: The largest answer to accept.

    Attributes:
        session_id: Names the session.
    """

    def __init__(
        self,
        base_url: str,
        *,
        headers: Mapping[str, str],
        connect_s: float,
        max_message_bytes: int,
    ) -> None:
        self.session_id = str(uuid.uuid4())
        self._base_url = base_url
        self._headers = headers
        self._connect_s = connect_s
        self._max_message_bytes = max_message_bytes
        self._socket: ClientConnection | None = None
        self._begun = False
        self._owed = 0
        self._lock = anyio.Lock()

    async def open(self) -> None:
        """Connect.

        Raises:
            EnvLost: The server cannot be reached, or refuses the connection.
        """
        async with self._lock:
            await self._connected()

    async def ask(
        self, frame: dict[str, Any], limit_s: float, *, anew: bool = False
    ) -> dict[str, Any]:
        """Send one frame and return the ``data`` of its answer.

        Args:
            frame: The message.
            limit_s: Seconds to wait for its turn and for the answer.
            anew: When the session is gone, begin another one: nothing is lost by it.

        Raises:
            EnvError: What the server raised, as the same class.
            AnswerTimeout: No answer in time. It is discarded when it comes.
            ConnectionInterrupted: The connection broke before the answer.
            EnvLost: The server or the session is gone.
        """
        async with self._lock:
            try:
                return await self._ask(frame, limit_s)
            except EnvLost:
                if not (anew and self._begun):
                    raise
                self._begun = False
                self.session_id = str(uuid.uuid4())
                return await self._ask(frame, limit_s)

    async def close(self) -> None:
        """End the session and close the connection."""
        socket, self._socket = self._socket, None
        if socket is not None:
            try:
                await socket.send('{"type": "close"}')
            except ConnectionClosed:
                return
            finally:
                await socket.close()

    async def _ask(self, frame: dict[str, Any], limit_s: float) -> dict[str, Any]:
        text = json.dumps(frame)
        try:
            with anyio.fail_after(limit_s):
                socket = await self._connected()
                try:
                    await self._send(socket, text)
                except ConnectionClosed:  # so nothing of it was sent
                    self._socket = None
                    if (farewell := await _farewell(socket)) is not None:
                        raise self._failure(farewell) from None
                    socket = await self._connected()
                    await self._send(socket, text)
                message = await self._receive(socket)
        except TimeoutError:
            raise AnswerTimeout(f"no answer to {frame['type']} within {limit_s:g} s") from None
        except ConnectionClosed as exc:
            self._socket = None
            raise ConnectionInterrupted(
                f"the connection closed before the answer to {frame['type']} came: {exc}"
            ) from exc
        data = cast("dict[str, Any]", message.get("data", {}))
        if message.get("type") == "error":
            raise self._failure(from_wire(data))
        self._begun = True
        return data

    async def _send(self, socket: ClientConnection, text: str) -> None:
        self._owed += 1  # before the send: a cancelled one has been written nevertheless
        await socket.send(text)

    async def _receive(self, socket: ClientConnection) -> dict[str, Any]:
        """Return the answer to the newest question; older ones were given up on."""
        while True:
            text = await socket.recv()
            self._owed -= 1
            if self._owed == 0:
                return cast("dict[str, Any]", json.loads(text))

    def _failure(self, error: EnvError) -> Exception:
        """Tell an error in a session that goes on from the end of the session."""
        if isinstance(error, CapacityReached | FactoryFailed):
            self._socket = None  # refused at the door: there is no session
        if type(error) in _GONE:
            self._socket = None
            lost = EnvLost(f"the session is gone: {error.message}")
            lost.__cause__ = error
            return lost
        return error

    async def _connected(self) -> ClientConnection:
        """Return the connection; a broken one is attached again to the same session."""
        if self._socket is None:
            query = f"?{urlencode({'session_id': self.session_id})}" if self._begun else ""
            url = url_of(self._base_url, "ws", "/ws") + query
            local = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
            try:
                self._socket = await connect(
                    url,
                    additional_headers={**self._headers, SESSION_HEADER: self.session_id},
                    max_size=self._max_message_bytes,
                    open_timeout=self._connect_s,
                    ping_timeout=PING_TIMEOUT_S,
                    compression=None,
                    proxy=None if local else True,
                )
            except (OSError, InvalidHandshake, TimeoutError) as exc:
                raise EnvLost(f"cannot connect to {url}: {_why(exc)}") from exc
            self._owed = 0
        return self._socket


def url_of(base_url: str, scheme: str, path: str) -> str:
    """Return a server's URL for ``http`` or ``ws``, secure when the base URL is."""
    parts = urlsplit(base_url if "//" in base_url else f"//{base_url}")
    secure = "s" if parts.scheme in ("https", "wss") else ""
    return f"{scheme}{secure}://{parts.netloc}{parts.path.rstrip('/')}{path}"


async def _farewell(socket: ClientConnection) -> EnvError | None:
    """Return the error frame with which a server closed a connection, if it did."""
    last: dict[str, Any] = {}
    try:
        while True:
            last = json.loads(await socket.recv())
    except ConnectionClosed:
        return from_wire(last["data"]) if last.get("type") == "error" else None


def _why(exc: Exception) -> str:
    if isinstance(exc, InvalidStatus):
        body = exc.response.body.decode(errors="replace") if exc.response.body else ""
        return f"HTTP {exc.response.status_code} {body}".strip()
    return str(exc) or type(exc).__name__
