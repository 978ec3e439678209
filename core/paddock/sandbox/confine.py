"""From a level, a profile and limits to the confinement of one session."""

from pathlib import Path
from typing import cast

from paddock.errors import ConfigurationError
from paddock.limits import Limits
from paddock.sandbox import linux
from paddock.sandbox.confinement import Confinement, Level, Profile, rlimits
from paddock.sandbox.rules import landlock_paths
from paddock.sandbox.seccomp import Filter, NetworkCalls, compile_filter

__all__ = ["anchor_confinement", "confinement_of"]

PORTS_ABI = 4  # of Landlock, since which it governs TCP
SHARED_PROCESSES = 4096
ANCHOR_PROCESSES = 4  # what keeps a session's namespaces counts among its user's processes

_CALLS = {"off": "off", "allowlist": "tcp", "loopback": "local", "full": "full"}


def confinement_of(
    level: Level,
    profile: Profile,
    limits: Limits,
    own: Path,
    *,
    uid: int | None,
    reaper: int | None,
    abi: int,
    ports: tuple[int, ...] = (),
    closed_ports: tuple[int, ...] = (),
) -> Confinement:
    """Return how a session's processes are confined.

    Args:
        level: Which walls there are.
        profile: What the environment asks for.
        limits: What the session may use.
        own: The session's own directory.
        uid: Its user, where it has one of its own.
        reaper: The user that may kill it.
        abi: The kernel's Landlock ABI.
        ports: TCP ports that may be connected to with the network mode ``allowlist``.
        closed_ports: TCP ports that may not be with the network mode ``full``.

    Raises:
        ConfigurationError: The level cannot give the network mode.
    """
    inside = level is Level.NAMESPACES
    if limits.network == "loopback" and not inside:
        raise ConfigurationError(
            f"network 'loopback' needs isolation level namespaces; this server has {level}, where"
            " all share one loopback (docs/isolation.md says which flags help)"
        )
    if closed_ports and level is not Level.NONE and abi < PORTS_ABI:
        raise ConfigurationError(
            f"network 'full' needs Landlock ABI {PORTS_ABI} (Linux 6.7), which keeps this server's"
            f" own ports closed; there is {abi or 'none'}. Use 'allowlist'"
        )
    if limits.network == "allowlist" and level is Level.UID and abi < PORTS_ABI:
        raise ConfigurationError(
            f"network 'allowlist' needs Landlock ABI {PORTS_ABI} (Linux 6.7) at level uid, which"
            f" leaves open the proxy alone; there is {abi or 'none'}"
        )
    if level is Level.NONE:
        return Confinement(level, limits=_limits(limits, _processes(limits, uid, 0)))
    calls = _CALLS[limits.network]
    if inside and limits.network == "allowlist":
        calls = "local"  # a forwarder on its own loopback leads to the proxy
    rules = Filter(
        network=cast("NetworkCalls", calls),
        # At a shared user id any session could connect to another's sockets by name.
        unix=level is not Level.LANDLOCK,
        memfd=profile.memfd,
        sysv=profile.sysv or inside,
        ptrace=profile.ptrace and inside,
        foreign=level is not Level.LANDLOCK,
    )
    return Confinement(
        level=level,
        uid=uid,
        reaper=reaper,
        paths=() if inside else landlock_paths(profile, level, own),
        landlock_abi=0 if inside else abi,
        network=limits.network in ("off", "allowlist"),
        own_network=limits.network != "full",
        ports=ports,
        closed_ports=closed_ports,
        seccomp=compile_filter(rules, linux.ARCH),
        limits=_limits(limits, _processes(limits, uid, ANCHOR_PROCESSES if inside else 0)),
    )


def anchor_confinement(confinement: Confinement) -> Confinement:
    """Return the confinement of bubblewrap itself: the session's user, and no filter yet."""
    return Confinement(
        level=confinement.level,
        uid=confinement.uid,
        reaper=confinement.reaper,
        limits=confinement.limits,
    )


def _processes(limits: Limits, uid: int | None, more: int) -> int:
    """Return what the kernel limits the processes of a session's user to.

    Where sessions share a user, it would be one budget for all: there the watch counts those of
    each, and this only keeps what it does not see in time from taking all there is.
    """
    return limits.processes + more if uid is not None else max(SHARED_PROCESSES, limits.processes)


def _limits(limits: Limits, processes: int) -> tuple[tuple[int, int], ...]:
    return rlimits(
        memory_mb=limits.process_memory_mb,
        processes=processes,
        open_files=limits.open_files,
        file_mb=limits.file_mb,
        cpu_s=limits.cpu_s,
    )
