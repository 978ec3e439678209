"""Setting a bomb off in one session of a server, and looking at everything else meanwhile."""

import time
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx
from tests.bombs.bomb import Bomb
from tests.bombs.leftovers import Traces
from tests.bombs.place import Place

from latency import Latency, sampling
from paddock import Catalog, EnvClient
from paddock_terminal import TerminalObservation

__all__ = ["Blast", "set_off"]

SPEC = Catalog()["terminal"]
GO_ON_S = 20.0
GONE_S = 10.0


@dataclass
class Blast:
    """What came of a bomb.

    Attributes:
        seen: The observations of the session that set it off, until it went on.
        health: Answers of ``/health`` meanwhile.
        steps: Quick steps of another session meanwhile.
        processes: The most that the session was seen to have.
        took_s: How long the bomb's own step took.
        killed: How often the session's shell had to be another one.
        went_on_s: How long it took until the session carried out a command again.
        end_s: How long its end took: of the connection, or of the episode with a new one.
        after_reset: What the new episode's first command printed.
        gone_s: When nothing of it was to be found any more, since its end began.
        there: What there was of it before.
        left: What is left of it for good.
        directory_s: When its directory was not to be found any more.
    """

    seen: list[TerminalObservation] = field(default_factory=list[TerminalObservation])
    health: Latency = field(default_factory=Latency)
    steps: Latency = field(default_factory=Latency)
    processes: int = 0
    took_s: float = 0.0
    killed: int = 0
    went_on_s: float | None = None
    end_s: float = 0.0
    after_reset: str = ""
    gone_s: float = 0.0
    there: list[str] = field(default_factory=list[str])
    left: list[str] = field(default_factory=list[str])
    directory_s: float = 0.0

    @property
    def evidence(self) -> str:
        """What there was to see: the limits that were hit, and all that was printed."""
        lines = [f"limit: {each.limit}" for each in self.seen if each.limit]
        return "\n".join([*lines, *(each.background_output + each.output for each in self.seen)])

    @property
    def restarts(self) -> int:
        """How often the session was told that the shell is another one."""
        return sum(each.shell_restarted for each in self.seen)

    def __str__(self) -> str:
        on = "never" if self.went_on_s is None else f"{self.went_on_s:.2f} s"
        said = [line[:80] for line in self.evidence.strip().splitlines() if line][:2]
        return (
            f"step {self.took_s:.2f} s; {self.processes} processes; health {self.health};"
            f" steps {self.steps}; shells killed {self.killed}; went on {on};"
            f" end {1000 * self.end_s:.0f} ms; {len(self.there)} traces gone after"
            f" {1000 * self.gone_s:.0f} ms, left {self.left};"
            f" directory {self.directory_s:.2f} s; said {said}"
        )


async def set_off(bomb: Bomb, place: Place) -> Blast:
    """Set a bomb off in a new session of a server, and return what came of it."""
    blast, url = Blast(), place.url
    async with EnvClient(url, spec=SPEC) as other, AsyncExitStack() as ending:
        agent = await ending.enter_async_context(EnvClient(url, spec=SPEC))
        await other.reset()
        await agent.reset(limits=bomb.all_limits)
        traces = Traces(place, Path((await agent.state()).workspace).parent)
        async with httpx.AsyncClient(base_url=url) as http:
            await http.get("/health")  # connected
            async with sampling(lambda: http.get("/health")) as blast.health:
                async with sampling(lambda: other.step({"command": ":"})) as blast.steps:
                    async with anyio.create_task_group() as counting:
                        counting.start_soon(_count, blast, traces)
                        await _run(blast, bomb, agent, in_container=place.in_container)
                        counting.cancel_scope.cancel()
        if not bomb.stops:
            await _go_on(blast, agent)
        blast.killed = (await agent.state()).shells_started - 1
        blast.there = traces.left()
        began = time.monotonic()
        if bomb.resets:
            await agent.reset(limits=bomb.all_limits)
            answer = await agent.step({"command": "echo new"})
            blast.after_reset = answer.observation.output
        else:
            await ending.aclose()
        blast.end_s = time.monotonic() - began
        await _gone(blast, traces, began)
    return blast


async def _count(blast: Blast, traces: Traces) -> None:
    while True:
        blast.processes = max(blast.processes, traces.processes())
        await anyio.sleep(0.2)


async def _run(blast: Blast, bomb: Bomb, agent: EnvClient[Any, Any], *, in_container: bool) -> None:
    began = time.monotonic()
    command = bomb.guarded(in_container=in_container)
    answer = await agent.step({"command": command, "timeout_s": bomb.timeout_s})
    blast.took_s = time.monotonic() - began
    blast.seen.append(answer.observation)
    await anyio.sleep(bomb.survives)


async def _go_on(blast: Blast, agent: EnvClient[Any, Any]) -> None:
    """Try to have the session carry out another command, as an agent would."""
    began = time.monotonic()
    while time.monotonic() - began < GO_ON_S:
        if blast.seen[-1].running:
            answer = await agent.step({"type": "send_keys", "keys": ["C-c"]})
            blast.seen.append(answer.observation)
        answer = await agent.step({"command": "echo again", "timeout_s": 5})
        blast.seen.append(answer.observation)
        if answer.observation.output == "again\n":
            blast.went_on_s = time.monotonic() - began
            return


async def _gone(blast: Blast, traces: Traces, began: float) -> None:
    """Note when nothing of a session is to be found any more."""
    with anyio.move_on_after(GONE_S):
        while traces.left():
            await anyio.sleep(0.005)
    blast.gone_s = time.monotonic() - began
    blast.left = traces.left()
    with anyio.move_on_after(GONE_S):
        while traces.has_directory():
            await anyio.sleep(0.02)
    blast.directory_s = time.monotonic() - began
