"""When to count the files of which session, so that it costs little and none is held up."""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from paddock.sandbox.disk_usage import DiskLook, filesystem_use
from paddock.sandbox.usage import ProcessUse
from paddock.sandbox.watched import Session, mib

__all__ = ["DiskWatch"]

EVERY_S = 0.5
FILLED_BYTES = 16 << 20
FILLED_INODES = 2000
TURN_S = 0.01
TURNS_S = 0.03
RESTS = 1  # times as long as a count took, before the next; the others' turns
DUE_S = 5.0
DUE_RESTS = 100  # a hundredth of a processor


@dataclass(frozen=True, slots=True)
class _Count:
    """A count under way, and how full the file systems were when it began."""

    session: Session
    look: DiskLook
    filled: dict[int, tuple[int, int]]


class DiskWatch:
    """Counts a session's files once when it is new, and when a file system of its own has filled.

    It goes by the growth since the last count, and since the lowest use after it. What others
    remove at the same moment can hide what a session adds, so now and then it counts all the same.
    """

    def __init__(self) -> None:
        self._next = 0.0
        self._looks: deque[_Count] = deque()

    def notice(
        self,
        sessions: Sequence[Session],
        processes: Callable[[Sequence[Session]], Mapping[str, Sequence[ProcessUse]]],
        now: float,
        going_on: Callable[[str], AbstractContextManager[None]],
    ) -> None:
        """Note whose files are to be counted.

        Args:
            sessions: All there are.
            processes: Tells theirs. It is asked when there is something to count, and not before: a
                file without a name is found by who has it open now.
            now: The time.
            going_on: What goes wrong with one is left to it.
        """
        if now < self._next:
            return
        self._next = now + EVERY_S
        filled: dict[int, tuple[int, int]] = {}
        found: Mapping[str, Sequence[ProcessUse]] | None = None
        under_way = {count.session for count in self._looks}
        for session in sessions:
            with going_on(session.name):
                places = session.watched.places + session.watched.shared
                used = _filesystems(places, filled)
                if session in under_way or now < session.rest_until:
                    continue
                if not _grown(session, used) and now < session.due:
                    continue
                found = processes(sessions) if found is None else found
                max_bytes, max_entries = session.files_allowed(_step(session))
                look = DiskLook(
                    session.watched.places,
                    [use.pid for use in found.get(session.name, ())],
                    session.watched.identity,
                    max_bytes=max_bytes,
                    max_entries=max_entries,
                    shared=session.watched.shared,
                )
                self._looks.append(_Count(session, look, used))

    def go_on(
        self,
        is_watched: Callable[[Session], bool],
        going_on: Callable[[str], AbstractContextManager[None]],
    ) -> list[tuple[Session, str]]:
        """Count for a while, all in turn. Returns who has too much, and of what."""
        over: list[tuple[Session, str]] = []
        left_s = TURNS_S
        for _ in range(len(self._looks) + int(TURNS_S / TURN_S)):
            if left_s <= 0 or not self._looks:
                break
            count = self._looks.popleft()
            session, look = count.session, count.look
            if not is_watched(session):
                look.close()
                continue
            with going_on(session.name):  # a count that fails is over, and begun again
                before = look.spent_s
                done = look.go_on(TURN_S)
                left_s -= look.spent_s - before
                if not done:
                    self._looks.append(count)
                    continue
                session.filled = count.filled
                ended = time.monotonic()
                session.rest_until = ended + RESTS * look.spent_s
                session.due = ended + max(DUE_S, DUE_RESTS * look.spent_s)
                if not look.over:
                    _tolerate(session, look)
                else:
                    over.append((session, _excess(session, look)))
                    session.too_many_files, session.tolerated = True, None
                    session.filled = None  # when it is forgiven, count at once what it has
        return over

    def close(self) -> None:
        """Count no more."""
        while self._looks:
            self._looks.pop().look.close()


def _filesystems(
    places: Sequence[Path], known: dict[int, tuple[int, int]]
) -> dict[int, tuple[int, int]]:
    """Return bytes and inodes in use on the file systems of some directories."""
    found: dict[int, tuple[int, int]] = {}
    for place in places:
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            device = place.lstat().st_dev
            if device not in known:
                known[device] = filesystem_use(place)
            found[device] = known[device]
    return found


def _grown(session: Session, used: Mapping[int, tuple[int, int]]) -> bool:
    """Return whether a file system has filled since a session's files were counted."""
    if session.filled is None:
        return True
    step_bytes, step_inodes = _step(session)
    for device, (size, inodes) in used.items():
        low_size, low_inodes = session.filled.get(device, (0, 0))
        if size - low_size > step_bytes or inodes - low_inodes > step_inodes:
            return True
        session.filled[device] = min(size, low_size), min(inodes, low_inodes)
    return False


def _step(session: Session) -> tuple[int, int]:
    """Return by how many bytes and files a file system has to grow to be worth a count."""
    limits = session.watched.limits
    return min(FILLED_BYTES, (limits.disk_mb << 20) // 2), min(FILLED_INODES, limits.inodes // 2)


def _tolerate(session: Session, look: DiskLook) -> None:
    """Let a session keep what it has been forgiven, and what it has deleted since be gone."""
    if session.too_many_files:
        size, number = session.tolerated or (look.bytes, look.entries)
        session.tolerated = min(size, look.bytes), min(number, look.entries)


def _excess(session: Session, look: DiskLook) -> str:
    limits = session.watched.limits
    if look.bytes > session.files_allowed(_step(session))[0]:
        return f"disk: at least {mib(look.bytes)} MiB used, {limits.disk_mb} MiB allowed"
    return f"files: at least {look.entries} files and directories, {limits.inodes} allowed"
