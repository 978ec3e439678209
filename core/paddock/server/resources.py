"""How many sessions this machine, or this container, can hold."""

import os
from pathlib import Path

__all__ = ["default_capacity", "memory_bytes"]

_SHARE = 0.8  # of the memory; the rest is the server's and the page cache's
_PER_CPU = 256
_AT_LEAST = 4  # OpenEnv's default of 1 breaks every group-based trainer at once


def default_capacity(session_memory_mb: int) -> int:
    """Return how many sessions fit, by memory and processors.

    Args:
        session_memory_mb: What one session is expected to hold.
    """
    by_memory = int(memory_bytes() * _SHARE / (session_memory_mb << 20))
    cpus = len(os.sched_getaffinity(0))
    return max(_AT_LEAST, min(by_memory, cpus * _PER_CPU))


def memory_bytes() -> int:
    """Return the memory this process may use: the container's limit or the machine's memory."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            limit = int(Path(name).read_text(encoding="ascii"))
        except (OSError, ValueError):  # no such cgroup version here, or "max"
            continue
        return min(physical, limit)
    return physical
