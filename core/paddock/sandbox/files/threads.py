"""Threads that touch sessions' files, and nothing else.

A thread that acts as a session must not do other work at that moment, and must not take the
server's work with it when a session makes it slow. So these are not the event loop's and not
anyio's; and one session occupies only a few of them.
"""

import asyncio
import errno
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import anyio

from paddock.sandbox.files.budget import Budget, Stopped

__all__ = ["Lanes"]

T = TypeVar("T")

THREADS: Final = 256
LANES: Final = 4

# Threads are started when there is work for them, which is after the zygote has been forked.
_threads = ThreadPoolExecutor(THREADS, thread_name_prefix="paddock-files")


class Lanes:
    """Where one session's operations run, a few at a time.

    Args:
        time_budget_s: How long each may take, with its wait for a lane.
    """

    def __init__(self, time_budget_s: float) -> None:
        self._time_budget_s = time_budget_s
        self._free = asyncio.Semaphore(LANES)
        self._running: dict[asyncio.Future[Any], Budget] = {}
        self._closed = False

    async def run(self, job: Callable[[Budget], T]) -> T:
        """Run an operation on a thread.

        When this returns or raises, cancelled or not, the operation is over: it is told to stop at
        its next step, and cleans up.

        Raises:
            TimeoutError: It was not done in time.
            OSError: ``EBADF`` after `close`; else what the operation raises.
        """
        budget = Budget(self._time_budget_s)
        await self._acquire(budget)
        try:
            if self._closed:
                raise _closed()
            future = asyncio.get_running_loop().run_in_executor(_threads, job, budget)
            self._running[future] = budget
            try:
                await asyncio.wait((future,))
            except asyncio.CancelledError:
                budget.stop()
                await _finished((future,))
                future.exception()  # nobody else asks for it
                raise
            finally:
                del self._running[future]
            return future.result()
        except Stopped:
            raise _closed() from None
        finally:
            self._free.release()

    async def close(self) -> None:
        """Stop what is running, wait until it has, and refuse what comes."""
        self._closed = True
        for budget in self._running.values():
            budget.stop()
        if self._running:
            await _finished(tuple(self._running))

    async def _acquire(self, budget: Budget) -> None:
        if not self._free.locked():
            await self._free.acquire()
            return
        try:
            async with asyncio.timeout(budget.left_s):
                await self._free.acquire()
        except TimeoutError:
            raise budget.over() from None


async def _finished(futures: Collection[asyncio.Future[Any]]) -> None:
    # As long as one runs it may use a descriptor, whose number must not become another's.
    cancelled: asyncio.CancelledError | None = None
    with anyio.CancelScope(shield=True):
        while not all(future.done() for future in futures):
            try:
                await asyncio.wait(futures)
            except asyncio.CancelledError as exc:  # not by a scope: later, then
                cancelled = exc
    if cancelled is not None:
        raise cancelled


def _closed() -> OSError:
    return OSError(errno.EBADF, "These files are closed")
