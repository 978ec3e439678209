"""An environment that does nothing: what is left is the server."""

from typing import Any, Literal

from paddock.catalog import EnvSpec
from paddock.environment import Environment
from paddock.types import Action, Episode, Observation, ResetOptions


class Noop(Action):
    """Do nothing and say the text back."""

    type: Literal["noop"] = "noop"
    text: str = ""


class NoopObservation(Observation):
    """The text that was sent."""

    text: str = ""


class NoopEnv(Environment[Noop, NoopObservation, ResetOptions]):
    """Does nothing."""

    async def reset(self, episode: Episode[Any]) -> NoopObservation:
        """Begin."""
        return NoopObservation(text="ready")

    async def step(self, action: Noop) -> NoopObservation:
        """Say the text back."""
        return NoopObservation(text=action.text)


SPEC = EnvSpec(
    name="noop",
    version="0.1.0",
    description="Does nothing.",
    entry_point="noop:NoopEnv",
    action=Noop,
    observation=NoopObservation,
)
