"""The client: one connection, one session, whatever happens to the connection.

`EnvClient` is async; `EnvClient.sync` gives its blocking twin, which runs the same code on a
shared event loop in a thread. Both talk to OpenEnv's own servers as well.
"""

import json
import uuid
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast
from urllib.parse import urlencode, urlsplit

import anyio
import httpx
from anyio.from_thread import BlockingPortal, BlockingPortalProvider
from pydantic import BaseModel
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus

from paddock.catalog import EnvSpec
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
from paddock.types import Observation, State, StepResult

__all__ = ["EnvClient", "SyncEnvClient", "Timeouts"]

ObservationT = TypeVar("ObservationT")
StateT = TypeVar("StateT")

SESSION_HEADER = "X-Session-Id"


@dataclass(frozen=True)
class Timeouts:
    """How long a client waits for each verb, in seconds.

    The server's own ceiling of a step is 55 s, so a step's default leaves room for its answer.
    """

    connect: float = 10.0
    reset: float = 120.0
    step: float = 60.0
    state: float = 30.0
    evaluate: float = 900.0


class EnvClient(Generic[ObservationT, StateT]):
    """A session on an environment's server. Use it as an async context manager.

    ::

        async with EnvClient("http://127.0.0.1:8000") as env:
            await env.reset(seed=7)
            result = await env.step({"command": "ls"})

    A connection that breaks is attached again to the same session, state and all. When the session
    is gone the call raises `EnvLost`; a new one is never handed out in its place, but by `reset`.

    Args:
        base_url: ``http(s)://`` or ``ws(s)://``; a path prefix is kept. ``None`` with a ``server``.
        spec: The environment's spec: answers become its models. Without it they stay mappings.
        server: Starts a server for as long as the client is open and yields its base URL.
        token: Bearer token.
        headers: Further headers of every request.
        timeouts: How long to wait for each verb.
        max_message_bytes: The largest answer to accept.
    """

    def __init__(
        self,
        base_url: str | None = None,
        *,
        spec: EnvSpec | None = None,
        server: AbstractAsyncContextManager[str] | None = None,
        token: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeouts: Timeouts | None = None,
        max_message_bytes: int = 100 << 20,
    ) -> None:
        if (base_url is None) == (server is None):
            raise ValueError("give either base_url or server")
        self.spec = spec
        self.session_id = str(uuid.uuid4())
        self._base_url = base_url.rstrip("/") if base_url else ""
        self._server = server
        self._headers = {**(headers or {})}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeouts = timeouts or Timeouts()
        self._max_message_bytes = max_message_bytes
        self._socket: ClientConnection | None = None
        self._begun = False
        self._owed = 0
        self._lock = anyio.Lock()
        self._stack = AsyncExitStack()

    # -- lifetime ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Start the server if there is one to start, and connect.

        Raises:
            ProviderError: The server could not be started.
            EnvLost: The server cannot be reached, or refuses the connection.
        """
        try:
            if self._server is not None:
                self._base_url = (await self._stack.enter_async_context(self._server)).rstrip("/")
            async with self._lock:
                await self._connected()
        except BaseException:
            await self._stack.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the session, close the connection, stop the server."""
        try:
            with anyio.move_on_after(self._timeouts.connect, shield=True):
                await self._say_goodbye()
        finally:
            await self._stack.aclose()

    def sync(self) -> "SyncEnvClient[ObservationT, StateT]":
        """Return the blocking twin of a client that is not open yet."""
        return SyncEnvClient(self)

    # -- verbs ------------------------------------------------------------------------------------

    async def reset(
        self, *, seed: int | None = None, episode_id: str | None = None, **options: Any
    ) -> StepResult[ObservationT]:
        """Begin an episode.

        Args:
            seed: Fixes the randomness inside the task.
            episode_id: Names the episode; generated by the server without it.
            **options: What the environment's options model knows: ``task_id``, ...

        Raises:
            EnvError: What the server raised, as the same class.
            AnswerTimeout: No answer in time.
            ConnectionInterrupted: The connection broke before the answer.
            EnvLost: The server cannot be reached.
        """
        named = {"seed": seed, "episode_id": episode_id, **options}
        data = {k: v for k, v in named.items() if v is not None}
        async with self._lock:
            if self._socket is None and self._begun and not await self._reattached():
                self._begun = False  # a reset begins from a clean state, so nothing is lost
                self.session_id = str(uuid.uuid4())
            answer = await self._ask({"type": "reset", "data": data}, self._timeouts.reset)
        return self._result(answer)

    async def step(self, action: BaseModel | Mapping[str, Any]) -> StepResult[ObservationT]:
        """Carry out an action: one of the environment's models, or the same as a mapping.

        Raises:
            EnvError: What the server raised, as the same class.
            AnswerTimeout: No answer in time.
            ConnectionInterrupted: The connection broke before the answer.
            EnvLost: The server or the session is gone.
        """
        data = action.model_dump(mode="json") if isinstance(action, BaseModel) else dict(action)
        frame = {"type": "step", "data": data}
        evaluating = data.get("type") == "evaluate"
        limit = self._timeouts.evaluate if evaluating else self._timeouts.step
        async with self._lock:
            return self._result(await self._ask(frame, limit))

    async def evaluate(self) -> StepResult[ObservationT]:
        """End the episode with the task's own check. Raises as `step` does."""
        return await self.step({"type": "evaluate"})

    async def state(self) -> StateT:
        """Return what a trainer may inspect. Raises as `step` does."""
        async with self._lock:
            data = await self._ask({"type": "state"}, self._timeouts.state)
        model: type[State] | None = self.spec.state if self.spec else None
        return cast("StateT", model.model_validate(data) if model else data)

    async def call_tool(self, name: str, **arguments: Any) -> StepResult[dict[str, Any]]:
        """Carry out an action as a tool call. Raises as `step` does."""
        data = {"type": "call_tool", "tool_name": name, "arguments": arguments}
        async with self._lock:
            answer = await self._ask({"type": "step", "data": data}, self._timeouts.step)
        return StepResult(
            answer["observation"], answer["reward"], answer["done"], answer.get("metadata") or {}
        )

    async def list_tools(self) -> list[dict[str, Any]]:
        """Return the environment's tools: name, description, input_schema. Raises as `step`."""
        frame = {"type": "mcp", "data": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}}
        async with self._lock:
            answer = await self._ask(frame, self._timeouts.state)
        if "error" in answer:
            raise EnvError(answer["error"]["message"])
        return cast("list[dict[str, Any]]", answer["result"]["tools"])

    async def describe(self, what: str = "metadata") -> dict[str, Any]:
        """Return ``/metadata``, or ``/schema``: what the server says of itself.

        Raises:
            EnvLost: The server cannot be reached.
        """
        url = self._url("http", f"/{what}")
        try:
            async with httpx.AsyncClient(timeout=self._timeouts.state) as http:
                answer = await http.get(url, headers=self._headers)
                return cast("dict[str, Any]", answer.raise_for_status().json())
        except httpx.HTTPError as exc:
            raise EnvLost(f"{url}: {exc or type(exc).__name__}") from exc

    # -- the wire ---------------------------------------------------------------------------------

    async def _ask(self, frame: dict[str, Any], limit_s: float) -> dict[str, Any]:
        """Send one frame and return the ``data`` of its answer. The caller holds the lock."""
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
        """Return the answer to the newest request; older ones were given up on."""
        while True:
            text = await socket.recv()
            self._owed -= 1
            if self._owed == 0:
                return cast("dict[str, Any]", json.loads(text))

    def _failure(self, error: EnvError) -> Exception:
        """Tell an error in a session that goes on from the end of the session."""
        if isinstance(error, CapacityReached | FactoryFailed):
            self._socket = None  # refused at the door: there is no session
        if type(error) in (UnknownSession, SessionClosed, SessionError):
            self._socket = None
            lost = EnvLost(f"the session is gone: {error.message}")
            lost.__cause__ = error
            return lost
        return error

    async def _connected(self) -> ClientConnection:
        """Return the connection; a broken one is attached again to the same session."""
        if self._socket is None:
            query = f"?{urlencode({'session_id': self.session_id})}" if self._begun else ""
            url = self._url("ws", "/ws") + query
            try:
                self._socket = await self._open(url)
            except (OSError, InvalidHandshake, TimeoutError) as exc:
                raise EnvLost(f"cannot connect to {url}: {_why(exc)}") from exc
            self._owed = 0
        return self._socket

    async def _open(self, url: str) -> ClientConnection:
        local = urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
        return await connect(
            url,
            additional_headers={**self._headers, SESSION_HEADER: self.session_id},
            max_size=self._max_message_bytes,
            open_timeout=self._timeouts.connect,
            ping_timeout=120,  # a busy server answers late; a dead one is noticed by the kernel
            compression=None,
            proxy=None if local else True,
        )

    async def _reattached(self) -> bool:
        """Return whether the session of a lost connection is still there."""
        try:
            await self._ask({"type": "state"}, self._timeouts.state)
        except (EnvLost, ConnectionInterrupted):
            self._socket = None
            return False
        return True

    async def _say_goodbye(self) -> None:
        socket, self._socket = self._socket, None
        if socket is not None:
            try:
                await socket.send('{"type": "close"}')
            except ConnectionClosed:
                return
            finally:
                await socket.close()

    def _url(self, scheme: str, path: str) -> str:
        parts = urlsplit(self._base_url if "//" in self._base_url else f"//{self._base_url}")
        secure = "s" if parts.scheme in ("https", "wss") else ""
        return f"{scheme}{secure}://{parts.netloc}{parts.path}{path}"

    def _result(self, data: dict[str, Any]) -> StepResult[ObservationT]:
        observation: Any = data.get("observation", {})
        reward, done = data.get("reward"), bool(data.get("done"))
        metadata: dict[str, Any] = data.get("metadata") or observation.get("metadata", {})
        if self.spec is not None:
            model: type[Observation] = self.spec.observation
            observation = model.model_validate({**observation, "reward": reward, "done": done})
        return StepResult(cast("ObservationT", observation), reward, done, metadata)


async def _farewell(socket: ClientConnection) -> EnvError | None:
    """Return the error frame with which a server closed a connection, if it did."""
    last: dict[str, Any] = {}
    try:
        while True:
            last = json.loads(await socket.recv())
    except ConnectionClosed:
        return from_wire(last["data"]) if last.get("type") == "error" else None


_portals = BlockingPortalProvider("asyncio")


class SyncEnvClient(Generic[ObservationT, StateT]):
    """The blocking twin of `EnvClient`: the same verbs, the same errors.

    All of them share one event loop in a daemon thread, so hundreds cost one thread.
    """

    def __init__(self, client: EnvClient[ObservationT, StateT]) -> None:
        self._client = client
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

    def __enter__(self) -> Self:
        """Open the client. Raises as `EnvClient.__aenter__` does."""
        with ExitStack() as stack:
            self._portal = stack.enter_context(_portals)
            stack.enter_context(self._portal.wrap_async_context_manager(self._client))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the client."""
        self._stack.__exit__(exc_type, exc, traceback)
        self._portal = None

    @property
    def session_id(self) -> str:
        """The session's id."""
        return self._client.session_id

    def reset(
        self, *, seed: int | None = None, episode_id: str | None = None, **options: Any
    ) -> StepResult[ObservationT]:
        """Begin an episode. See `EnvClient.reset`."""
        return self._open.call(
            lambda: self._client.reset(seed=seed, episode_id=episode_id, **options)
        )

    def step(self, action: BaseModel | Mapping[str, Any]) -> StepResult[ObservationT]:
        """Carry out an action. See `EnvClient.step`."""
        return self._open.call(self._client.step, action)

    def evaluate(self) -> StepResult[ObservationT]:
        """End the episode with the task's own check. See `EnvClient.evaluate`."""
        return self._open.call(self._client.evaluate)

    def state(self) -> StateT:
        """Return what a trainer may inspect. See `EnvClient.state`."""
        return self._open.call(self._client.state)

    def call_tool(self, name: str, **arguments: Any) -> StepResult[dict[str, Any]]:
        """Carry out an action as a tool call. See `EnvClient.call_tool`."""
        return self._open.call(lambda: self._client.call_tool(name, **arguments))

    def list_tools(self) -> list[dict[str, Any]]:
        """Return the environment's tools. See `EnvClient.list_tools`."""
        return self._open.call(self._client.list_tools)

    def describe(self, what: str = "metadata") -> dict[str, Any]:
        """Return what the server says of itself. See `EnvClient.describe`."""
        return self._open.call(self._client.describe, what)

    @property
    def _open(self) -> BlockingPortal:
        if self._portal is None:
            raise RuntimeError("the client is not open: use it in a `with` block")
        return self._portal


def _why(exc: Exception) -> str:
    if isinstance(exc, InvalidStatus):
        body = exc.response.body.decode(errors="replace") if exc.response.body else ""
        return f"HTTP {exc.response.status_code} {body}".strip()
    return str(exc) or type(exc).__name__
