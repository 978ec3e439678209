"""The watch over what sessions use, where the kernel does not hold them to their limits itself.

One thread looks at all of them ten times a second::

    memory        what the kernel counts for each process      watched.py, usage.py
    the server's  how near all together are to their limit     cgroup.py
    files         a count, when the file system has filled     disk_watch.py, disk_usage.py

It rests four times as long as a look took, so that a session can make looking expensive but not the
server slow.
"""

import logging
import threading
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from functools import partial
from queue import Empty, SimpleQueue

from paddock.sandbox import usage
from paddock.sandbox.cgroup import OwnMemory, own_memory
from paddock.sandbox.disk_watch import DiskWatch
from paddock.sandbox.usage import ProcessUse
from paddock.sandbox.watched import SOCKET_BUFFER, Held, Session, Watched, mib

__all__ = ["Watch", "Watched"]

STOP_S = 1.0
IDLE_S = 60.0
LONGEST_REST_S = 1.0
GROWN = 16 << 20
MANY = 32  # threads more on the machine than a moment ago: somebody forks without end, maybe
SCAN_S = 0.5
LARGEST_S = 0.2
RELIEF_S = 2.0  # in which the memory of a session that had to go comes free

logger = logging.getLogger(__name__)


class Watch:
    """Tells which sessions use more than they may.

    Args:
        exceeded: Called from the watch's thread with a session's name and the limit in words; once,
            until `forgive` or `remove`.
        period_s: How often to look.
        own: Reads the memory of the server and all its sessions.
    """

    def __init__(
        self,
        exceeded: Callable[[str, str], None],
        *,
        period_s: float = 0.1,
        own: Callable[[], OwnMemory | None] = own_memory,
    ) -> None:
        self._exceeded = exceeded
        self._period_s = period_s
        self._own = own
        self._sessions: dict[str, Session] = {}
        # What the event loop asks for; it waits for no lock then, and all else is the thread's own.
        self._requests: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._stopped = False
        self._thread: threading.Thread | None = None
        self._files = DiskWatch()
        self._fresh = False
        self._lowest = 0
        self._fewest = 0
        self._scan_at = 0.0
        self._relieved: tuple[Session, float] | None = None
        self._logged: set[str] = set()

    def start(self) -> None:
        """Start looking."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="paddock-watch", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Stop looking; wait for the thread, a second at most."""
        self._requests.put(self._end)
        if self._thread is not None:
            self._thread.join(STOP_S)

    def add(self, watched: Watched) -> None:
        """Watch a session, instead of one of that name."""
        self._requests.put(partial(self._put, Session(watched)))

    def remove(self, name: str) -> None:
        """Watch a session no more."""
        self._requests.put(partial(self._drop, name))

    def forgive(self, name: str) -> None:
        """Watch a session anew, as its processes have been killed.

        Its files are still there. Who had too many is accused again only when they become more, or
        were far too many: whoever starts anew has to be able to delete some.
        """
        self._requests.put(partial(self._renew, name))

    # -- the thread -------------------------------------------------------------------------------

    def _put(self, session: Session) -> None:
        self._sessions[session.name] = session
        self._fresh = True

    def _drop(self, name: str) -> None:
        self._sessions.pop(name, None)

    def _renew(self, name: str) -> None:
        if (session := self._sessions.get(name)) is not None:
            self._put(session.anew())

    def _end(self) -> None:
        self._stopped = True

    def _run(self) -> None:
        rest_s = self._period_s
        while self._wait(rest_s):
            began = time.monotonic()
            with self._going_on("all sessions"):
                self._look(began)
            took = time.monotonic() - began
            rest_s = min(max(self._period_s - took, 4 * took), max(LONGEST_REST_S, self._period_s))
        self._files.close()

    def _wait(self, seconds: float) -> bool:
        """Wait for the next look, while there is anything to look at. Return whether to look."""
        deadline = time.monotonic() + seconds
        while not self._stopped:
            left = max(0.0, deadline - time.monotonic()) if self._sessions else IDLE_S
            try:
                self._requests.get(timeout=left)()
            except Empty:
                if self._sessions:
                    return True
        return False

    def _is_watched(self, session: Session) -> bool:
        """Return whether there is still something to say about a session."""
        return self._sessions.get(session.name) is session and not session.accused

    def _accuse(self, session: Session, what: str) -> None:
        # What was read before it was removed or forgiven is not held against its successor.
        while not self._requests.empty():
            self._requests.get_nowait()()
        if self._is_watched(session) and not self._stopped:
            session.accused = True
            self._exceeded(session.name, what)

    def _look(self, now: float) -> None:
        sessions = [session for session in self._sessions.values() if not session.accused]
        fresh, self._fresh = self._fresh, False
        own: OwnMemory | None = None
        with self._going_on("the server's memory"):
            own = self._own()
        if fresh or self._has_grown(own, now):
            by_session = _attributed(sessions)
            for session in sessions:
                with self._going_on(session.name):
                    uses = by_session[session.name]
                    what = session.processes(uses) or session.memory(uses, now)
                    if what is not None:
                        self._accuse(session, what)
        with self._going_on("the server's memory"):
            if own is not None and own.nearly_used_up:
                self._relieve(own, sessions, now)
        self._files.notice(sessions, _attributed, now, self._going_on)
        for session, what in self._files.go_on(self._is_watched, self._going_on):
            with self._going_on(session.name):
                self._accuse(session, what)

    def _has_grown(self, own: OwnMemory | None, now: float) -> bool:
        """Return whether a session may use more than it was seen to use last.

        Reading two figures of the whole is cheap, and reading those of 300 processes is not: that
        would be a tenth of a processor. What others give back can hide a growth, but not for long.
        """
        threads = usage.machine_threads()
        few = threads - self._fewest <= MANY
        if own is not None and own.used - self._lowest <= GROWN and few and now < self._scan_at:
            self._lowest = min(self._lowest, own.used)
            self._fewest = min(self._fewest, threads)
            return False
        self._lowest = 0 if own is None else own.used
        self._fewest = threads
        self._scan_at = now + SCAN_S
        return True

    def _relieve(self, own: OwnMemory, sessions: Sequence[Session], now: float) -> None:
        """Accuse the session that uses most, as the server's memory is nearly used up."""
        if self._relieved is not None:
            session, until = self._relieved
            if self._sessions.get(session.name) is session and now < until:
                return
            self._relieved = None
        most, session = self._largest(sessions, _attributed(sessions))
        # Where none uses much it is somebody else, and no session's end would help.
        if most is None or session is None or most.most < own.allowed // 100:
            return
        self._relieved = session, now + RELIEF_S
        self._accuse(
            session,
            f"the server's memory is nearly used up ({mib(own.used)} of {mib(own.allowed)} MiB),"
            f" and this session uses most of it: {mib(most.memory)} MiB in {most.processes}"
            f" processes with {most.open_files} open files",
        )

    def _largest(
        self, sessions: Sequence[Session], by_session: dict[str, list[ProcessUse]]
    ) -> tuple[Held | None, Session | None]:
        """Return the session that may hold most; among those there is time to ask."""
        deadline = time.monotonic() + LARGEST_S
        most: tuple[Held | None, Session | None] = None, None
        for session in sorted(sessions, key=lambda each: -_bound(by_session[each.name])):
            held = session.held(by_session[session.name])
            if most[0] is None or held.most > most[0].most:
                most = held, session
            if time.monotonic() > deadline:
                break
        return most

    @contextmanager
    def _going_on(self, about: str) -> Generator[None]:
        """Log what goes wrong in the block, once, and go on: without the thread nobody is watched.

        ``exceeded`` is called in such a block as well, and may raise anything.
        """
        try:
            yield
        except BaseException as exc:
            where = traceback.extract_tb(exc.__traceback__)[-1]
            key = f"{type(exc)} {where.filename}:{where.lineno}"
            if key not in self._logged:
                self._logged.add(key)
                logger.exception("watching %s failed; the watch goes on", about)


def _bound(uses: Sequence[ProcessUse]) -> int:
    return sum(use.memory + use.slots * SOCKET_BUFFER for use in uses)


def _attributed(sessions: Sequence[Session]) -> dict[str, list[ProcessUse]]:
    """Return the processes of each session."""
    found: dict[str, list[ProcessUse]] = {session.name: [] for session in sessions}
    by_uid = {s.watched.uid: s.name for s in sessions if s.watched.uid is not None}
    below = [s for s in sessions if s.watched.uid is None and s.watched.root_pid is not None]
    if not by_uid and not below:
        return found
    every = list(usage.processes())
    for use in every:
        if use.uid in by_uid:
            found[by_uid[use.uid]].append(use)
    if below:
        children = usage.children(every)
        for session in below:
            found[session.name] = usage.descendants(children, session.watched.root_pid or 0)
    return found
