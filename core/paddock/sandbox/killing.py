"""Ending all of a session: by its user id in one call, or process by process."""

import contextlib
import errno
import os
import signal
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

__all__ = ["Dying", "acting_as_reaper", "descendants"]


@contextmanager
def acting_as_reaper(uid: int, reaper: int) -> Generator[None]:
    """Have the right to signal one session and nobody else, and not to be signalled by it.

    The effective id gives the right, the real id has to be nobody else's: a kill of everything
    reaches the processes of both. The session may signal those whose real or saved id is its own,
    which are the reaper's and root's here. Only for a single-threaded root process.
    """
    os.setresuid(reaper, uid, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)


@dataclass
class _Session:
    reaper: int
    request: int
    deadline: float


class Dying:
    """Sessions with a user of their own that are being killed. For a single-threaded root process.

    False when there are none.
    """

    def __init__(self) -> None:
        self._sessions: dict[int, _Session] = {}

    def __len__(self) -> int:
        return len(self._sessions)

    def kill(self, uid: int, reaper: int, request: int, deadline: float) -> None:
        """Kill all of a session.

        Args:
            uid: Its user.
            reaper: The user that may kill it; nobody else's.
            request: Which request is to be answered when nothing is left.
            deadline: When to give up, on the monotonic clock.
        """
        _kill(uid, reaper)
        self._sessions[uid] = _Session(reaper, request, deadline)

    def gone(self) -> Iterator[dict[str, Any]]:
        """Yield the answers for those of which nothing is left, or which do not die."""
        left = _living(set(self._sessions)) if self._sessions else set[int]()
        for uid, session in list(self._sessions.items()):
            answer: dict[str, Any] = {"id": session.request}
            if uid in left:
                if time.monotonic() < session.deadline:
                    _kill(uid, session.reaper)  # once is enough; twice does no harm
                    continue
                answer |= {"errno": errno.ETIMEDOUT, "error": "some processes did not die"}
            del self._sessions[uid]
            yield answer


def _kill(uid: int, reaper: int) -> None:
    """Kill all of a user in one call: the kernel lets nothing fork meanwhile."""
    with acting_as_reaper(uid, reaper), contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(-1, signal.SIGKILL)


def _living(uids: set[int]) -> set[int]:
    """Return those of some users that have processes, ones that nobody waited for included."""
    return {uid for uid in uids if _anybody(uid)}


def _anybody(uid: int) -> bool:
    # The kernel looks through its own list: microseconds, where reading /proc takes milliseconds.
    try:
        os.getpriority(os.PRIO_USER, uid)
    except ProcessLookupError:
        return False
    return True


def descendants(pid: int) -> list[int]:
    """Return the processes below one."""
    children: dict[int, list[int]] = {}
    for child, status in _statuses():
        parent = int(status.split("\nPPid:\t", 1)[1].split("\n", 1)[0])
        children.setdefault(parent, []).append(child)
    found: list[int] = []
    pending = [pid]
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += below
    return found


def _statuses() -> Iterator[tuple[int, str]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError), open(f"{entry.path}/status") as file:  # noqa: PTH123
                yield int(entry.name), file.read()
