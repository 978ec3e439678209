"""The probe with tools that some of the recorded conversations were made with."""

from typing import Any, Literal

import anyio

from paddock import Action, Environment, Observation
from paddock.catalog import EnvSpec
from paddock.types import Episode, ResetOptions


class Add(Action):
    """Add two integers."""

    type: Literal["add"] = "add"
    a: int
    b: int


class Bump(Action):
    """Increment the session counter."""

    type: Literal["bump"] = "bump"


class Fail(Action):
    """Always raises."""

    type: Literal["fail"] = "fail"
    msg: str


class Slow(Action):
    """Sleep s seconds."""

    type: Literal["slow"] = "slow"
    s: float


class ToolObservation(Observation):
    """A number."""

    n: int | None = None


class ToolEnv(Environment[Any, ToolObservation, ResetOptions]):
    """Adds, counts, fails and sleeps."""

    async def reset(self, episode: Episode[ResetOptions]) -> ToolObservation:
        self._n = 0
        return ToolObservation(metadata={"message": "ready"})

    async def step(self, action: Add | Bump | Fail | Slow) -> ToolObservation:
        match action:
            case Add():
                return ToolObservation(n=action.a + action.b)
            case Bump():
                self._n += 1
                return ToolObservation(n=self._n)
            case Fail():
                raise ValueError(action.msg)
            case Slow():
                await anyio.sleep(action.s)
                return ToolObservation()


SPEC = EnvSpec(
    name="tool_probe",
    version="0.1.0",
    description="Has tools.",
    entry_point="tools_probe:ToolEnv",
    action=Add | Bump | Fail | Slow,
    observation=ToolObservation,
)
