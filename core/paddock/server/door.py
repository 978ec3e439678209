"""What every door does with an address: get hold of its session, and let go of it again."""

from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import anyio

from paddock.errors import SessionAttached, SessionClosed, UnknownSession
from paddock.manager import Lease, Place, SessionManager
from paddock.server.address import Address
from paddock.server.guard import Receive

__all__ = ["Gone", "hold", "use", "while_connected"]

PATIENCE_S = 1.0
"""A client that reconnects may be faster than the end of its old connection."""

T = TypeVar("T")


class Gone(Exception):
    """The client of a request went away before it was answered."""


@asynccontextmanager
async def hold(manager: SessionManager, address: Address) -> AsyncGenerator[Lease]:
    """Hold the session an address means, for one connection.

    Raises:
        UnknownSession: The address means an existing session and there is none.
        SessionAttached: Another connection holds it and does not let go.
        CapacityReached: There is no place for a new one.
        FactoryFailed: The environment could not be constructed.
        SessionClosed: The server is shutting down.
    """
    lease = await _take(manager, address)
    try:
        yield lease
    finally:
        manager.detach(lease)


async def _take(manager: SessionManager, address: Address) -> Lease:
    session_id = address.session_id
    if session_id is None:
        return await manager.begin()
    deadline = anyio.current_time() + PATIENCE_S
    while True:
        try:
            return manager.attach(session_id)
        except UnknownSession:
            if address.existing:
                raise
            return await manager.begin(session_id=session_id, place=Place.ATTACHED)
        except SessionAttached:
            if address.owner:
                manager.release(session_id, SessionClosed("its client connected anew"))
            elif anyio.current_time() >= deadline:
                raise
            await anyio.sleep(0.02)


@asynccontextmanager
async def use(manager: SessionManager, session_id: str | None) -> AsyncGenerator[Lease]:
    """Use a session for one HTTP request: the one that is meant, or a throw-away one.

    Raises:
        UnknownSession: There is no session of that id (any more).
        CapacityReached: There is no place for a throw-away session.
        FactoryFailed: The environment could not be constructed.
        SessionClosed: The server is shutting down.
    """
    if session_id is None:
        lease = await manager.begin()
        try:
            yield lease
        finally:
            manager.end(lease, "a request without a session is over")
    else:
        lease = manager.find(session_id)
        lease.users += 1
        try:
            yield lease
        finally:
            lease.users -= 1


async def while_connected(receive: Receive, work: Callable[[], Awaitable[T]]) -> T:
    """Do what a request asks for, unless its client goes away: then it is cancelled.

    Args:
        receive: The request's ASGI receive, with the body read.
        work: What to do.

    Raises:
        Gone: The client went away.
    """
    done: list[T] = []
    failed: list[Exception] = []

    async def watch() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        tasks.cancel_scope.cancel()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(watch)
        try:
            done.append(await work())
        except Exception as exc:  # noqa: BLE001 - raised below, outside the group's own wrapping
            failed.append(exc)
        tasks.cancel_scope.cancel()
    for exc in failed:
        raise exc
    for result in done:
        return result
    raise Gone
