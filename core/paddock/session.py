"""A session: one client's hold on one environment. Every door ends here.

Whatever came in, through whichever door, it is `reset`, `step`, `state` or `evaluate` of this
class: one turn at a time, with a deadline, counted. Nothing else touches an environment.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

import anyio
from pydantic import ValidationError
from pydantic_core import to_json, to_jsonable_python

from paddock.catalog import EnvSpec
from paddock.environment import AnyEnvironment, Context
from paddock.errors import (
    EnvError,
    EpisodeOver,
    InvalidMessage,
    NotAvailable,
    SessionClosed,
    StepFailed,
    StepTimeout,
)
from paddock.messages import AnyAction, Codec, ResetData, invalid
from paddock.tools import CallTool, Evaluate, ListTools, ToolError, ToolList, ToolResult, tools_of
from paddock.types import Action, Episode, Observation, State
from paddock.watchdog import Turn, Watchdog

__all__ = ["Session", "observation_data", "tool_result"]

CLOSE_LIMIT_S = 2.5  # a server has 8 s between SIGTERM and its end

logger = logging.getLogger(__name__)
T = TypeVar("T")


class Session:
    """One environment, one turn at a time.

    Args:
        id: Names the session; a client that knows it can come back.
        spec: The environment's spec.
        codec: Reads and writes this environment's frames.
        env: The environment, freshly made; the session owns it from here on.
        context: What the environment was made with.
        watchdog: Enforces the deadlines.

    Attributes:
        episodes: Resets so far.
        last_used: When the last turn ended (`time.monotonic`).
        closed: Why the session ended, once it has.
        ended: Is set when it has.
    """

    def __init__(
        self,
        *,
        id: str,
        spec: EnvSpec,
        codec: Codec,
        env: AnyEnvironment,
        context: Context,
        watchdog: Watchdog,
    ) -> None:
        self.id = id
        self.codec = codec
        self.turn = Turn(watchdog)
        self.last_used = time.monotonic()
        self.episodes = 0
        self.steps = 0
        self.closed: SessionClosed | None = None
        self.ended = asyncio.Event()
        self.spec = spec
        self._env = env
        self._limit_s = context.step_limit_s
        self._evaluate_limit_s = context.evaluate_limit_s
        self._lock = asyncio.Lock()  # anyio's costs 1.3 us more a step
        self._episode_id: str | None = None
        self._step_count = 0
        self._judging = False  # once it has begun, the agent has nothing to say any more
        self._verdict: Observation | None = None

    async def reset(self, data: ResetData | None = None) -> Observation:
        """Begin an episode.

        Raises:
            InvalidMessage: An option does not fit the environment's options model.
            StepFailed: The environment raised, or did not answer in time.
            SessionClosed: The session has ended.
        """
        data = data or ResetData()
        try:
            options = self.spec.options.model_validate(data.model_extra or {})
        except ValidationError as exc:
            raise invalid(exc) from None
        episode = Episode(data.episode_id or str(uuid.uuid4()), data.seed, options)
        observation = await self._take_turn(lambda: self._begin(episode))
        if options.model_extra:
            observation.metadata["ignored_options"] = sorted(options.model_extra)
        return observation

    async def step(self, action: AnyAction, *, limit_s: float | None = None) -> Observation:
        """Carry out an action: the environment's own, or one of core's.

        A first step without a reset begins an episode with the defaults.

        Args:
            action: A validated action.
            limit_s: Seconds after which to give up, below the server's ceiling.

        Raises:
            StepFailed: The environment raised, or did not answer in time, or the episode is over.
            SessionClosed: The session has ended.
        """
        if isinstance(action, Action):
            return await self._take_turn(lambda: self._act(action), limit_s)
        match action:
            case CallTool():
                return await self._call_tool(action, limit_s)
            case ListTools():
                return await self._take_turn(self._list_tools)
            case Evaluate():
                return await self.evaluate()

    async def state(self) -> State:
        """Return the environment's state, with the episode's id and exact step count.

        Raises:
            StepFailed: The environment raised, or did not answer in time.
            SessionClosed: The session has ended.
        """
        return await self._take_turn(self._look)

    async def evaluate(self) -> Observation:
        """End the episode with the task's own check. A second call returns the first verdict.

        Raises:
            NotAvailable: The episode has no check.
            StepFailed: The environment raised, or did not answer in time.
            SessionClosed: The session has ended.
        """
        return await self._take_turn(self._judge, ceiling_s=self._evaluate_limit_s)

    async def close(self, reason: str = "the session was closed") -> None:
        """End the session and give its environment back. Never raises; idempotent."""
        if self.closed is not None:
            return
        self.closed = SessionClosed(reason)
        self.ended.set()
        self.turn.cancel(self.closed)
        with anyio.move_on_after(CLOSE_LIMIT_S, shield=True) as scope:
            # Wait for the last turn to let go, but not for one that ignores its cancellation.
            with anyio.move_on_after(CLOSE_LIMIT_S / 5):
                await self._lock.acquire()
            try:
                await self._env.close()
            except Exception:  # an environment's bug must not keep the others from closing
                logger.exception("session %s: the environment failed to close", self.id)
        if scope.cancelled_caught:
            logger.error("session %s: its environment took too long to close", self.id)

    # -- one turn ---------------------------------------------------------------------------------

    async def _take_turn(
        self,
        call: Callable[[], Awaitable[T]],
        limit_s: float | None = None,
        *,
        ceiling_s: float | None = None,
    ) -> T:
        turn = self.turn
        async with self._lock:
            if self.closed is not None:
                raise self.closed
            ceiling = self._limit_s if ceiling_s is None else ceiling_s
            limit = ceiling if limit_s is None else min(limit_s, ceiling)
            turn.begin(limit)
            try:
                return await call()
            except asyncio.CancelledError:
                if (why := turn.end()) is not None:
                    raise why from None
                raise
            except EnvError:
                raise
            except Exception as exc:
                logger.exception("session %s: the environment raised", self.id)
                raise StepFailed(str(exc) or type(exc).__name__) from exc
            finally:
                if turn.running:
                    turn.end()
                self.last_used = time.monotonic()

    async def _begin(self, episode: Episode[Any]) -> Observation:
        self._episode_id, self._step_count = None, 0
        self._judging, self._verdict = False, None
        observation = await self._env.reset(episode)
        self._episode_id = episode.id
        self.episodes += 1
        return observation

    async def _act(self, action: Action) -> Observation:
        if self._episode_id is None:
            options = self.spec.options()
            await self._begin(Episode(str(uuid.uuid4()), None, options))
        if self._judging:
            raise EpisodeOver("the episode was evaluated and is over; reset to begin another")
        self._step_count += 1
        self.steps += 1
        return await self._env.step(action)

    async def _look(self) -> State:
        if self._episode_id is None:
            return self.spec.state()
        state = await self._env.state()
        state.episode_id, state.step_count = self._episode_id, self._step_count
        return state

    async def _judge(self) -> Observation:
        verdict = self._verdict
        if verdict is None:
            self._judging = True
            try:
                verdict = self._verdict = await self._env.evaluate()
            except NotAvailable:
                self._judging = False  # nothing was done: the episode goes on
                raise
        # A copy: what a door does to its answer must not show in the next.
        return verdict.model_copy(deep=True)

    async def _list_tools(self) -> ToolList:
        self._step_count += 1
        tools = tools_of(self.codec.actions).values()
        return ToolList(
            tools=[
                {"name": t.name, "description": t.description, "input_schema": t.input_schema}
                for t in tools
            ]
        )

    async def _call_tool(self, call: CallTool, limit_s: float | None) -> ToolResult:
        """Carry out an action that came as a tool call; what fails is in the answer's ``error``."""
        name = call.tool_name
        try:
            action = self.tool_action(name, call.arguments)
            observation = await self.step(action, limit_s=limit_s)
        except InvalidMessage as exc:
            kind = "invalid_args" if name in tools_of(self.codec.actions) else "tool_not_found"
            error = ToolError(error_type=kind, message=exc.message)
        except StepTimeout as exc:
            error = ToolError(error_type="timeout", message=exc.message)
        except StepFailed as exc:
            error = ToolError(error_type="execution_error", message=exc.message)
        else:
            return ToolResult(
                tool_name=name,
                result=tool_result(observation),
                done=observation.done,
                reward=observation.reward,
                metadata=observation.metadata,
            )
        return ToolResult(tool_name=name, error=error)

    def tool_action(self, name: str, arguments: dict[str, Any]) -> Action:
        """Return the action that a tool call means.

        Raises:
            InvalidMessage: There is no such tool, or its arguments do not fit.
        """
        if name not in tools_of(self.codec.actions):
            known = ", ".join(tools_of(self.codec.actions))
            raise InvalidMessage(f"Unknown tool: {name!r} (tools: {known})", errors=[])
        if "type" in arguments:
            raise InvalidMessage("Invalid message: type: no tool has this argument", errors=[])
        return cast("Action", self.codec.action({**arguments, "type": name}))


def tool_result(observation: Observation) -> dict[str, Any]:
    """Return an observation as the result of a tool call, in OpenEnv's dialect of MCP.

    Its keys are snake_case and ``data`` is what `MCPToolClient.call_tool` hands to its caller.

    Raises:
        StepFailed: The observation holds something JSON cannot.
    """
    data, text = observation_data(observation)
    return {
        "content": [{"type": "text", "text": text, "annotations": None, "meta": None}],
        "structured_content": data,
        "meta": None,
        "data": data,
        "is_error": False,
    }


def observation_data(observation: Observation) -> tuple[dict[str, Any], str]:
    """Return an observation's fields, without what an envelope carries: as data and as text.

    Raises:
        StepFailed: The observation holds something JSON cannot.
    """
    fields = observation.model_dump(exclude={"done", "reward", "metadata"})
    try:
        data = to_jsonable_python(fields, inf_nan_mode="null")
        return data, to_json(data, indent=2).decode()
    except ValueError as exc:
        raise StepFailed(f"the environment's observation is not JSON: {exc}") from exc
