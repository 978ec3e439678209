"""User ids for sessions: random, and not the same twice while there are others."""

import secrets
from collections import deque
from pathlib import Path

from paddock.errors import ConfigurationError

__all__ = ["Identities"]

_FULL_BASE = (1 << 20, (1 << 31) - (1 << 17))
_MAPPED = (20_000, 60_000)  # where the container has a map of 65,536 ids (rootless, userns-remap)


class Identities:
    """Hands out pairs of ids: the session's, and that of the user who may kill it.

    The base is random, because the kernel counts processes and inotify watches per user id across
    containers: the same ids in two containers would use up each other's limits.

    Args:
        uid_map: The kernel's map of user ids; this process's own by default.
    """

    def __init__(self, uid_map: str | None = None) -> None:
        if uid_map is None:
            uid_map = Path("/proc/self/uid_map").read_text(encoding="ascii")
        width = max(int(line.split()[2]) for line in uid_map.splitlines())
        low, high = _FULL_BASE if width > 1 << 31 else _MAPPED
        if width < high and width <= 1 << 31:
            high = min(high, width)
        if high - low < 1000:
            raise ConfigurationError(f"only {width} user ids are mapped here: too few for sessions")
        self._next = low + 2 * secrets.randbelow((high - low) // 4)
        self._end = high
        # Where there are two thousand million, one of them is never needed twice.
        self._used: deque[tuple[int, int]] | None = deque() if high <= _MAPPED[1] else None

    def take(self) -> tuple[int, int]:
        """Return a session's id and its reaper's.

        Raises:
            ConfigurationError: All of them are in use.
        """
        if self._next + 2 > self._end:
            if not self._used:
                raise ConfigurationError("all user ids are in use; end sessions, or map more ids")
            return self._used.popleft()
        pair = self._next, self._next + 1
        self._next += 2
        return pair

    def give_back(self, uid: int, reaper: int) -> None:
        """Take back a pair of which no process and no file is left.

        It is used again only when there are no others, and the longest unused one first.
        """
        if self._used is not None:
            self._used.append((uid, reaper))
