"""Bombs: whatever a session uses up, it is stopped, and the server and all others go on."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from tests.bombs import files, memory, processes
from tests.bombs.blast import SPEC, set_off
from tests.bombs.bomb import Bomb

from paddock import EnvClient
from paddock.providers import LocalProvider

BOMBS = (*processes.BOMBS, *memory.BOMBS, *files.BOMBS)
ANCHOR_PROCESSES = 4  # what keeps a session's namespaces
PATIENCE_S = 0.25  # of whoever waits meanwhile; on two quiet processors it is a tenth of that

pytestmark = [pytest.mark.xdist_group("bombs")]


@pytest.fixture(scope="module", params=["namespaces", "uid"])
def server(request: pytest.FixtureRequest) -> Iterator[str]:
    """A server process at a level."""
    provider = LocalProvider(options=("--isolation", request.param, "--capacity", "4"))
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(provider.serve(SPEC)) as url:
            yield url


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
async def test_a_bomb_takes_nobody_along(server: str, bomb: Bomb):
    blast = await set_off(bomb, server)
    print(f"{bomb.name}: {blast}")  # noqa: T201
    assert re.search(bomb.says, blast.evidence), blast.evidence
    assert blast.processes >= bomb.comes_to
    assert blast.processes <= bomb.all_limits["processes"] + ANCHOR_PROCESSES
    assert blast.health.p50 < PATIENCE_S
    assert blast.steps.p50 < PATIENCE_S
    assert blast.restarts == blast.killed
    assert blast.went_on_s is not None or bomb.stops, blast.seen
    assert blast.after_reset == "new\n" or not bomb.resets
    assert blast.there
    assert not blast.left
    assert blast.gone_s < 1
    assert blast.directory_s < 10


async def test_the_server_is_the_one_it_was(server: str):
    async with EnvClient(server, spec=SPEC) as env:
        await env.reset()
        metadata: dict[str, Any] = await env.describe()
        assert metadata
        assert (await env.step({"command": "echo fine"})).observation.output == "fine\n"
