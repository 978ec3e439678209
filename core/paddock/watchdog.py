"""One task that watches every turn in progress, so that no turn needs a timer of its own.

A cancel scope with a deadline costs 6 us a step on the reference machine and a timer 3 us, where
the whole floor (bare uvicorn, one-pass validation) is 20 to 40 us. Looking at the running turns
every 50 ms costs nothing per step, and a ceiling in seconds does not need a finer clock.
"""

import asyncio
import logging
from collections.abc import Callable

import anyio

from paddock.errors import EnvError, StepTimeout

__all__ = ["PERIOD_S", "Turn", "Watchdog"]

PERIOD_S = 0.05

logger = logging.getLogger(__name__)


class Turn:
    """One call into an environment, with a deadline.

    Attributes:
        running: A call is under way.
        on_slow: Called once when a turn has lasted longer than the watchdog's period.
    """

    __slots__ = (
        "_cancelling",
        "_deadline",
        "_loop",
        "_slow",
        "_started",
        "_task",
        "_watchdog",
        "_why",
        "on_slow",
        "running",
    )

    def __init__(self, watchdog: "Watchdog") -> None:
        self._watchdog = watchdog
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._started = self._deadline = 0.0
        self._slow = False
        self._why: EnvError | None = None
        self.running = False
        self.on_slow: Callable[[], None] | None = None

    def begin(self, limit_s: float) -> None:
        """Start the clock on the current task."""
        self._task = task = asyncio.current_task()
        self._cancelling = task.cancelling() if task is not None else 0
        self._started = now = self._loop.time()
        self._deadline = now + limit_s
        self._slow = False
        self._why = None
        self.running = True
        self._watchdog.add(self)

    def end(self) -> EnvError | None:
        """Stop the clock.

        Returns:
            Why this turn was cancelled, if the cancellation that is under way is its own. As with
            `asyncio.timeout`, somebody else may have cancelled the task as well.
        """
        self.running = False
        self._watchdog.discard(self)
        task, why = self._task, self._why
        self._task = self._why = None
        own = why is not None and task is not None and task.uncancel() <= self._cancelling
        return why if own else None

    def cancel(self, why: EnvError) -> None:
        """Cancel the call under way, if there is one: its caller gets ``why``."""
        if self._task is not None and self._why is None:
            self._why = why
            self._task.cancel()

    def look(self, now: float) -> None:
        """Act on what time it is. Called by the watchdog."""
        if not self._slow and now - self._started >= PERIOD_S / 2:
            self._slow = True
            if self.on_slow is not None:
                self.on_slow()
        if now >= self._deadline:
            limit = self._deadline - self._started
            self.cancel(
                StepTimeout(f"the environment did not answer within {limit:g} s and was cancelled")
            )


class Watchdog:
    """Looks at the turns in progress. Sleeps while there are none."""

    def __init__(self) -> None:
        self._turns: set[Turn] = set()
        self._asleep: anyio.Event | None = None

    def add(self, turn: Turn) -> None:
        """Watch a turn."""
        self._turns.add(turn)
        if self._asleep is not None:
            self._asleep.set()
            self._asleep = None

    def discard(self, turn: Turn) -> None:
        """Watch a turn no more."""
        self._turns.discard(turn)

    async def quiet(self) -> None:
        """Wait until no turn is in progress."""
        while self._turns:  # noqa: ASYNC110 - an event would cost every step a check
            await anyio.sleep(PERIOD_S / 2)

    async def run(self) -> None:
        """Watch until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            if not self._turns:
                self._asleep = anyio.Event()
                await self._asleep.wait()
            await anyio.sleep(PERIOD_S)
            now = loop.time()
            for turn in list(self._turns):
                try:
                    turn.look(now)
                except Exception:  # one session's trouble must not end the watch over all others
                    logger.exception("watching a turn failed")
