"""How the suite talks to a server: raw JSON over HTTP and WebSocket, every wait bounded."""

import json
import socket
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any, NoReturn
from urllib.parse import urlsplit

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus
from websockets.sync.client import ClientConnection, connect

__all__ = ["MIB", "SILENCE_S", "Server", "Socket", "parse"]

Frame = dict[str, Any]

MIB = 1 << 20
SILENCE_S = 0.3
"""How long to listen for what must not come."""
FREEING_S = 5.0
"""How long a place may take to become free after its connection closed."""
MAX_LATE = 8
"""After so many answers in a row that did not come, the server is known to hang."""


def parse(text: str | bytes) -> Any:
    """Read JSON as strict parsers do: without NaN and Infinity."""
    try:
        return json.loads(text, parse_constant=_no_number)
    except ValueError as exc:
        raise AssertionError(f"not JSON: {exc}: {text[:200]!r}") from None


def _no_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


class Server:
    """The server under test.

    Args:
        url: ``http(s)://``, with a path prefix if there is one.
        token: Bearer token.
        timeout_s: How long to wait for an answer.

    Attributes:
        http: An HTTP client; its paths continue the URL.
    """

    def __init__(self, url: str, *, token: str | None = None, timeout_s: float = 60.0) -> None:
        self.url = url.rstrip("/")
        self.headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._timeout_s = timeout_s
        self._late = 0
        self._local = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
        self.http: httpx.Client = _Http(self, local=self._local)

    @property
    def timeout_s(self) -> float:
        """How long to wait for an answer: the less, the more of them in a row did not come."""
        return self._timeout_s / (1 << self._late)

    @property
    def hangs(self) -> bool:
        """Waiting for further answers is in vain."""
        return self._late >= MAX_LATE

    def answered(self) -> None:
        """Take note of an answer."""
        self._late = 0

    def late(self, limit_s: float) -> AssertionError:
        """Take note that an answer did not come in time, and return the failure to raise."""
        self._late += 1
        return AssertionError(f"no answer within {limit_s:g} s")

    def connect(self, path: str = "/ws", *, headers: Mapping[str, str] | None = None) -> "Socket":
        """Open a WebSocket connection. Nothing is sent."""
        stack = ExitStack()
        try:
            connection = stack.enter_context(
                connect(
                    "ws" + self.url.removeprefix("http") + path,
                    additional_headers={**self.headers, **(headers or {})},
                    open_timeout=self.timeout_s,
                    close_timeout=2,
                    max_size=None,
                    compression=None,
                    proxy=None if self._local else True,
                )
            )
        except InvalidStatus as exc:
            status = exc.response.status_code
            raise AssertionError(f"{path}: the handshake was refused with HTTP {status}") from None
        except (OSError, InvalidHandshake) as exc:
            raise AssertionError(f"{path}: no WebSocket connection: {exc!r}") from None
        return Socket(connection, stack, self, polite=not path.endswith("/mcp"))

    def open(
        self,
        path: str = "/ws",
        *,
        headers: Mapping[str, str] | None = None,
        patience_s: float = FREEING_S,
    ) -> "Socket":
        """Connect and make sure that there is a session behind the connection.

        A server that holds one session may need a moment to notice that the last one is over, so
        a refusal for lack of capacity is tried again; after that the refused connection comes back.
        """
        deadline = time.monotonic() + patience_s
        while True:
            connection = self.connect(path, headers=headers)
            connection.refusal = None
            answer = connection.ask({"type": "state"})
            if answer["data"].get("code") != "CAPACITY_REACHED":
                return connection
            connection.refusal = answer
            if time.monotonic() >= deadline:
                return connection
            connection.close()
            time.sleep(0.1)

    def rpc(self, method: str, request_id: str | int = 1, **params: Any) -> Frame:
        """Send a JSON-RPC request to ``POST /mcp`` and return the response."""
        request = {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}
        return self.post_mcp(json.dumps(request))

    def post_mcp(self, body: str | bytes) -> Frame:
        """Send a body to ``POST /mcp`` and return the JSON-RPC response."""
        answer = self.http.post("/mcp", content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 200, f"HTTP {answer.status_code}: {answer.text[:200]}"
        response = parse(answer.content)
        assert response.get("jsonrpc") == "2.0", f"not JSON-RPC: {response}"
        return response


class _Http(httpx.Client):
    def __init__(self, server: Server, *, local: bool) -> None:
        super().__init__(
            base_url=server.url,
            headers=server.headers,
            trust_env=not local,
            # uvicorn closes a connection after an error of the server's, and the next request of
            # another test would be the one to find out.
            limits=httpx.Limits(max_keepalive_connections=0),
        )
        self._server = server

    def send(self, request: httpx.Request, **options: Any) -> httpx.Response:
        limit = self._server.timeout_s
        request.extensions["timeout"] = httpx.Timeout(limit).as_dict()
        try:
            answer = super().send(request, **options)
        except httpx.TimeoutException:
            raise self._server.late(limit) from None
        self._server.answered()
        return answer


class Socket:
    """A WebSocket connection to the server under test.

    Args:
        connection: The connection.
        stack: What closes it.
        server: The server.
        polite: It ends with a `close` message, which the WebSocket ``/mcp`` does not know.

    Attributes:
        refusal: The frame with which the server refused it for lack of capacity, if it did.
        size: Bytes of the last frame that was received.
    """

    def __init__(
        self, connection: ClientConnection, stack: ExitStack, server: Server, *, polite: bool
    ) -> None:
        self.refusal: Frame | None = None
        self.size = 0
        self._connection = connection
        self._stack = stack
        self._server = server
        self._polite = polite

    def send(self, frame: Frame | str | bytes) -> None:
        """Send a frame: JSON, or text or bytes as they are."""
        text = json.dumps(frame) if isinstance(frame, dict) else frame
        # Where the server has closed the connection, its reason may still wait to be received.
        with suppress(ConnectionClosed):
            self._connection.send(text)

    def receive(self, timeout_s: float | None = None) -> Frame:
        """Return the next frame."""
        limit = self._server.timeout_s if timeout_s is None else timeout_s
        try:
            text = self._connection.recv(limit)
        except TimeoutError:
            raise self._server.late(limit) from None
        except ConnectionClosed as exc:
            code = _code(exc)
            raise AssertionError(f"no answer: the server closed the connection ({code})") from None
        self._server.answered()
        self.size = len(text.encode() if isinstance(text, str) else text)
        assert isinstance(text, str), "the answer is a binary frame"
        frame = parse(text)
        assert isinstance(frame, dict), f"a frame is an object: {text[:200]}"
        return frame  # pyright: ignore[reportUnknownVariableType]

    def ask(self, frame: Frame | str | bytes) -> Frame:
        """Send a frame of ``/ws`` and return the answer: an object with a type and data."""
        self.send(frame)
        answer = self.receive()
        assert isinstance(answer.get("type"), str), f"the answer has no type: {answer}"
        assert isinstance(answer.get("data"), dict), f"the answer has no data: {answer}"
        return answer

    def rest(self) -> tuple[list[Frame], int | None]:
        """Return the frames until the connection closes, and its close code."""
        frames: list[Frame] = []
        deadline = time.monotonic() + self._server.timeout_s
        while True:
            try:
                text = self._connection.recv(max(0.0, deadline - time.monotonic()))
            except TimeoutError:
                raise self._server.late(self._server.timeout_s) from None
            except ConnectionClosed as exc:
                return frames, _code(exc)
            frames.append(parse(text))

    def unasked(self) -> list[Frame]:
        """Return the frames that come although nothing was asked."""
        frames: list[Frame] = []
        try:
            while True:
                frames.append(parse(self._connection.recv(SILENCE_S)))
        except (TimeoutError, ConnectionClosed):
            return frames

    def close(self) -> None:
        """Say good-bye and wait until the server has let go of the session."""
        with self._stack, suppress(ConnectionClosed, TimeoutError):
            if not self._polite:
                return
            self._connection.send('{"type": "close"}')
            deadline = time.monotonic() + min(FREEING_S, self._server.timeout_s)
            while (left := deadline - time.monotonic()) > 0:
                self._connection.recv(left)

    def vanish(self) -> None:
        """Break the connection without a word, as a client that crashed does."""
        with self._stack:
            self._connection.socket.shutdown(socket.SHUT_RDWR)


def _code(exc: ConnectionClosed) -> int | None:
    return None if exc.rcvd is None else exc.rcvd.code
