"""Fixtures every test may use."""

from collections.abc import Generator

import pytest
from blockbuster import BlockBuster, blockbuster_ctx


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
