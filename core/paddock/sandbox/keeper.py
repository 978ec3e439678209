"""Keeps a zygote alive: when one is gone, another takes its place."""

import logging
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager

import anyio
from anyio import to_thread

from paddock.sandbox.forks import Forks, start_zygote

__all__ = ["Keeper"]

STOP_S = 2.0
PAUSE_S = 1.0

logger = logging.getLogger(__name__)


class Keeper:
    """The zygote of one server. Made by `running`.

    Attributes:
        forks: The one that serves now.
    """

    def __init__(self, forks: Forks, process: "subprocess.Popen[bytes]") -> None:
        self.forks = forks
        self._process = process

    @classmethod
    @asynccontextmanager
    async def running(cls) -> AsyncGenerator["Keeper"]:
        """Have a zygote for as long as the block lasts.

        Raises:
            OSError: It cannot be started.
        """
        keeper = cls(*await start_zygote())
        try:
            yield keeper
        finally:
            with anyio.CancelScope(shield=True):
                await keeper._end()

    async def keep(self, on_replaced: Callable[[Forks], Awaitable[None]]) -> None:
        """Replace it whenever it is gone.

        Nothing that a session does can end it; an operator, or a machine without memory, can.

        Args:
            on_replaced: Gets the new one, before anybody else uses it.
        """
        while True:
            await self.forks.closed.wait()
            logger.error("the zygote is gone; starting another one")
            await self._end()
            try:
                forks, process = await start_zygote()
            except OSError as exc:
                logger.error("no zygote can be started: %s", exc)
                await anyio.sleep(PAUSE_S)
                continue
            await on_replaced(forks)
            self.forks, self._process = forks, process

    async def _end(self) -> None:
        self.forks.close()
        await to_thread.run_sync(_stop, self._process)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
