"""The tasks that the terminal ships: each can be done, and not by doing nothing."""

import pytest

from paddock.sandbox.levels import choose
from paddock.verification import verify
from paddock_terminal import SPEC
from paddock_terminal.env import TASKS


def test_there_are_five():
    assert TASKS.count("train") == 5


@pytest.mark.timeout(300)
async def test_every_sample_is_sound():
    level = (await choose()).level
    assert await verify(SPEC, TASKS.range("train"), [level]) == []
