"""Paddock: sandboxed, OpenEnv-compatible environments for agentic RL, by name.

::

    import paddock

    with paddock.make("terminal").sync() as env:
        env.reset(seed=7)
        result = env.step({"command": "echo hello"})

What is named here is public; everything else may change with any release.
"""

from paddock.catalog import Catalog, EnvSpec
from paddock.client import EnvClient, SyncEnvClient, Timeouts
from paddock.environment import BlockingEnvironment, Context, Environment
from paddock.errors import (
    AnswerTimeout,
    CapacityReached,
    ConnectionInterrupted,
    EnvError,
    EnvLost,
    PaddockError,
)
from paddock.factory import make
from paddock.providers import LocalProvider, Provider
from paddock.types import Action, Episode, Observation, ResetOptions, State, StepResult

__all__ = [
    "Action",
    "AnswerTimeout",
    "BlockingEnvironment",
    "CapacityReached",
    "Catalog",
    "ConnectionInterrupted",
    "Context",
    "EnvClient",
    "EnvError",
    "EnvLost",
    "EnvSpec",
    "Environment",
    "Episode",
    "LocalProvider",
    "Observation",
    "PaddockError",
    "Provider",
    "ResetOptions",
    "State",
    "StepResult",
    "SyncEnvClient",
    "Timeouts",
    "make",
]

__version__ = "0.1.0"
