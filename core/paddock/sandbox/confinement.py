"""How a session's processes are confined: everything their launch needs, as plain data.

Made by the server, sent to the zygote once per session, applied in each child. Imports neither
pydantic nor asyncio: the zygote is to stay small.
"""

import base64
import json
import resource
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

__all__ = ["Confinement", "Launch", "Level", "Profile", "rlimits"]


class Level(StrEnum):
    """What separates sessions from each other and from the server, strongest first."""

    NAMESPACES = "namespaces"
    UID = "uid"
    LANDLOCK = "landlock"
    NONE = "none"


@dataclass(frozen=True)
class Profile:
    """What ordinary programs need and the strict setting takes away; an environment chooses.

    Files, memory, environment variables, signals and network of other sessions and of the server
    stay closed under every option. At level `namespaces` all of it is there anyway, privately.

    Attributes:
        proc: ``/proc``. Opens the names and command lines of all processes at level `uid`.
        tmp: ``/tmp``, shared and sticky. Opens the names in it at level `uid`.
        ptmx: Terminals of its own (tmux, script). At level `uid` they are the host's to exhaust.
        shm: ``/dev/shm``, for semaphores and shared memory; names stay hidden.
        memfd: Anonymous files in memory; the watch sees those that are open, and not their pages.
        sysv: System V IPC and POSIX message queues.
        ptrace: Debuggers, at level `namespaces` only.
        tools: Further directories that may be read and executed from.
    """

    proc: bool = False
    tmp: bool = False
    ptmx: bool = False
    shm: bool = True
    memfd: bool = False
    sysv: bool = False
    ptrace: bool = False
    tools: tuple[str, ...] = ()


@dataclass(frozen=True)
class Confinement:
    """What is done to a process between fork and exec.

    Attributes:
        level: Which walls there are.
        uid: The session's user and group, or ``None`` to keep the server's.
        reaper: The user that may kill the session; never the session's own.
        paths: Landlock: what may be done below which path (`linux.LANDLOCK_ACCESS_FS` bits).
        landlock_abi: The kernel's Landlock ABI; 0 leaves Landlock out.
        network: Landlock governs TCP.
        own_network: Its namespaces have a network of their own.
        ports: TCP ports that may be connected to then.
        closed_ports: TCP ports that may not be connected to, where all others may.
        seccomp: The compiled filter; empty at level `none`.
        limits: ``(resource, soft and hard value)``.
        nice: Added to the priority, so that the server goes first.
        oom_score_adj: The kernel takes session processes before the server.
    """

    level: Level
    uid: int | None = None
    reaper: int | None = None
    paths: tuple[tuple[str, int], ...] = ()
    landlock_abi: int = 0
    network: bool = True
    own_network: bool = True
    ports: tuple[int, ...] = ()
    closed_ports: tuple[int, ...] = ()
    seccomp: bytes = b""
    limits: tuple[tuple[int, int], ...] = ()
    nice: int = 10
    oom_score_adj: int = 1000

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON can carry it."""
        return asdict(self) | {"seccomp": base64.b64encode(self.seccomp).decode()}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Confinement":
        """Read what `to_json` returned."""
        return cls(
            level=Level(data["level"]),
            uid=data["uid"],
            reaper=data["reaper"],
            paths=tuple((path, access) for path, access in data["paths"]),
            landlock_abi=data["landlock_abi"],
            network=data["network"],
            own_network=data["own_network"],
            ports=tuple(data["ports"]),
            closed_ports=tuple(data["closed_ports"]),
            seccomp=base64.b64decode(data["seccomp"]),
            limits=tuple((which, value) for which, value in data["limits"]),
            nice=data["nice"],
            oom_score_adj=data["oom_score_adj"],
        )


@dataclass(frozen=True)
class Launch:
    """One process to start.

    Attributes:
        session: Whose confinement it gets.
        argv: Program and arguments; the program is looked up in its own ``PATH``.
        env: Its whole environment.
        cwd: Its working directory; the root directory when that is gone.
        tty: Its standard input becomes its controlling terminal.
    """

    session: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict[str, str])
    cwd: str = "/"
    tty: bool = False

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Launch":
        """Read what `to_bytes` wrote."""
        argv: list[str] = data["argv"]
        return cls(data["session"], tuple(argv), data["env"], data["cwd"], data["tty"])

    def to_bytes(self, number: int) -> bytes:
        """Return it as a request with a number."""
        return json.dumps({"op": "spawn", "id": number, **asdict(self)}).encode()


def rlimits(
    *,
    memory_mb: int,
    processes: int,
    open_files: int,
    file_mb: int,
    cpu_s: int | None,
    address_mb: int = 128 << 10,
) -> tuple[tuple[int, int], ...]:
    """Return the kernel's limits of a process.

    Memory is limited by RLIMIT_DATA; RLIMIT_AS alone breaks runtimes that reserve address space
    (Node's workers and WebAssembly, Java), so it only bounds what page tables can cost.

    Args:
        memory_mb: Data of a process.
        processes: Processes and threads of the user.
        open_files: File descriptors of a process.
        file_mb: Size of a file.
        cpu_s: CPU seconds of a process.
        address_mb: Address space of a process.
    """
    chosen = {
        resource.RLIMIT_DATA: memory_mb << 20,
        resource.RLIMIT_AS: address_mb << 20,
        resource.RLIMIT_NPROC: processes,
        resource.RLIMIT_NOFILE: open_files,
        resource.RLIMIT_FSIZE: file_mb << 20,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_MEMLOCK: 64 << 10,
        resource.RLIMIT_SIGPENDING: 1024,
        resource.RLIMIT_MSGQUEUE: 0,
    }
    if cpu_s is not None:
        chosen[resource.RLIMIT_CPU] = cpu_s
    return tuple(chosen.items())
