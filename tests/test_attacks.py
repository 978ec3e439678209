"""Ninety-five attacks on the server and on another session, at every level that is to be had."""

import os
from collections.abc import Iterator

import pytest
from tests.attacks import contexts
from tests.attacks.contexts import CONTEXTS, Context
from tests.attacks.names import ATTACKS

import engine

HERE = [c for c in CONTEXTS if c.flags is None and os.geteuid() in (0, c.user)]
IN_DOCKER = [c for c in CONTEXTS if c.flags is not None]
in_docker = [
    pytest.mark.docker,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("docker"),
]


@pytest.fixture(scope="module")
def image() -> Iterator[None]:
    """The image that the arena is held in."""
    with engine.engine():
        engine.build_all()
        yield


def holds(context: Context) -> None:
    attacks = contexts.run(context)["attacks"]
    verdicts = {name: verdict for name, (verdict, _) in attacks.items()}
    assert tuple(verdicts) == ATTACKS
    further, less = contexts.more_open(verdicts, contexts.expected(context))
    for name in less:
        print(f"{context.name}: {name} is {verdicts[name]} now; update expected.json")  # noqa: T201
    assert not further, {name: attacks[name] for name in further}


@pytest.mark.parametrize("context", HERE, ids=lambda context: context.name)
def test_nothing_is_more_open_than_it_is_known_to_be(context: Context):
    holds(context)


@pytest.mark.parametrize("context", IN_DOCKER, ids=lambda context: context.name)
@pytest.mark.usefixtures("image")
class TestInAContainer:
    pytestmark = in_docker

    def test_nothing_is_more_open_than_it_is_known_to_be(self, context: Context):
        holds(context)


def test_every_column_of_the_table_is_one_that_is_tried():
    for context in CONTEXTS:
        assert set(contexts.expected(context)) <= set(ATTACKS)


@pytest.mark.parametrize(
    ("verdict", "known", "further", "less"),
    [
        ("open", "partial", True, False),
        ("partial", "blocked", True, False),
        ("broken", "open", True, False),
        ("private", "blocked", False, False),
        ("blocked", "open", False, True),
        ("partial", "open", False, True),
        ("open", "open", False, False),
    ],
)
def test_how_a_verdict_compares(verdict: str, known: str, further: bool, less: bool):
    found = contexts.more_open({"chroot": verdict}, {"chroot": known})
    assert found == (["chroot"] if further else [], ["chroot"] if less else [])
