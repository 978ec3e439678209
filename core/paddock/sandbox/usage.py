"""What the processes of a session use.

It is read from ``/proc``, where a process cannot write what would pass for another line: the kernel
escapes its name. What is read can vanish at any moment, and does so quietly.
"""

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from paddock.sandbox.files.identity import Identity, acting_as

__all__ = [
    "ProcessUse",
    "children",
    "descendants",
    "machine_threads",
    "open_files",
    "parse_proportional",
    "parse_shared",
    "parse_status",
    "processes",
    "proportional",
    "shared",
]


@dataclass(frozen=True, slots=True)
class ProcessUse:
    """What one process uses.

    Attributes:
        pid: The process.
        parent: Its parent.
        uid: Its real user.
        pages: Bytes of anonymous and shared memory; what forked processes share is in each.
        tables: Bytes of the page tables, which are memory too.
        slots: Size of its table of open files; at least as many as are open.
        threads: Its threads, which count as processes.
    """

    pid: int
    parent: int
    uid: int
    pages: int
    tables: int
    slots: int
    threads: int = 1

    @property
    def memory(self) -> int:
        """Bytes of memory, at most."""
        return self.pages + self.tables


def parse_status(pid: int, status: bytes) -> ProcessUse:
    """Read ``/proc/PID/status``. A process that has ended has no lines on memory.

    Raises:
        ValueError: It is something else.
    """
    try:
        return ProcessUse(
            pid=pid,
            parent=_number(status, b"\nPPid:"),
            uid=_number(status, b"\nUid:"),
            pages=(_number(status, b"\nRssAnon:", 0) + _number(status, b"\nRssShmem:", 0)) << 10,
            tables=_number(status, b"\nVmPTE:", 0) << 10,
            slots=_number(status, b"\nFDSize:", 0),
            threads=_number(status, b"\nThreads:", 1),
        )
    except (IndexError, KeyError) as exc:
        raise ValueError(f"not the status of a process: {status[:80]!r}") from exc


def _number(text: bytes, key: bytes, default: int | None = None) -> int:
    """Return the first number after a key."""
    at = text.find(key)
    if at >= 0:
        return int(text[at + len(key) :].split(None, 1)[0])
    if default is None:
        raise KeyError(key)
    return default


def machine_threads() -> int:
    """Return how many threads there are on the machine; 0 when nobody says."""
    try:
        return int(_read("/proc/loadavg").split()[3].partition(b"/")[2])
    except (OSError, IndexError, ValueError):
        return 0


def processes() -> Iterator[ProcessUse]:
    """Yield what every process uses. 12 us a process."""
    for name in os.listdir("/proc"):  # noqa: PTH208 - a Path each would cost as much as the reading
        if name.isdecimal():
            # ValueError: it was reaped while it was read, and the text is cut short.
            with contextlib.suppress(OSError, ValueError):
                yield parse_status(int(name), _read(f"/proc/{name}/status"))


def _read(path: str, at_once: int = 8192) -> bytes:
    """Return the beginning of a file of the kernel's."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.read(fd, at_once)
    finally:
        os.close(fd)


def children(uses: Iterable[ProcessUse]) -> dict[int, list[ProcessUse]]:
    """Return processes by their parent."""
    found: dict[int, list[ProcessUse]] = {}
    for use in uses:
        found.setdefault(use.parent, []).append(use)
    return found


def descendants(children: Mapping[int, list[ProcessUse]], root: int) -> list[ProcessUse]:
    """Return what descends from a process, itself not included."""
    found: dict[int, ProcessUse] = {}
    pending = [root]
    while pending:
        for use in children.get(pending.pop(), ()):
            # Not read at one moment: by process ids that are used again it could go in circles.
            if use.pid != root and use.pid not in found:
                found[use.pid] = use
                pending.append(use.pid)
    return list(found.values())


def parse_proportional(rollup: bytes) -> int:
    """Return the bytes in ``/proc/PID/smaps_rollup``: each page's part that falls to the process.

    Raises:
        ValueError: They are not in there.
    """
    try:
        return (_number(rollup, b"\nPss_Anon:") + _number(rollup, b"\nPss_Shmem:")) << 10
    except (IndexError, KeyError) as exc:
        raise ValueError("no proportional set size") from exc


def proportional(uses: Iterable[ProcessUse], identity: Identity, enough: int) -> int:
    """Return the bytes of memory of some processes, pages that several have counted once.

    A process that does not let itself be read (it is not dumpable) counts in full.

    Args:
        uses: The processes, all of one session.
        identity: The session's; a root without ``CAP_SYS_PTRACE`` could not read them otherwise.
        enough: Stop when it is more than this.
    """
    total = 0
    for use in uses:
        pages = use.pages
        with contextlib.suppress(OSError, ValueError), acting_as(identity):
            pages = min(pages, parse_proportional(_read(f"/proc/{use.pid}/smaps_rollup")))
        total += pages + use.tables
        if total > enough:
            break
    return total


def parse_shared(maps: bytes) -> dict[bytes, int]:
    """Read how long the shared memory without a name is in ``/proc/PID/maps``.

    Pages in there stay in memory when no process has them mapped any more, and then no process's
    figures include them. How many do, nobody tells: the length is a bound.

    Returns:
        Bytes by inode.
    """
    found: dict[bytes, int] = {}
    for line in maps.splitlines():
        # 7f..-7f.. rw-s 00000000 00:01 1038   /dev/zero (deleted)
        if not line.endswith((b" /dev/zero (deleted)", b"\t/dev/zero (deleted)")):
            continue
        with contextlib.suppress(ValueError):
            span, mode, offset, _, inode, *_ = line.split()
            start, end = (int(part, 16) for part in span.split(b"-"))
            if mode.endswith(b"s"):
                found[inode] = max(found.get(inode, 0), int(offset, 16) + end - start)
    return found


def shared(pids: Iterable[int], identity: Identity) -> int:
    """Return how long the shared memory without a name of some processes is, in bytes."""
    found: dict[bytes, int] = {}
    for pid in pids:
        with contextlib.suppress(OSError), acting_as(identity):
            maps = Path(f"/proc/{pid}/maps").read_bytes()
            for inode, length in parse_shared(maps).items():
                found[inode] = max(found.get(inode, 0), length)
    return sum(found.values())


def open_files(use: ProcessUse) -> int:
    """Return how many files a process has open; since Linux 6.2 exactly, before that at most."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{use.pid}/fd").stat().st_size or use.slots
    return 0
