"""Listens, finds out who comes, and sees to it that nobody takes more than a share."""

import asyncio
import logging
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager

import anyio
from anyio import CancelScope, Semaphore
from anyio.abc import AsyncResource, TaskGroup

from paddock.sandbox.egress.address import Address, Resolve, Resolver
from paddock.sandbox.egress.address import is_forbidden as not_public
from paddock.sandbox.egress.connection import Connection
from paddock.sandbox.egress.gate import Account, Gate
from paddock.sandbox.egress.peers import Peers
from paddock.sandbox.egress.policy import Decision, EgressLimits, Policy, Refused
from paddock.sandbox.egress.stream import Stream

__all__ = ["Door", "EgressProxy"]

_BACKLOG = 1024
_UNKNOWN = 256  # connections of whom it is not known yet whose they are
_IDENTIFY_S = 5.0
_PAUSE_S = 0.1
_CLOSE_S = 5.0

Identify = Callable[[socket.socket], Awaitable[str | None]]

logger = logging.getLogger(__name__)


class EgressProxy:
    """The proxy of one server. Use `serving` for its lifetime.

    Args:
        policy_of: What a session may reach; ``None`` for nothing. Asked anew for every request.
        session_of_uid: Whose processes run as a uid; ``None`` for nobody's.
        resolve: Looks a name up; by default as this machine is set up to.
        is_forbidden: Whether no session may reach an address; by default every one that is not on
            the public Internet, or is this machine's own.
        on_decision: Hears of every decision before it takes effect. It must not block.
        limits: How much of the proxy a client gets.
    """

    def __init__(
        self,
        *,
        policy_of: Callable[[str], Policy | None],
        session_of_uid: Callable[[int], str | None],
        resolve: Resolve | None = None,
        is_forbidden: Callable[[Address], bool] = not_public,
        on_decision: Callable[[Decision], None] | None = None,
        limits: EgressLimits | None = None,
    ) -> None:
        self._session_of_uid = session_of_uid
        self._limits = limits or EgressLimits()
        self._gate = Gate(policy_of, resolve or Resolver(), is_forbidden, on_decision, self._limits)
        self._accounts: dict[str | None, Account] = {}
        self._open = 0
        self._port: int | None = None
        self._tasks: TaskGroup | None = None

    @property
    def port(self) -> int:
        """The loopback port it listens on: another one at every start.

        Raises:
            RuntimeError: It is not serving.
        """
        if self._port is None:
            raise RuntimeError("the proxy has a port inside `async with proxy.serving()` only")
        return self._port

    @asynccontextmanager
    async def serving(self) -> AsyncGenerator[None]:
        """Serve for as long as the block lasts; end every connection after it."""
        failure: Exception | None = None
        with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
            listener.setblocking(False)
            self._port = listener.getsockname()[1]
            peers = Peers(listener.getsockname())

            async def identify(sock: socket.socket) -> str | None:
                uid = await peers.uid(sock)
                return None if uid is None else self._session_of_uid(uid)

            async with anyio.create_task_group() as self._tasks:
                self._tasks.start_soon(peers.run, name="egress peers")
                self._tasks.start_soon(self._accept, listener, identify, name="egress proxy")
                try:
                    yield
                except Exception as exc:  # noqa: BLE001 - raised below, where no group wraps it up
                    failure = exc
                finally:
                    self._tasks.cancel_scope.cancel()
                    self._tasks = self._port = None
        if failure is not None:
            raise failure

    async def serve_on(self, listener: socket.socket, session: str) -> "Door":
        """Serve on another listener as well: whoever comes by it is the session.

        Args:
            listener: A listening TCP socket in the session's own network namespace. The proxy
                closes it, whatever comes of this.
            session: The session.

        Returns:
            What ends it, from whatever task; leaving `serving` does so too.

        Raises:
            RuntimeError: The proxy is not serving.
        """
        if self._tasks is None:
            listener.close()
            raise RuntimeError("serve_on needs the proxy to be serving")
        listener.setblocking(False)
        door = Door()
        self._tasks.start_soon(self._keep_door, door, listener, session, name="egress door")
        return door

    def drop(self, session: str) -> None:
        """End the connections that a session has at this moment.

        Those of its processes that live on may open others: what ends a session ends these first.
        """
        account = self._accounts.get(session)
        for connection in account.connections if account else ():
            connection.cancel()

    # -- listening --------------------------------------------------------------------------------

    async def _keep_door(self, door: "Door", listener: socket.socket, session: str) -> None:
        async def identify(_: socket.socket) -> str | None:
            return session

        with listener, door.open():
            await self._accept(listener, identify)

    async def _accept(self, listener: socket.socket, identify: Identify) -> None:
        loop = asyncio.get_running_loop()
        unknown = Semaphore(_UNKNOWN)
        async with anyio.create_task_group() as connections:
            while True:
                await unknown.acquire()
                try:
                    sock, _ = await loop.sock_accept(listener)
                except OSError as exc:  # no descriptor is left, as a rule
                    unknown.release()
                    logger.warning("cannot accept a connection: %s", exc)
                    await anyio.sleep(_PAUSE_S)
                    continue
                connections.start_soon(self._admit, sock, identify, unknown, name="egress client")

    # -- a connection -----------------------------------------------------------------------------

    async def _admit(self, sock: socket.socket, identify: Identify, unknown: Semaphore) -> None:
        with Stream(sock) as stream:
            try:
                session = None
                try:
                    with anyio.move_on_after(_IDENTIFY_S):
                        session = await identify(sock)
                finally:
                    unknown.release()
                await self._serve(stream, session)
            except Exception:  # one connection's trouble must not end all others
                logger.exception("a connection failed")

    async def _serve(self, stream: Stream, session: str | None) -> None:
        limits = self._limits
        account = self._accounts.get(session) or Account(session, limits.resolves_per_session)
        connection = Connection(stream, account, self._gate, limits)
        refused = self._crowded(account)
        if refused is not None:
            self._gate.refuse(session, refused)
            # Not a moment longer: who opens too many connections would fill the proxy with them.
            await connection.refuse(refused, linger=False)
            return
        with anyio.move_on_after(limits.lifetime_s) as scope:
            self._accounts[session] = account
            account.connections.add(scope)
            self._open += 1
            try:
                await connection.run()
            finally:
                self._open -= 1
                account.connections.discard(scope)
                if not account.connections:
                    del self._accounts[session]

    def _crowded(self, account: Account) -> Refused | None:
        own, limits = len(account.connections), self._limits
        if own >= limits.connections_per_session:
            return Refused(429, f"this session has {own} connections open: close some first")
        # Nobody gets more than is left: so some is, even if many take all that they can get.
        if own >= limits.connections - self._open:
            return Refused(503, f"the proxy has {self._open} connections open: try again later")
        return None


class Door(AsyncResource):
    """A listener that belongs to one session."""

    def __init__(self) -> None:
        self._scope = CancelScope()
        self._closed = anyio.Event()

    @contextmanager
    def open(self) -> Generator[None]:
        """Run the block until `aclose`."""
        try:
            with self._scope:
                yield
        finally:
            self._closed.set()

    async def aclose(self) -> None:
        """Stop listening, and end the connections that came by it."""
        self._scope.cancel()
        with anyio.move_on_after(_CLOSE_S, shield=True):
            await self._closed.wait()
