"""The smallest whole environment: it counts. See docs/environments.md.

Play it: ``PYTHONPATH=examples paddock run counter_env:SPEC``
"""

from typing import Literal

from pydantic import Field

from paddock import Action, Environment, EnvSpec, Episode, Observation, ResetOptions, State


class Add(Action):
    """Add to the counter."""

    type: Literal["add"] = "add"
    amount: int = Field(description="What to add.")


class Multiply(Action):
    """Multiply the counter."""

    type: Literal["multiply"] = "multiply"
    factor: int = Field(description="What to multiply it with.")


class CounterObservation(Observation):
    """The counter."""

    value: int = Field(default=0, description="What it shows now.")


class CounterState(State):
    """What a trainer may inspect."""

    goal: int = 0


class CounterOptions(ResetOptions):
    """What a reset may ask for."""

    goal: int = Field(default=10, description="The episode ends, with reward 1, when it is shown.")


class CounterEnv(Environment[Add | Multiply, CounterObservation, CounterOptions]):
    """Counts up to a goal."""

    async def reset(self, episode: Episode[CounterOptions]) -> CounterObservation:
        """Begin at zero."""
        self._value, self._goal = 0, episode.options.goal
        return CounterObservation()

    async def step(self, action: Add | Multiply) -> CounterObservation:
        """Count."""
        match action:
            case Add():
                self._value += action.amount
            case Multiply():
                self._value *= action.factor
        done = self._value == self._goal
        return CounterObservation(value=self._value, done=done, reward=1.0 if done else None)

    async def state(self) -> CounterState:
        """Return the goal."""
        return CounterState(goal=self._goal)


SPEC = EnvSpec(
    name="counter",
    version="0.1.0",
    description="Counts up to a goal.",
    entry_point="counter_env:CounterEnv",
    action=Add | Multiply,
    observation=CounterObservation,
    state=CounterState,
    options=CounterOptions,
)
