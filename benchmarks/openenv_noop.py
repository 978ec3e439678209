"""The same do-nothing environment on OpenEnv's own server. Runs in OpenEnv's virtual environment.

`app` serves it as ``openenv init`` writes an environment and as its catalog has them: with plain
methods, which the server runs on a thread. `async_app` overrides the async ones, which it runs on
the event loop: the fastest that it can do.
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

    def step(self, action: Any, timeout_s: float | None = None, **_: Any) -> Any:
        """Say the text back."""
        self._state.step_count += 1
        return NoopObservation(text=action.text)

    @property
    def state(self) -> State:
        """What there is to inspect."""
        return self._state


class AsyncNoopEnvironment(NoopEnvironment):
    """The same on the event loop."""

    async def reset_async(
        self, seed: int | None = None, episode_id: str | None = None, **_: Any
    ) -> Any:
        """Begin."""
        return self.reset(seed, episode_id)

    async def step_async(self, action: Any, timeout_s: float | None = None, **_: Any) -> Any:
        """Say the text back."""
        return self.step(action)


def _app(environment: type[NoopEnvironment]) -> Any:
    return create_app(
        environment, NoopAction, NoopObservation, env_name="noop", max_concurrent_envs=1000
    )


app = _app(NoopEnvironment)
async_app = _app(AsyncNoopEnvironment)
