"""Ending all of a session: by its user id in one call, or process by process."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

__all__ = ["act_as", "descendants", "fork_killer"]


def fork_killer(uid: int, reaper: int, limit_s: float) -> int:
    """Fork a child that ends with status 0 when nothing of a user is left.

    Args:
        uid: The session's user.
        reaper: The user that may kill it; nobody else's.
        limit_s: Seconds to try.

    Returns:
        The child's process id.
    """
    pid = os.fork()
    if pid:
        return pid
    try:
        # One kill reaches all of the session and nobody else; the kernel holds off forks meanwhile.
        act_as(uid, reaper)
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(-1, signal.SIGKILL)
            if not _anybody(uid):
                os._exit(0)
            time.sleep(0.001)
    finally:
        os._exit(1)


def act_as(uid: int, reaper: int) -> None:
    """Take on the ids of which one gives the right to signal a session, and none can be signalled.

    The effective id is the session's. Nobody in it may kill or stop who has these, because the
    real and the saved id are nobody else's.
    """
    os.setresgid(reaper, reaper, reaper)
    os.setresuid(reaper, uid, reaper)


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


def _anybody(uid: int) -> bool:
    """Return whether any process, dead ones that nobody waited for included, has a user id."""
    wanted = f"\nUid:\t{uid}\t"
    return any(wanted in status for _, status in _statuses())


def _statuses() -> Iterator[tuple[int, str]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError), open(f"{entry.path}/status") as file:  # noqa: PTH123
                yield int(entry.name), file.read()
