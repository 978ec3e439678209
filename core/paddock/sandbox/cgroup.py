"""Control groups: how near the server's own is to its limit, and one for each session.

Version 1 has a hierarchy for each controller, version 2 one for all. A container sees its own part
of them, as a rule read-only; then there is no group for a session, and the watch alone limits it.
"""

import functools
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from paddock.limits import Limits

__all__ = ["Cgroup", "OwnMemory", "own_directories", "own_memory", "parse_counts"]

_UNLIMITED = 1 << 60
_SPARE_PROCESSES = 8
"""Above what RLIMIT_NPROC allows, which is the one to be hit: its failures are ordinary ones."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class OwnMemory:
    """Memory of the server and all its sessions.

    Attributes:
        used: Bytes that cannot be had back by dropping what is cached.
        allowed: Bytes there are.
        share: What part of them may be used before a session has to go.
    """

    used: int
    allowed: int
    share: float

    @property
    def nearly_used_up(self) -> bool:
        """More is used than should be."""
        return self.used > self.allowed * self.share


def own_memory() -> OwnMemory | None:
    """Return the use of the tightest of the groups that the server is in, or of the machine."""
    machine = _machine()
    directory, mount, version = _memory_group()
    groups: list[OwnMemory] = []
    while directory is not None:
        found = _group(directory, version)
        if found is not None and (machine is None or found.allowed < machine.allowed):
            groups.append(found)
        directory = directory.parent if directory != mount else None
    return max(groups, key=_fullness, default=machine)


def _fullness(memory: OwnMemory) -> float:
    return memory.used / max(memory.allowed, 1)


def _machine() -> OwnMemory | None:
    counts = parse_counts(_text(Path("/proc/meminfo")).replace(":", ""))
    try:
        total, available = counts["MemTotal"] << 10, counts["MemAvailable"] << 10
    except KeyError:
        return None
    return OwnMemory(total - available, total, 0.95)


def _group(directory: Path, version: int) -> OwnMemory | None:
    names = ("memory.current", "memory.max") if version == 2 else (
        "memory.usage_in_bytes", "memory.limit_in_bytes",
    )  # fmt: skip
    used, allowed = (_text(directory / name).strip() for name in names)
    if not used.isdecimal() or not allowed.isdecimal() or int(allowed) >= _UNLIMITED:
        return None
    memory = OwnMemory(int(used), int(allowed), 0.85)
    if not memory.nearly_used_up:
        return memory
    # Files that were read count as well, and would be dropped before anything fails. Files in
    # memory (tmpfs) are not among these.
    counts = parse_counts(_text(directory / "memory.stat"))
    names = ("inactive_file", "active_file", "slab_reclaimable") if version == 2 else (
        "total_inactive_file", "total_active_file",
    )  # fmt: skip
    cached = sum(counts.get(name, 0) for name in names)
    return OwnMemory(int(used) - cached, int(allowed), 0.85)


def parse_counts(text: str) -> dict[str, int]:
    """Read lines of a name and a number; others are left out."""
    found: dict[str, int] = {}
    for line in text.splitlines():
        match line.split():
            case [name, number, *_] if number.isascii() and number.isdecimal():
                found[name] = int(number)
            case _:
                pass
    return found


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def own_directories(cgroup: str, mountinfo: str) -> dict[str, tuple[Path, Path]]:
    """Return where the groups of a process are, and where their hierarchies are mounted.

    Args:
        cgroup: Its ``/proc/PID/cgroup``.
        mountinfo: Its ``/proc/PID/mountinfo``.

    Returns:
        By controller; version 2 is the empty name. A group that cannot be seen from here, as that
        of a container can be, is the top of what can.
    """
    inside: dict[str, str] = {}
    for line in cgroup.splitlines():
        match line.split(":", 2):
            case [_, controllers, path]:
                inside |= dict.fromkeys(controllers.split(","), path)
            case _:
                pass
    found: dict[str, tuple[Path, Path]] = {}
    for line in mountinfo.splitlines():
        match [part.split() for part in line.split(" - ", 1)]:
            case [[_, _, _, root, mount, *_], ["cgroup2", *_]]:
                names = [""]
            case [[_, _, _, root, mount, *_], ["cgroup", _, options, *_]]:
                names = options.split(",")
            case _:
                continue
        for name in names:
            if name in inside:
                top, root = Path(_unescaped(mount)), _unescaped(root)
                path = Path(inside[name])
                below = path.relative_to(root) if path.is_relative_to(root) else Path()
                found[name] = (top if ".." in below.parts else top / below, top)
    return found


def _unescaped(field: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), field)


@functools.cache
def _directories() -> dict[str, tuple[Path, Path]]:
    own = Path("/proc/self")
    return own_directories(_text(own / "cgroup"), _text(own / "mountinfo"))


@functools.cache
def _memory_group() -> tuple[Path | None, Path, int]:
    directories = _directories()
    for name, version in (("memory", 1), ("", 2)):
        if name in directories:
            return *directories[name], version
    return None, Path("/"), 0


class Cgroup:
    """A session's group, in which the kernel limits memory and processes exactly.

    Files that the session keeps in memory (on a tmpfs) count as its memory there. Made by `make`.
    """

    def __init__(self, directories: list[Path], version: int) -> None:
        self._directories = directories
        self._version = version

    @classmethod
    def make(cls, name: str, limits: Limits) -> "Cgroup | None":
        """Make a group below the server's own, or return None where that cannot be done."""
        own, version = _parents()
        # Version 1 can have both controllers in one hierarchy.
        directories = list(dict.fromkeys(directory / f"paddock-{name}" for directory in own))
        group = cls([], version)
        try:
            if not own:
                raise FileNotFoundError("no memory and pids controllers")
            for directory in directories:
                directory.mkdir()
                group._directories.append(directory)  # what was there before is not to be removed
            group._limit(limits)
        except OSError as exc:
            logger.debug("no control group for %s: %s", name, exc)
            group.remove()
            return None
        return group

    def attach(self, pid: int) -> None:
        """Move a process in; what it forks will be in as well.

        For a worker thread: the kernel takes some 15 ms for it, or less than one if it has just
        moved another.

        Raises:
            OSError: It has ended, or may not be moved.
        """
        for directory in self._directories:
            (directory / "cgroup.procs").write_text(str(pid))

    def oom_kills(self) -> int:
        """Return how many of its processes the kernel has ended for want of memory."""
        name = "memory.events" if self._version == 2 else "memory.oom_control"
        return parse_counts(_text(self._directories[0] / name)).get("oom_kill", 0)

    def remove(self) -> bool:
        """Remove it once nothing is in it. Return whether it is gone."""
        gone = True
        for directory in self._directories:
            try:
                directory.rmdir()
            except FileNotFoundError:
                pass
            except OSError as exc:
                logger.debug("%s stays: %s", directory, exc)
                gone = False
        return gone

    def _limit(self, limits: Limits) -> None:
        memory, pids = self._directories[0], self._directories[-1]
        allowed = str(limits.memory_mb << 20)
        if self._version == 2:
            (memory / "memory.max").write_text(allowed)
            unswapped, swap = memory / "memory.swap.max", "0"
        else:
            (memory / "memory.limit_in_bytes").write_text(allowed)
            unswapped, swap = memory / "memory.memsw.limit_in_bytes", allowed
        if unswapped.exists():
            unswapped.write_text(swap)
        (pids / "pids.max").write_text(str(limits.processes + _SPARE_PROCESSES))


def _parents() -> tuple[list[Path], int]:
    """Return the directories in which groups can be made, memory first, and their version."""
    directories = _directories()
    if "memory" in directories and "pids" in directories:
        return [directories["memory"][0], directories["pids"][0]], 1
    if "" not in directories:
        return [], 0
    own = directories[""][0]
    wanted = {"memory", "pids"}
    control = own / "cgroup.subtree_control"
    if wanted <= set(_text(own / "cgroup.controllers").split()):
        if not wanted <= set(_text(control).split()):
            try:
                # Refused while the server itself is in there, unless it is the machine's top group.
                control.write_text("+memory +pids")
            except OSError as exc:
                logger.debug("%s: %s", control, exc)
                return [], 2
        return [own], 2
    return [], 2
