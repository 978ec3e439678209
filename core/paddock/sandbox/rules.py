"""Which paths a session may use, at each level."""

import os
import stat
from pathlib import Path

from paddock.sandbox.confinement import Level, Profile
from paddock.sandbox.linux import LANDLOCK_ACCESS_FS as ACCESS

__all__ = ["CONTROL", "WRITABLE", "bubblewrap", "landlock_paths"]

CONTROL = "control"
"""What the server tells the session, in its directory: to read, and not to change."""
WRITABLE = ("workspace", "home", "tmp")

_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_DEVICES = ("null", "zero", "full", "random", "urandom", "tty")
_HOST_UID = 1000  # how the session's user is called inside its own namespaces
_KEEP = "echo; exec cat >/dev/null"  # says that everything is in place, and waits for the end


def _bits(*names: str) -> int:
    return sum(ACCESS[name] for name in names)


_READ = _bits("read_file", "read_dir")
_RUN = _READ | _bits("execute")
_DEVICE = _bits("read_file", "write_file", "ioctl_dev")
_EVERYTHING = sum(ACCESS.values()) & ~_bits("make_char", "make_block")
_NAMELESS = _bits("read_file", "write_file", "make_reg", "remove_file", "truncate")


def landlock_paths(profile: Profile, level: Level, own: Path) -> tuple[tuple[str, int], ...]:
    """Return what a session may do below which path. What is not below any is closed.

    Landlock's rights are hierarchical: there is no listing ``/`` without listing all below it, so
    nobody lists it.

    Args:
        profile: What the environment asks for.
        level: ``uid`` or ``landlock``.
        own: The session's own directory.
    """
    rules = [(path, _RUN) for path in (*_SYSTEM, *profile.tools)]
    rules += [("/etc", _READ), (str(own / CONTROL), _READ)]
    rules += [(str(own / name), _EVERYTHING) for name in WRITABLE]
    rules += [(f"/dev/{name}", _DEVICE) for name in _DEVICES]
    if level is Level.UID:
        if profile.shm:
            rules.append(("/dev/shm", _NAMELESS))
        if profile.tmp:
            rules.append(("/tmp", _EVERYTHING))
        if profile.ptmx:
            # In a container the first leads to the second. Others' terminals are other users'.
            rules += [("/dev/ptmx", _DEVICE), ("/dev/pts", _DEVICE)]
        if profile.proc:
            # To read: who may write there can lower the score by which the kernel takes
            # sessions before the server when memory runs out.
            rules.append(("/proc", _READ))
    return tuple(rules)


def bubblewrap(
    profile: Profile, own: Path, *, shm_mb: int, share_network: bool = False
) -> list[str]:
    """Return the command that makes a session's namespaces and keeps them until its input ends.

    Everything is read only or the session's own; what is not named is not there. Capabilities are
    dropped inside, too, and ``/proc`` is read only, for the same reason as at level `uid`. It tells
    the process id of the first process inside on descriptor 3, and reads that process's filter from
    descriptor 4.

    Args:
        profile: What the environment asks for.
        own: The session's own directory; it has the same path inside.
        shm_mb: MiB of ``/dev/shm`` and of ``/tmp``.
        share_network: Leave it the machine's network.
    """
    command = [
        "bwrap", "--unshare-all", "--uid", str(_HOST_UID), "--gid", str(_HOST_UID),
        "--hostname", "paddock", "--die-with-parent", "--new-session", "--cap-drop", "ALL",
    ]  # fmt: skip
    if share_network:
        command.append("--share-net")
    for path in _SYSTEM:
        command += _system(path)
    command += ["--ro-bind", "/etc", "/etc", "--proc", "/proc"]
    size = str(shm_mb << 20)
    if profile.ptmx:
        command += ["--dev", "/dev"]
    else:
        # Without a terminal multiplexer of its own: those are the host's to exhaust.
        command += ["--tmpfs", "/dev"]
        for name in _DEVICES:
            command += ["--dev-bind", f"/dev/{name}", f"/dev/{name}"]
        for link, target in (("fd", "fd"), ("stdin", "fd/0"), ("stdout", "fd/1"),
                             ("stderr", "fd/2")):  # fmt: skip
            command += ["--symlink", f"/proc/self/{target}", f"/dev/{link}"]
    for path in ("/dev/shm", "/tmp"):
        command += ["--perms", "1777", "--size", size, "--tmpfs", path]
    for tool in profile.tools:
        command += ["--ro-bind-try", tool, tool]
    command += ["--ro-bind", str(own / CONTROL), str(own / CONTROL)]
    for name in WRITABLE:
        command += ["--bind", str(own / name), str(own / name)]
    for path in ("/proc", "/dev", "/"):
        command += ["--remount-ro", path]
    command += ["--chdir", "/"]
    return [*command, "--info-fd", "3", "--seccomp", "4", "--", "sh", "-c", _KEEP]


def _system(path: str) -> list[str]:
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return []
    if stat.S_ISLNK(mode):
        return ["--symlink", str(Path(path).readlink()), path]
    return ["--ro-bind", path, path]
