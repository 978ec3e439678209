"""The nouns every other module uses: what goes into an environment and what comes out.

The three base models mirror OpenEnv's (``openenv.core.env_server.types``), field for field, because
stock clients rebuild them with ``extra="forbid"``: an environment adds fields of its own to a
subclass, and anything a stock typed client would not expect goes into ``metadata``.

This module imports nothing of ours.
"""

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Action", "Episode", "Observation", "ResetOptions", "State", "StepResult"]


class Action(BaseModel):
    """A tool call: what an agent may ask of an environment.

    A subclass is one tool. It declares ``type: Literal["<tool name>"]`` with that name as its
    default, its docstring is the tool's description, and its other fields are the arguments.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    metadata: dict[str, Any] = Field(
        default_factory=dict[str, Any],
        description="Free for the caller; the environment does not read it.",
    )


class Observation(BaseModel):
    """What an environment answers to a reset or a step."""

    model_config = ConfigDict(extra="forbid")

    done: bool = Field(default=False, description="Whether the episode is over.")
    reward: bool | int | float | None = Field(
        default=None,
        description="A number exactly once, together with done; null means not scored.",
    )
    metadata: dict[str, Any] = Field(
        default_factory=dict[str, Any], description="What does not fit a field."
    )


class State(BaseModel):
    """What a trainer may inspect: never sent to the model."""

    model_config = ConfigDict(extra="allow")

    episode_id: str | None = Field(default=None, description="The id the reset asked for.")
    step_count: int = Field(default=0, ge=0, description="Steps since the reset, exactly.")


OptionsT_co = TypeVar("OptionsT_co", bound=BaseModel, covariant=True)


@dataclass(frozen=True, slots=True)
class Episode(Generic[OptionsT_co]):
    """What a reset asked for.

    Attributes:
        id: The episode's id; generated when the caller gave none.
        seed: Fixes the randomness inside the task; ``None`` leaves it free.
        options: The reset's other arguments, validated by the spec's options model.
    """

    id: str
    seed: int | None
    options: OptionsT_co


class ResetOptions(BaseModel):
    """What a reset may ask for beside seed and episode id. A spec names its own subclass.

    Unknown options do not fail: trainers pass whole dataset rows. They are named in the reset
    observation's ``metadata["ignored_options"]`` instead of vanishing silently.
    """

    model_config = ConfigDict(extra="allow", frozen=True)


ObservationT_co = TypeVar("ObservationT_co", covariant=True)


@dataclass(frozen=True, slots=True)
class StepResult(Generic[ObservationT_co]):
    """What a client gets for a reset or a step.

    Attributes:
        observation: The environment's model, or a plain mapping from an untyped client.
        reward: ``None`` means *not scored* and is never a synonym for 0.
        done: Whether the episode is over.
        metadata: What the environment said beside its observation.
    """

    observation: ObservationT_co
    reward: float | None = None
    done: bool = False
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
