"""How long somebody waits for answers while something else goes on."""

import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio

__all__ = ["Latency", "sampling"]


@dataclass
class Latency:
    """Seconds that each of some calls took."""

    samples: list[float] = field(default_factory=list[float])

    def quantile(self, part: float) -> float:
        """Return the time that a part of the calls stayed within; infinity without any."""
        if not self.samples:
            return float("inf")
        ordered = sorted(self.samples)
        return ordered[min(len(ordered) - 1, int(part * len(ordered)))]

    @property
    def p50(self) -> float:
        """The median."""
        return self.quantile(0.5)

    @property
    def worst(self) -> float:
        """The longest."""
        return self.quantile(1)

    def __str__(self) -> str:
        p50, p95, worst = (1000 * self.quantile(part) for part in (0.5, 0.95, 1))
        return f"p50 {p50:.1f} p95 {p95:.1f} max {worst:.0f} ms (n={len(self.samples)})"


@asynccontextmanager
async def sampling(
    call: Callable[[], Awaitable[object]], *, every_s: float = 0.02, limit_s: float = 30
) -> AsyncGenerator[Latency]:
    """Make a call again and again for as long as the block lasts, and once at least.

    The call under way when the block ends is waited for: the slowest is not left out.

    Args:
        call: What to time.
        every_s: Pause between two calls.
        limit_s: What a call may take.

    Raises:
        TimeoutError: A call took longer.
    """
    latency, over = Latency(), anyio.Event()

    async def run() -> None:
        while not over.is_set():
            began = time.perf_counter()
            with anyio.fail_after(limit_s):
                await call()
            latency.samples.append(time.perf_counter() - began)
            with anyio.move_on_after(every_s):
                await over.wait()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(run)
        await anyio.lowlevel.checkpoint()
        try:
            yield latency
        finally:
            over.set()
