"""The same do-nothing environment on OpenEnv's own server. Runs in OpenEnv's virtual environment.

Its methods are async, so that they run on the event loop: OpenEnv's fastest way.
"""

from typing import Any

from openenv.core.env_server.http_server import create_app
from openenv.core.env_server.interfaces import Environment
from openenv.core.env_server.types import Action, Observation, State


class NoopAction(Action):
    """The action."""

    text: str = ""


class NoopObservation(Observation):
    """The observation."""

    text: str = ""


class NoopEnvironment(Environment):
    """Does nothing."""

    SUPPORTS_CONCURRENT_SESSIONS = True

    def __init__(self) -> None:
        super().__init__()
        self._state = State()

    def reset(self, seed: int | None = None, episode_id: str | None = None, **_: Any) -> Any:
        """Begin."""
        self._state = State(episode_id=episode_id)
        return NoopObservation(text="ready")

    async def reset_async(
        self, seed: int | None = None, episode_id: str | None = None, **_: Any
    ) -> Any:
        """Begin."""
        return self.reset(seed, episode_id)

    def step(self, action: Any, timeout_s: float | None = None, **_: Any) -> Any:
        """Say the text back."""
        self._state.step_count += 1
        return NoopObservation(text=action.text)

    async def step_async(self, action: Any, timeout_s: float | None = None, **_: Any) -> Any:
        """Say the text back."""
        return self.step(action)

    @property
    def state(self) -> State:
        """What there is to inspect."""
        return self._state


app = create_app(
    NoopEnvironment, NoopAction, NoopObservation, env_name="noop", max_concurrent_envs=1000
)
