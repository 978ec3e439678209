"""Fixtures every test may use."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from blockbuster import BlockBuster, blockbuster_ctx

import peer


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(autouse=True)
def nothing_blocks_the_loop() -> Generator[BlockBuster]:
    """Turn a blocking call of ours on the event loop into a failing test."""
    with blockbuster_ctx(scanned_modules=["paddock", "paddock_terminal"]) as blockbuster:
        for function in blockbuster.functions.values():
            # Looking a name up imports its models: once, before there is anything to hold up.
            function.can_block_in("paddock/factory.py", "make")
        yield blockbuster


@pytest.fixture(scope="session")
def openenv_python() -> Path:
    """A Python with OpenEnv 0.10.0; made at first use, which takes a minute or two."""
    return peer.openenv_python()


@pytest.fixture(scope="session")
def openenv_url(openenv_python: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """OpenEnv's own server with the echo environment that ``openenv init`` generates."""
    project = peer.echo_project(openenv_python, tmp_path_factory.mktemp("openenv"))
    with peer.serving(openenv_python, project) as url:
        yield url


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out, and count as such, what only root can do."""
    if os.geteuid() == 0:
        return
    left = [item for item in items if item.get_closest_marker("root")]
    config.hook.pytest_deselected(items=left)
    items[:] = [item for item in items if item not in left]
