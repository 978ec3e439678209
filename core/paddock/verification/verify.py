"""Play tasks as an agent that solves them, and as one that does nothing; then look for leaks."""

import shutil
import time
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from paddock.catalog import EnvSpec
from paddock.environment import Context
from paddock.errors import ConfigurationError, EnvError
from paddock.limits import Limits
from paddock.messages import ResetData
from paddock.sandbox.capture import capture
from paddock.sandbox.confinement import Level
from paddock.sandbox.pool import First
from paddock.sandbox.sandbox import Sandbox
from paddock.sandbox.sandboxes import Sandboxes
from paddock.session import Session
from paddock.tasks import Task
from paddock.types import Observation
from paddock.verification.leaks import Leak, give, leaks_in, look, secrets_of
from paddock.watchdog import Watchdog

__all__ = ["Finding", "verify"]

SOLVE_S = 300.0
STEP_S = 120.0
SAID = 500  # characters of output that a finding quotes


@dataclass(frozen=True)
class Finding:
    """What is wrong with a task.

    Attributes:
        task_id: Which.
        kind: ``solution``, ``nothing``, ``unstable``, ``leak``, or ``unplayable``.
        said: What was seen.
    """

    task_id: str
    kind: str
    said: str


class _Recording(Sandboxes):
    """Sandboxes that remember the last one they handed out: the one of the episode that began."""

    latest: Sandbox | None = None

    async def take(
        self,
        limits: Limits | None = None,
        template: Path | None = None,
        *,
        first: First | None = None,
    ) -> Sandbox:
        self.latest = await super().take(limits, template, first=first)
        return self.latest


@dataclass(frozen=True)
class _Player:
    session: Session
    sandboxes: _Recording

    @property
    def sandbox(self) -> Sandbox:
        if self.sandboxes.latest is None:
            raise ConfigurationError("the environment runs nothing in a sandbox: no solution, too")
        return self.sandboxes.latest

    async def begin(self, options: dict[str, Any]) -> Observation:
        return await self.session.reset(ResetData.model_validate(options))


async def verify(
    spec: EnvSpec,
    tasks: Sequence[Task],
    levels: Sequence[Level],
    *,
    by_value: bool = False,
    times: int = 2,
) -> list[Finding]:
    """Verify tasks: play them at the strongest level, look for leaks at all of them.

    Args:
        spec: The environment they are for.
        tasks: The tasks.
        levels: Levels that run here, strongest first; never ``none``.
        by_value: The environment does not have them.
        times: How often the solution and doing nothing are each played.

    Returns:
        What is wrong, in order of the tasks.

    Raises:
        ConfigurationError: There is no level to run them at.
        OSError: A sandbox cannot be made.
    """
    if not levels or Level.NONE in levels:
        raise ConfigurationError("tasks are verified behind walls only, and there are none here")
    found: list[Finding] = []
    async with _playing(spec, levels[0]) as player:
        for task in tasks:
            found += await _played(player, task, _options(task, by_value), times)
    leaks: dict[Leak, list[Level]] = {}
    for level in levels:
        async with _playing(spec, level) as player:
            for leak in await _looked(player, tasks, by_value):
                leaks.setdefault(leak, []).append(level)
    for (task_id, name, place), where in leaks.items():
        found.append(Finding(task_id, "leak", f"{name} in {place}, at {', '.join(where)}"))
    order = [task.id for task in tasks]
    return sorted(found, key=lambda f: order.index(f.task_id))


@asynccontextmanager
async def _playing(spec: EnvSpec, level: Level) -> AsyncGenerator[_Player]:
    async with _Recording.serving(level, spec.sandbox) as sandboxes:
        assert isinstance(sandboxes, _Recording)
        context = Context(step_limit_s=STEP_S, limits=spec.limits, sandboxes=sandboxes)
        session = Session(
            id="verify",
            spec=spec,
            codec=spec.codec(),
            env=await spec.make(context),
            context=context,
            watchdog=Watchdog(),
        )
        try:
            yield _Player(session, sandboxes)
        finally:
            await session.close()


def _options(task: Task, by_value: bool) -> dict[str, Any]:
    return task.by_value() if by_value else {"task_id": task.id}


async def _played(
    player: _Player, task: Task, options: dict[str, Any], times: int
) -> list[Finding]:
    found: list[Finding] = []
    for kind, wanted in (("solution", task.max_reward), ("nothing", task.min_reward)):
        verdicts: list[Observation] = []
        how = ""
        try:
            for _ in range(times):
                await player.begin(options)
                if kind == "solution":
                    how = await _solve(player.sandbox, task)
                verdicts.append(await player.session.evaluate())
        except (EnvError, OSError) as exc:
            found.append(Finding(task.id, "unplayable", f"{kind}: {exc}"))
            continue
        found += _judged(task, kind, wanted, verdicts, how)
    return found


def _judged(
    task: Task, kind: str, wanted: float, verdicts: list[Observation], how: str
) -> Iterator[Finding]:
    rewards = [verdict.reward for verdict in verdicts]
    if len(set(rewards)) > 1:
        said = f"{kind}: the check said {', '.join(map(str, rewards))}"
        yield Finding(task.id, "unstable", said)
    elif rewards[0] != wanted:
        fields = verdicts[0].model_dump(mode="json")
        why = fields["metadata"].get("check", {}).get("error") or fields.get("output", "")
        said = f"earns {rewards[0]} and not {wanted:g}{how}: {str(why).strip()[-SAID:]}"
        yield Finding(task.id, kind, said)


async def _solve(sandbox: Sandbox, task: Task) -> str:
    """Run a task's solution in the workspace; return what is to be said of how it ended."""
    place = sandbox.control / "solution"
    printed = bytearray()

    def add(data: bytes) -> None:
        printed.extend(data)
        del printed[:-SAID]

    try:
        await to_thread.run_sync(_put_solution, task, place)
        argv = ["bash", str(place / "solve.sh")]
        code = await capture(sandbox, argv, add, limit_s=SOLVE_S)
    finally:
        with anyio.CancelScope(shield=True):
            # In `control`, which no session can change or mount in.
            await to_thread.run_sync(lambda: shutil.rmtree(place, ignore_errors=True))
    if code == 0:
        return ""
    end = f"did not end within {SOLVE_S:g} s" if code is None else f"ended with {code}"
    return f" (it {end}: {printed.decode(errors='replace').strip()})"


def _put_solution(task: Task, place: Path) -> None:
    if task.row is None:
        shutil.copytree(task.folder / "solution", place)
    else:
        if task.row.solution is None:
            raise FileNotFoundError("there is no solution")
        place.mkdir()
        (place / "solve.sh").write_text(task.row.solution, encoding="utf-8")
    give(place)


async def _looked(player: _Player, tasks: Sequence[Task], by_value: bool) -> list[Leak]:
    """Return the leaks at one level. A check has run before, which may have left something."""
    found: list[Leak] = []
    known: list[dict[str, Any]] = []
    since = time.time()
    folders = [task.path for task in tasks if task.path is not None]
    for task in tasks:
        own = await to_thread.run_sync(secrets_of, task)
        known += own
        try:
            await player.begin(_options(task, by_value))
            await player.session.evaluate()
            seen = await player.begin(_options(task, by_value))
        except EnvError:
            continue  # named already: it was played before
        told = seen.model_dump(mode="json")
        text = "\n".join([task.instruction, *(str(value) for value in told.values())])
        found += leaks_in(text.encode(), own, "what the agent is told")
        path = [task.path] if task.path is not None else []
        found += await look(player.sandbox, own, path, since=since, far=False)
    if player.sandboxes.latest is not None:
        found += await look(player.sandbox, known, folders, since=since, far=True)
    return list(dict.fromkeys(found))
