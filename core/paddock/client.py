"""The client: one connection, one session, whatever happens to the connection.

`EnvClient` is async; `EnvClient.sync` gives its blocking twin, which runs the same code on a
shared event loop in a thread. Both talk to OpenEnv's own servers as well.
"""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast

import anyio
import httpx
from anyio.from_thread import BlockingPortal, BlockingPortalProvider
from pydantic import BaseModel

from paddock.catalog import EnvSpec
from paddock.conversation import Conversation, url_of
from paddock.errors import EnvError, EnvLost
from paddock.types import Observation, State, StepResult

__all__ = ["EnvClient", "SyncEnvClient", "Timeouts"]

ObservationT = TypeVar("ObservationT")
StateT = TypeVar("StateT")


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
        self._base_url = base_url or ""
        self._server = server
        self._headers = {**(headers or {})}
        if token is not None:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeouts = timeouts or Timeouts()
        self._max_message_bytes = max_message_bytes
        self._talk: Conversation | None = None
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
                self._base_url = await self._stack.enter_async_context(self._server)
            self._talk = Conversation(
                self._base_url,
                headers=self._headers,
                connect_s=self._timeouts.connect,
                max_message_bytes=self._max_message_bytes,
            )
            await self._talk.open()
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
                await self._open.close()
        finally:
            await self._stack.aclose()

    @property
    def session_id(self) -> str:
        """The session's id; another one after a reset that had to begin a new session."""
        return self._open.session_id

    @property
    def _open(self) -> Conversation:
        if self._talk is None:
            raise RuntimeError("the client is not open: use it in an `async with` block")
        return self._talk

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
        frame = {"type": "reset", "data": data}
        # A reset begins from a clean state, so nothing is lost by a new session.
        return self._result(await self._open.ask(frame, self._timeouts.reset, anew=True))

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
        return self._result(await self._open.ask(frame, limit))

    async def evaluate(self) -> StepResult[ObservationT]:
        """End the episode with the task's own check. Raises as `step` does."""
        return await self.step({"type": "evaluate"})

    async def state(self) -> StateT:
        """Return what a trainer may inspect. Raises as `step` does."""
        data = await self._open.ask({"type": "state"}, self._timeouts.state)
        model: type[State] | None = self.spec.state if self.spec else None
        return cast("StateT", model.model_validate(data) if model else data)

    async def call_tool(self, name: str, **arguments: Any) -> StepResult[dict[str, Any]]:
        """Carry out an action as a tool call. Raises as `step` does."""
        data = {"type": "call_tool", "tool_name": name, "arguments": arguments}
        answer = await self._open.ask({"type": "step", "data": data}, self._timeouts.step)
        return StepResult(
            answer["observation"], answer["reward"], answer["done"], answer.get("metadata") or {}
        )

    async def list_tools(self) -> list[dict[str, Any]]:
        """Return the environment's tools: name, description, input_schema. Raises as `step`."""
        frame = {"type": "mcp", "data": {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}}
        answer = await self._open.ask(frame, self._timeouts.state)
        if "error" in answer:
            raise EnvError(answer["error"]["message"])
        return cast("list[dict[str, Any]]", answer["result"]["tools"])

    async def describe(self, what: str = "metadata") -> dict[str, Any]:
        """Return ``/metadata``, or ``/schema``: what the server says of itself.

        Raises:
            EnvLost: The server cannot be reached.
        """
        url = url_of(self._base_url, "http", f"/{what}")
        try:
            async with httpx.AsyncClient(timeout=self._timeouts.state) as http:
                answer = await http.get(url, headers=self._headers)
                return cast("dict[str, Any]", answer.raise_for_status().json())
        except httpx.HTTPError as exc:
            raise EnvLost(f"{url}: {exc or type(exc).__name__}") from exc

    def _result(self, data: dict[str, Any]) -> StepResult[ObservationT]:
        observation: Any = data.get("observation", {})
        reward, done = data.get("reward"), bool(data.get("done"))
        metadata: dict[str, Any] = data.get("metadata") or observation.get("metadata", {})
        if self.spec is not None:
            model: type[Observation] = self.spec.observation
            observation = model.model_validate({**observation, "reward": reward, "done": done})
        return StepResult(cast("ObservationT", observation), reward, done, metadata)


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
