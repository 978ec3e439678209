"""One watched session: what is known of it, and whether its memory is within its limit."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from paddock.limits import Limits
from paddock.sandbox import usage
from paddock.sandbox.files.identity import Identity
from paddock.sandbox.usage import ProcessUse

__all__ = ["SOCKET_BUFFER", "Held", "Session", "Watched", "mib"]

COPY_S = 1.0
ALIKE = 0.05
SOCKET_BUFFER = 208 << 10  # net.core.wmem_default: what an open file can hold unseen
FORGIVEN = 4  # times its limit: what it wrote before it was killed need not end it for good
RECOUNT = 10  # a count of the shared pages is made when ten times its duration has passed


def mib(number: int) -> int:
    """Return bytes in MiB, rounded up."""
    return -(-number >> 20)


@dataclass(frozen=True)
class Watched:
    """What to watch.

    Attributes:
        name: The sandbox.
        uid: Its user: every process with that real user is its own.
        root_pid: Where it has no user of its own, the process that all of its descend from (its
            zygote); not one of them itself.
        limits: What it may use.
        places: The directories that are its own.
        shared: Directories that others write to as well; its user's files in there count.
    """

    name: str
    uid: int | None
    root_pid: int | None
    limits: Limits
    places: tuple[Path, ...]
    shared: tuple[Path, ...] = ()

    @property
    def identity(self) -> Identity:
        """As whom its processes are read."""
        return Identity(self.uid, self.uid)


@dataclass(frozen=True, slots=True)
class Held:
    """What a session may hold of the server's memory.

    Attributes:
        memory: Bytes that its processes are seen to use.
        processes: How many they are.
        open_files: Theirs.
        unseen: Bytes, at most, of shared memory that is not mapped and of buffers.
    """

    memory: int
    processes: int
    open_files: int
    unseen: int

    @property
    def most(self) -> int:
        """Bytes, at most."""
        return self.memory + self.unseen


@dataclass(eq=False, slots=True)
class Session:
    """A session as the watch knows it, until it is forgiven or removed.

    Attributes:
        watched: What to watch.
        too_many_files: It was accused of its files.
        tolerated: Bytes and number of its files since then, at the lowest.
        accused: It has been told of.
        filled: Per file system the lowest bytes and inodes in use since its files were counted.
        rest_until: When its files may be counted again.
        due: When they are counted again whatever the file systems say.
    """

    watched: Watched
    too_many_files: bool = False
    tolerated: tuple[int, int] | None = None
    accused: bool = False
    filled: dict[int, tuple[int, int]] | None = None
    rest_until: float = 0.0
    due: float = 0.0
    _count_at: float = 0.0
    _copies: dict[int, float] = field(default_factory=dict[int, float])

    @property
    def name(self) -> str:
        """The sandbox."""
        return self.watched.name

    def anew(self) -> "Session":
        """Return what is known of it when its processes have been killed and its files have not."""
        return Session(self.watched, self.too_many_files, self.tolerated, filled=self.filled)

    def files_allowed(self, step: tuple[int, int]) -> tuple[int, int]:
        """Return how many bytes and files it may have.

        Args:
            step: How many more than it was forgiven it may have.
        """
        limits = self.watched.limits
        allowed = limits.disk_mb << 20, limits.inodes
        if not self.too_many_files:
            return allowed
        if self.tolerated is None:
            return FORGIVEN * allowed[0], FORGIVEN * allowed[1]
        now = zip(allowed, self.tolerated, step, strict=True)
        size, number = (max(limit, had + more) for limit, had, more in now)
        return size, number

    def processes(self, uses: Sequence[ProcessUse]) -> str | None:
        """Judge how many processes it has, and return the limit in words when they are too many.

        Where it has a user of its own, the kernel refuses it more.
        """
        limit = self.watched.limits.processes
        if self.watched.uid is not None or (number := sum(use.threads for use in uses)) <= limit:
            return None
        return f"processes: {number} processes and threads, {limit} allowed"

    def memory(self, uses: Sequence[ProcessUse], now: float) -> str | None:
        """Judge what its processes use, and return the limit in words when that is too much."""
        limit_mb = self.watched.limits.memory_mb
        allowed = limit_mb << 20
        used = sum(use.memory for use in uses)
        if used <= allowed:
            self._copies.clear()
            return None
        used -= self._young_copies(uses, now)
        if used > allowed and len(uses) > 1:
            # What forked processes share was counted for each of them.
            if now < self._count_at:
                return None
            began = time.monotonic()
            used = usage.proportional(uses, self.watched.identity, allowed)
            self._count_at = now + RECOUNT * (time.monotonic() - began)
        return None if used <= allowed else f"memory: {mib(used)} MiB used, {limit_mb} MiB allowed"

    def held(self, uses: Sequence[ProcessUse]) -> Held:
        """Return what it may hold of the server's memory, seen and unseen."""
        files = sum(usage.open_files(use) for use in uses)
        lengths = usage.shared((use.pid for use in uses), self.watched.identity)
        memory = usage.proportional(uses, self.watched.identity, 1 << 62)
        return Held(memory, len(uses), files, lengths + files * SOCKET_BUFFER)

    def _young_copies(self, uses: Sequence[ProcessUse], now: float) -> int:
        """Return the bytes of those that look like their parents, and did not a second ago.

        Between ``vfork`` and ``exec`` a child *is* its parent's memory, which not even the
        proportional figures tell. That does not last, so it is only held against one that does.
        """
        by_pid = {use.pid: use for use in uses}
        since: dict[int, float] = {}
        for use in uses:
            parent = by_pid.get(use.parent)
            if parent is not None and abs(use.memory - parent.memory) <= parent.memory * ALIKE:
                since[use.pid] = self._copies.get(use.pid, now)
        self._copies = since
        return sum(by_pid[pid].memory for pid, first in since.items() if now - first < COPY_S)
