"""Sandboxes that are ready before they are asked for, so that a reset does not wait for them.

Three things take time: making an empty sandbox (at level `namespaces` a process has to start),
cloning a template into it, and starting what an environment always runs in one, a shell or an
interpreter. Empty ones are kept ready from the first time on; clones of a template from its second
time on, so that a dataset of tasks that are played once each costs nothing.
"""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio

from paddock.limits import Limits
from paddock.sandbox.sandbox import Closable, Sandbox

__all__ = ["First", "Kind", "Pool"]

KINDS = 8
READY = 2  # of each kind; resets come one at a time per session, and another is made meanwhile
PAUSE_S = 1.0  # after a failure
CALM_S = 0.02  # by then the reset that took one is over; making another would slow it down

logger = logging.getLogger(__name__)


First = Callable[[Sandbox], Awaitable[Closable]]


@dataclass(frozen=True)
class Kind:
    """What makes sandboxes interchangeable.

    Attributes:
        limits: What their processes may use.
        template: A directory whose content the workspace begins with.
        first: Starts what is to run in it, for `Sandbox.first`.
    """

    limits: Limits
    template: Path | None = None
    first: First | None = None


@dataclass
class _Shelf:
    asked: int = 0
    ready: list[Sandbox] = field(default_factory=list[Sandbox])


class Pool:
    """Hands out sandboxes of a kind, and makes others meanwhile.

    Args:
        make: Makes an empty one.
    """

    def __init__(self, make: Callable[[Limits], Awaitable[Sandbox]]) -> None:
        self._make = make
        self._shelves: OrderedDict[Kind, _Shelf] = OrderedDict()  # the latest last
        self._asked = anyio.Event()

    async def take(self, kind: Kind) -> Sandbox:
        """Return a sandbox that nobody has used.

        Raises:
            ConfigurationError: This level cannot give what the limits ask for.
            OSError: It cannot be made.
        """
        shelf = self._shelves.setdefault(kind, _Shelf())
        self._shelves.move_to_end(kind)
        shelf.asked += 1
        try:
            return shelf.ready.pop() if shelf.ready else await self._new(kind)
        finally:
            self._asked.set()

    async def run(self) -> None:
        """Keep kinds that are in use ready; close what is ready when cancelled."""
        try:
            while True:
                self._asked = anyio.Event()
                await self._forget_old_kinds()
                kind = self._lowest()
                if kind is None:
                    await self._asked.wait()
                    await anyio.sleep(CALM_S)
                    continue
                try:
                    sandbox = await self._new(kind)
                except Exception:
                    # Whoever takes one of this kind gets the error itself.
                    logger.exception("no sandbox could be made ready")
                    await anyio.sleep(PAUSE_S)
                else:
                    await self._prepare(kind, sandbox)
                    await self._put(kind, sandbox)
        finally:
            with anyio.CancelScope(shield=True):
                await self._close(list(self._shelves))

    async def _new(self, kind: Kind) -> Sandbox:
        if kind.template is None:
            return await self._make(kind.limits)
        sandbox = await self.take(Kind(kind.limits))
        try:
            await sandbox.files.copy_in(kind.template, ".")
        except BaseException:
            await sandbox.close()
            raise
        return sandbox

    async def _prepare(self, kind: Kind, sandbox: Sandbox) -> None:
        try:
            await sandbox.prepare()
            if kind.first is not None:
                sandbox.first = await kind.first(sandbox)
        except OSError as exc:  # it can still be used: whoever takes it tries again
            logger.warning("sandbox %s could not be prepared: %s", sandbox.name, exc)

    async def _put(self, kind: Kind, sandbox: Sandbox) -> None:
        shelf = self._shelves.get(kind)
        if shelf is None:
            await sandbox.close()
            return
        shelf.ready.append(sandbox)

    def _lowest(self) -> Kind | None:
        """Return the kind that a sandbox should be made of next."""
        wanted = [
            (len(shelf.ready), kind)
            for kind, shelf in reversed(self._shelves.items())
            if len(shelf.ready) < READY and shelf.asked > (kind.template is not None)
        ]
        return min(wanted, key=lambda pair: pair[0])[1] if wanted else None

    async def _forget_old_kinds(self) -> None:
        await self._close(list(self._shelves)[:-KINDS])

    async def _close(self, kinds: list[Kind]) -> None:
        for kind in kinds:
            for sandbox in self._shelves.pop(kind).ready:
                await sandbox.close()
