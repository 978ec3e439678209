"""Environments that no server should have to put up with."""

import time
from typing import Any

from paddock import Environment
from paddock.catalog import EnvSpec
from paddock.types import Episode, ResetOptions
from probe import Echo, EchoObservation


class HungEnv(Environment[Echo, EchoObservation, ResetOptions]):
    """Blocks the event loop, against every rule."""

    async def reset(self, episode: Episode[Any]) -> EchoObservation:
        return EchoObservation()

    async def step(self, action: Echo) -> EchoObservation:
        time.sleep(30)  # noqa: ASYNC251 - that is the point
        return EchoObservation()


SPEC = EnvSpec("hung", "0.1.0", "Hangs.", "hung:HungEnv", Echo, EchoObservation)
LACKING = EnvSpec(
    "lacking", "0.1.0", "Lacks.", "no_such_module:Env", Echo, EchoObservation, extra="lacking"
)
