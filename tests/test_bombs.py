"""Bombs: whatever a session uses up, it is stopped, and the server and all others go on."""

import re
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal
from tests.bombs import files, memory, processes
from tests.bombs.blast import SPEC, set_off
from tests.bombs.bomb import Bomb
from tests.bombs.place import Place

import engine
from paddock import EnvClient
from paddock.providers import LocalProvider

BOMBS = (*processes.BOMBS, *memory.BOMBS, *files.BOMBS)
ANCHOR_PROCESSES = 4  # what keeps a session's namespaces
PATIENCE_S = 1.0  # of whoever waits meanwhile, on two processors that others use as well
CONTAINER_PROCESSES = 1500
LANDLOCK_PROCESSES = 400  # with more of them all wait for seconds until the watch has counted them
# The machine's safety: whatever is wrong with the server, a bomb takes no more than this.
FENCE = ("--memory", "2g", "--pids-limit", str(CONTAINER_PROCESSES))
CONTAINERS = {
    "container": ((), "uid"),
    "hardened container": (engine.HARDENED, "uid"),
    "container, user 1000": (
        ("--user", "1000", "--pids-limit", str(LANDLOCK_PROCESSES)),
        "landlock",
    ),
    "container, namespaces": (engine.NAMESPACES, "namespaces"),
}
ON_HOST = (pytest.mark.xdist_group("bombs"),)
IN_CONTAINER = (pytest.mark.docker, pytest.mark.timeout(900), pytest.mark.xdist_group("docker"))


@pytest.fixture(
    scope="module",
    params=[
        *(pytest.param(level, marks=ON_HOST) for level in ("namespaces", "uid")),
        *(pytest.param(name, marks=IN_CONTAINER) for name in CONTAINERS),
    ],
)
def server(request: pytest.FixtureRequest) -> Iterator[Place]:
    """A server: a process on this machine at a level, or a container."""
    with (_contained if request.param in CONTAINERS else _on_host)(request.param) as place:
        yield place


@contextmanager
def _on_host(level: str) -> Generator[Place]:
    provider = LocalProvider(options=("--isolation", level, "--capacity", "4"))
    with start_blocking_portal() as portal:
        with portal.wrap_async_context_manager(provider.serve(SPEC)) as url:
            yield Place(level, url, level)


@contextmanager
def _contained(name: str) -> Generator[Place]:
    flags, level = CONTAINERS[name]
    with engine.engine():
        engine.build_all()
        started = engine.container(
            "paddock/terminal:latest", *FENCE, "--env", "PADDOCK_CAPACITY=4", *flags
        )
        with started as (container, url):
            engine.wait_until_healthy(url)
            most = LANDLOCK_PROCESSES if level == "landlock" else None
            first = engine.first_process(container)
            yield Place(name, url, level, container, first, most)


@pytest.mark.parametrize("bomb", BOMBS, ids=lambda bomb: bomb.name)
async def test_a_bomb_takes_nobody_along(server: Place, bomb: Bomb):
    blast = await set_off(bomb, server)
    print(f"{server.name}: {bomb.name}: {blast}")  # noqa: T201
    assert re.search(bomb.evidence_in(server), blast.evidence, re.MULTILINE), blast.evidence
    # Where the watch counts them, it may end them between two looks, and says how many they were.
    assert blast.processes >= bomb.comes_to or "limit: processes: " in blast.evidence
    most = server.most_processes or bomb.all_limits["processes"] + ANCHOR_PROCESSES
    assert blast.processes <= most
    patience_s = PATIENCE_S + (bomb.holds_up_landlock if server.level == "landlock" else 0)
    assert blast.health.p50 < patience_s
    assert blast.steps.p50 < patience_s
    assert blast.restarts == blast.killed
    assert blast.went_on_s is not None or bomb.stops, blast.seen
    assert blast.after_reset == "new\n" or not bomb.resets
    assert blast.there
    assert not blast.left
    assert blast.gone_s < 1
    assert blast.directory_s < 10


async def test_the_server_is_the_one_it_was(server: Place):
    async with EnvClient(server.url, spec=SPEC) as env:
        await env.reset()
        metadata: dict[str, Any] = await env.describe()
        assert metadata["isolation"]["level"] == server.level
        assert (await env.step({"command": "echo fine"})).observation.output == "fine\n"
    if server.container is not None:
        assert engine.first_process(server.container) == server.first_process
