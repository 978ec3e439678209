"""`evaluate` as the session sees it: once, within its own time, and the end of the episode."""

import anyio
import pytest

import probe
from paddock import Context
from paddock.errors import EpisodeOver, NotAvailable, StepFailed, StepTimeout
from paddock.session import Session
from paddock.watchdog import Watchdog


class Judged(probe.EchoEnv):
    """Takes as long to judge as it is told, and fails as often."""

    calls = 0
    seconds = 0.0
    failures = 0

    async def evaluate(self) -> probe.EchoObservation:
        self.calls += 1
        await anyio.sleep(self.seconds)
        if self.failures:
            self.failures -= 1
            raise RuntimeError("no luck")
        return probe.EchoObservation(done=True, reward=1.0, metadata={"rewards": {"reward": 1.0}})


async def session_of(env: probe.EchoEnv, watchdog: Watchdog, **limits: float) -> Session:
    context = Context(**limits)
    session = Session(
        id="s", spec=probe.SPEC, codec=probe.SPEC.codec(), env=env, context=context,
        watchdog=watchdog,
    )  # fmt: skip
    await session.reset()
    return session


@pytest.fixture
def env() -> Judged:
    return Judged()


async def test_it_runs_once_and_what_is_done_to_an_answer_does_not_show(env: Judged):
    session = await session_of(env, Watchdog())
    first = await session.evaluate()
    first.metadata["rewards"]["reward"] = 0.0
    second = await session.evaluate()
    assert (second.reward, second.metadata) == (1.0, {"rewards": {"reward": 1.0}})
    assert env.calls == 1
    with pytest.raises(EpisodeOver):
        await session.step(probe.Echo(message="x"))
    await session.reset()
    await session.step(probe.Echo(message="x"))
    await session.evaluate()
    assert env.calls == 2


async def test_it_has_a_time_limit_of_its_own(env: Judged):
    watchdog = Watchdog()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watchdog.run)
        env.seconds = 0.4
        patient = await session_of(env, watchdog, step_limit_s=0.1, evaluate_limit_s=10)
        assert (await patient.evaluate()).reward == 1.0
        hasty = await session_of(env, watchdog, step_limit_s=10, evaluate_limit_s=0.1)
        with pytest.raises(StepTimeout):
            await hasty.evaluate()
        tasks.cancel_scope.cancel()


async def test_one_that_failed_can_be_asked_for_again_but_the_agent_is_done(env: Judged):
    session = await session_of(env, Watchdog())
    env.failures = 1
    with pytest.raises(StepFailed, match="no luck"):
        await session.evaluate()
    with pytest.raises(EpisodeOver):
        await session.step(probe.Echo(message="x"))
    assert (await session.evaluate()).reward == 1.0


async def test_without_a_check_the_episode_goes_on():
    session = await session_of(probe.EchoEnv(), Watchdog())
    with pytest.raises(NotAvailable):
        await session.evaluate()
    await session.step(probe.Echo(message="x"))
