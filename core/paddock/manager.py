"""Which sessions there are: capacity, the queue in front of it, idling, coming back, draining.

A session is in one of three places::

    attached    a connection holds it, or an HTTP request is using it
    detached    its connection was lost and its client knows its id: it may come back within the
                grace period; after half a second it gives way to a client that waits for a place
    free        it was created to be used by id (`openenv/session/create`, HTTP) and waits for that

Only idling ends a *free* session; nothing ends one in the middle of a turn.
"""

import logging
import time
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum

import anyio
from anyio.abc import TaskGroup

from paddock.catalog import EnvSpec
from paddock.environment import Context
from paddock.errors import CapacityReached, SessionAttached, SessionClosed, UnknownSession
from paddock.messages import MAX_ANSWER_BYTES
from paddock.sandbox.levels import Chosen, choose
from paddock.sandbox.sandboxes import Sandboxes
from paddock.session import Session
from paddock.watchdog import Watchdog

__all__ = ["Lease", "Limits", "Place", "SessionManager"]

PROTECTED_S = 0.5
"""A lost connection usually comes back at once; only then does its session give way to others."""
SWEEP_S = 0.25

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Limits:
    """How many sessions a server holds, and for how long. Times are in seconds.

    Attributes:
        capacity: Sessions at once.
        queue_s: How long a client waits for a place before it is refused.
        queue_length: How many may wait.
        idle_s: A session nobody used for so long is ended.
        grace_s: A session whose connection was lost is kept for so long.
        step_s: The ceiling of one step. OpenEnv's clients give up at 60.
        max_answer_bytes: The largest frame the server sends.
    """

    capacity: int
    queue_s: float = 20.0
    queue_length: int = 1024
    idle_s: float = 3600.0
    grace_s: float = 60.0
    step_s: float = 55.0
    max_answer_bytes: int = MAX_ANSWER_BYTES


class Place(Enum):
    """Where a session is. See the module's docstring."""

    ATTACHED = "attached"
    DETACHED = "detached"
    FREE = "free"


@dataclass(eq=False)
class Lease:
    """The manager's side of a session.

    Attributes:
        session: The session.
        named: The client knows its id and may come back to it.
        survives_close: A `close` message does not end it, only its owner's explicit request.
        place: Where it is.
        on_end: Tells the connection that holds it that the server ends it.
        since: When it got to its place (`time.monotonic`).
        lost: Its connection broke, as far as anybody knows; cleared by a `close` message.
        closing: End it when its connection lets go of it.
        users: HTTP requests that are using it right now.
    """

    session: Session
    named: bool
    survives_close: bool = False
    place: Place = Place.ATTACHED
    on_end: Callable[[SessionClosed], None] | None = None
    since: float = field(default_factory=time.monotonic)
    lost: bool = False
    closing: bool = False
    users: int = 0


class SessionManager:
    """All sessions of one server. Use `running` for its lifetime.

    Args:
        spec: The environment every session gets one of.
        limits: Capacity and times.
        isolate: Finds out what is to separate the sessions, if the environment needs sandboxes; by
            default the strongest level that runs here.

    Attributes:
        isolation: What separates the sessions; ``None`` before the server runs, and when the
            environment needs no sandboxes.
    """

    def __init__(
        self,
        spec: EnvSpec,
        limits: Limits,
        isolate: Callable[[], Awaitable[Chosen]] = choose,
    ) -> None:
        self.spec = spec
        self.limits = limits
        self.codec = spec.codec(limits.max_answer_bytes)
        self.watchdog = Watchdog()
        self.draining = False
        self.steps_of_ended = 0
        self.started = 0
        self.isolation: Chosen | None = None
        self._isolate = isolate
        self._sandboxes: Sandboxes | None = None
        self._leases: dict[str, Lease] = {}
        self._starting = 0
        self._waiting: deque[anyio.Event] = deque()
        self._tasks: TaskGroup | None = None
        self._mean_session_s = 5.0

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Watch over the sessions for as long as the block lasts; end them all after it.

        Raises:
            ConfigurationError: The isolation that was asked for cannot be had here.
        """
        async with AsyncExitStack() as stack:
            if self.spec.sandbox is not None:
                self.isolation = await self._isolate()
                logger.info("isolation: %s", self.isolation)
                self._sandboxes = await stack.enter_async_context(
                    Sandboxes.serving(self.isolation.level, self.spec.sandbox)
                )
            self._tasks = await stack.enter_async_context(anyio.create_task_group())
            self._tasks.start_soon(self.watchdog.run, name="watchdog")
            self._tasks.start_soon(self._sweep, name="sweep")
            try:
                yield
            finally:
                self.draining = True
                with anyio.CancelScope(shield=True):
                    await self.end_all("the server is shutting down")
                self._tasks.cancel_scope.cancel()

    # -- beginning and ending ---------------------------------------------------------------------

    async def begin(self, *, session_id: str | None = None, place: Place = Place.ATTACHED) -> Lease:
        """Start a session, waiting for a place if there is none.

        Args:
            session_id: The id the client chose; without one it is random and the client does not
                know it, so the session ends with its connection.
            place: `Place.FREE` for one that is used by id.

        Raises:
            CapacityReached: No place within the waiting time.
            FactoryFailed: The environment could not be constructed.
            SessionAttached: Another connection started a session of that id meanwhile.
            SessionClosed: The server is shutting down.
        """
        await self._wait_for_place()
        try:
            context = Context(
                session_id=session_id or str(uuid.uuid4()),
                step_limit_s=self.limits.step_s,
                max_answer_bytes=self.limits.max_answer_bytes,
                limits=self.spec.limits,
                sandboxes=self._sandboxes,
            )
            session = Session(
                id=context.session_id,
                spec=self.spec,
                codec=self.codec,
                env=await self.spec.make(context),
                context=context,
                watchdog=self.watchdog,
            )
        except BaseException:
            self._starting -= 1
            self._next_please()
            raise
        self._starting -= 1
        if session.id in self._leases:  # somebody named the same id while this one started
            await session.close("another connection was faster")
            self._next_please()
            raise SessionAttached(f"Session {session.id} already has an attached WebSocket")
        self.started += 1
        named = session_id is not None or place is Place.FREE
        lease = Lease(session, named, survives_close=place is Place.FREE, place=place)
        self._leases[session.id] = lease
        return lease

    def find(self, session_id: str) -> Lease:
        """Return a session by id.

        Raises:
            UnknownSession: There is none (any more).
        """
        lease = self._leases.get(session_id)
        if lease is None or lease.session.closed is not None:
            raise UnknownSession(f"Unknown session_id: {session_id}")
        return lease

    def find_episode(self, episode_id: str) -> Lease | None:
        """Return the session that HTTP bound to an episode id, if there is one."""
        return self._leases.get(f"episode:{episode_id}")

    def attach(self, session_id: str) -> Lease:
        """Take hold of a session for a connection.

        Raises:
            UnknownSession: There is none of that id (any more).
            SessionAttached: Another connection holds it.
        """
        lease = self.find(session_id)
        if lease.place is Place.ATTACHED:
            raise SessionAttached(f"Session {session_id} already has an attached WebSocket")
        self._move(lease, Place.ATTACHED)
        return lease

    def detach(self, lease: Lease) -> None:
        """Let go of a session whose connection is gone: it ends, or its client may come back."""
        lease.on_end = None
        if self._leases.get(lease.session.id) is not lease:
            return  # it has ended already
        keep = lease.survives_close or (lease.lost and lease.named)
        if not keep or lease.closing or self.draining:
            self.end(lease, "its connection closed")
        else:
            self._move(lease, Place.FREE if lease.survives_close else Place.DETACHED)
            self._next_please()

    def release(self, session_id: str, reason: SessionClosed) -> None:
        """Make the connection that holds a session let go of it; the session goes on."""
        lease = self.find(session_id)
        if lease.on_end is not None:
            lease.lost = True
            lease.on_end(reason)

    def end(self, lease: Lease, reason: str) -> None:
        """End a session. Its place is free at once; its environment closes in the background."""
        session = lease.session
        if self._leases.pop(session.id, None) is None:
            return
        self.steps_of_ended += session.steps
        held = time.monotonic() - lease.since
        self._mean_session_s += 0.1 * (held - self._mean_session_s)
        if lease.on_end is not None:
            lease.on_end(SessionClosed(reason))
        assert self._tasks is not None, "the manager is not running"
        self._tasks.start_soon(session.close, reason, name=f"close {session.id}")
        self._next_please()

    async def end_all(self, reason: str) -> None:
        """End every session and wait until their environments are closed."""
        async with anyio.create_task_group() as closing:
            for lease in list(self._leases.values()):
                if lease.on_end is not None:
                    lease.on_end(SessionClosed(reason))
                closing.start_soon(lease.session.close, reason)
            self._leases.clear()

    async def drain(self, limit_s: float) -> None:
        """Refuse new sessions and wait for the turns in progress, at most so long."""
        self.draining = True
        for event in self._waiting:
            event.set()
        with anyio.move_on_after(limit_s):
            await self.watchdog.quiet()

    # -- counting ---------------------------------------------------------------------------------

    @property
    def active(self) -> int:
        """Sessions that hold a place."""
        return len(self._leases) + self._starting

    @property
    def waiting(self) -> int:
        """Clients that wait for a place."""
        return len(self._waiting)

    @property
    def steps(self) -> int:
        """Steps since the server started."""
        return self.steps_of_ended + sum(lease.session.steps for lease in self._leases.values())

    def count(self, place: Place) -> int:
        """Return how many sessions are at a place."""
        return sum(lease.place is place for lease in self._leases.values())

    # -- capacity ---------------------------------------------------------------------------------

    async def _wait_for_place(self) -> None:
        """Take a place; whoever waits is served first come, first served."""
        if self.draining:
            raise SessionClosed("the server is shutting down; connect to another one")
        if not self._waiting and self._has_room():
            self._starting += 1
            return
        if len(self._waiting) >= self.limits.queue_length:
            raise self._full()
        turn = anyio.Event()
        self._waiting.append(turn)
        try:
            with anyio.move_on_after(self.limits.queue_s):
                while True:
                    if self.draining:
                        raise SessionClosed("the server is shutting down; connect to another one")
                    if self._waiting[0] is turn and self._has_room():
                        self._starting += 1
                        return
                    # Sessions become evictable by the clock alone, so look at it, too.
                    with anyio.move_on_after(PROTECTED_S / 5):
                        await turn.wait()
                    if turn.is_set():
                        place = self._waiting.index(turn)
                        turn = self._waiting[place] = anyio.Event()
            raise self._full()
        finally:
            self._waiting.remove(turn)
            self._next_please()

    def _has_room(self) -> bool:
        if self.active < self.limits.capacity:
            return True
        now = time.monotonic()
        gone = [
            lease
            for lease in self._leases.values()
            if lease.place is Place.DETACHED
            and now - lease.since >= PROTECTED_S
            and not (lease.users or lease.session.turn.running)
        ]
        if gone:
            longest = min(gone, key=lambda lease: lease.since)
            logger.info("session %s gives way to a waiting client", longest.session.id)
            self.end(longest, "the server was full and its client had gone")
        return self.active < self.limits.capacity

    def _next_please(self) -> None:
        if self._waiting:
            self._waiting[0].set()

    def _full(self) -> CapacityReached:
        capacity = self.limits.capacity
        ahead = len(self._waiting) + 1
        retry = min(max(self._mean_session_s * ahead / capacity, 1.0), 60.0)
        return CapacityReached(
            f"Server at capacity: {self.active}/{capacity} sessions active."
            f" Cannot accept new connections. Try again in {retry:.0f} s.",
            active_sessions=self.active,
            max_sessions=capacity,
            retry_after_s=round(retry, 1),
        )

    # -- time -------------------------------------------------------------------------------------

    def _move(self, lease: Lease, place: Place) -> None:
        lease.place = place
        lease.since = time.monotonic()
        lease.session.last_used = lease.since

    async def _sweep(self) -> None:
        while True:
            await anyio.sleep(SWEEP_S)
            now = time.monotonic()
            for lease in list(self._leases.values()):
                session, limits = lease.session, self.limits
                if session.turn.running or lease.users:
                    continue
                if lease.place is Place.DETACHED and now - lease.since > limits.grace_s:
                    self.end(lease, f"nobody came back to it for {limits.grace_s:g} s")
                elif now - session.last_used > limits.idle_s:
                    self.end(lease, f"the session was idle for {limits.idle_s:g} s")
