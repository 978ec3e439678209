"""An environment for tests: it echoes, sleeps, raises and answers nonsense when told to.

Its models are those of the probe that the recorded OpenEnv conversations were made with
(tests/wire/INDEX.md), so that the client side of every recording can be replayed against it.
"""

import time
from pathlib import Path
from typing import Any, Literal

import anyio
from pydantic import Field

from paddock import Action, BlockingEnvironment, Context, Environment, Observation, State
from paddock.catalog import EnvSpec
from paddock.tasks import TaskSet
from paddock.types import Episode, ResetOptions


class Echo(Action):
    """Say something back."""

    type: Literal["echo"] = "echo"
    message: str = Field(min_length=1, description="Message to echo")
    op: str = "echo"
    arg: float = 0.0


class EchoObservation(Observation):
    """What was said."""

    echoed: str = ""
    length: int = 0
    saw_timeout_s: float | None = None
    extra: dict[str, Any] = Field(default_factory=dict[str, Any])


class EchoState(State):
    """What was said last."""

    last: str = ""
    closed: bool = False


PNG = "iVBORw0KGgoAAAAN"
"""The beginning of a picture; whoever looks at the type alone takes it for one."""

LOG: list[str] = []
"""What happened to the environments of this process, in order."""


def _answer(action: Echo) -> EchoObservation:
    match action.op:
        case "raise":
            raise ValueError(f"boom: {action.message}")
        case "nan":
            return EchoObservation(echoed="nan", reward=float("nan"))
        case "big":
            return EchoObservation(echoed="x" * int(action.arg))
        case "odd":
            return EchoObservation(echoed="odd", extra={"object": object()})
        case "picture":
            bundle = {"text/plain": "a picture", "image/png": PNG}
            return EchoObservation(
                echoed="seen", extra={"shots": [bundle], "image/svg+xml": "<g/>"}
            )
        case "done":
            return EchoObservation(echoed="bye", done=True, reward=1.0, metadata={"why": "asked"})
        case _:
            return EchoObservation(
                echoed=action.message,
                length=len(action.message),
                reward=0.5,
                extra={"kw": {}, "closed": False},
            )


class EchoEnv(Environment[Echo, EchoObservation, ResetOptions]):
    """The async probe."""

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self._last = ""

    async def reset(self, episode: Episode[ResetOptions]) -> EchoObservation:
        LOG.append(f"reset {self.context.session_id}")
        extra = {"seed": episode.seed, "kw": episode.options.model_extra}
        return EchoObservation(echoed="ready", extra=extra)

    async def step(self, action: Echo) -> EchoObservation:
        if action.op == "sleep":
            try:
                await anyio.sleep(action.arg)
            except BaseException:
                LOG.append(f"cancelled {self.context.session_id}")
                raise
        self._last = action.message
        return _answer(action)

    async def state(self) -> EchoState:
        return EchoState(last=self._last)

    async def close(self) -> None:
        LOG.append(f"closed {self.context.session_id}")


class BlockingEchoEnv(BlockingEnvironment[Echo, EchoObservation, ResetOptions]):
    """The same, blocking: `sleep` holds its thread."""

    def reset(self, episode: Episode[ResetOptions]) -> EchoObservation:
        return EchoObservation(echoed="ready")

    def step(self, action: Echo) -> EchoObservation:
        if action.op == "sleep":
            time.sleep(action.arg)
        return _answer(action)


class FailingEnv(Environment[Echo, EchoObservation, ResetOptions]):
    """Cannot be constructed."""

    def __init__(self, context: Context | None = None) -> None:
        raise RuntimeError("the secret reason")

    async def reset(self, episode: Episode[ResetOptions]) -> EchoObservation:
        raise AssertionError

    async def step(self, action: Echo) -> EchoObservation:
        raise AssertionError


def _spec(name: str, cls: type, **more: Any) -> EnvSpec:
    return EnvSpec(
        name=name,
        version="0.1.0",
        description="Echoes.",
        entry_point=f"probe:{cls.__name__}",
        action=Echo,
        observation=EchoObservation,
        state=EchoState,
        **more,
    )


TASKS = TaskSet(Path(__file__).parent / "probe_tasks")

SPEC = _spec("echo_probe", EchoEnv, tasks="probe:TASKS")
NO_TASKS = _spec("echo_probe", EchoEnv)
BLOCKING = _spec("blocking_probe", BlockingEchoEnv)
FAILING = _spec("failing_probe", FailingEnv)
