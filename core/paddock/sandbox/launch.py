"""From fork to exec: what a child of the zygote does to itself, in the one order that works.

Every step is irreversible, and some need what a later one takes away: process attributes come
before the user id, the user id before the namespaces that belong to it, Landlock after them, the
filter last of all. A child that cannot take a step writes why to its status pipe and ends; one that
can execs, which closes the pipe.
"""

import contextlib
import errno
import fcntl
import gc
import os
import resource
import signal
import socket
import termios

from paddock.sandbox import linux
from paddock.sandbox.confinement import Confinement, Launch

__all__ = [
    "CANNOT_START",
    "execute",
    "give_up_privileges",
    "listen_inside",
    "ports_ruleset",
    "ruleset_of",
    "scope_ruleset",
]

CANNOT_START = 127

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# Python ignores two of them, the zygote others; what is ignored stays so in a new program.
_SIGNALS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})
_ALL_NAMESPACES = 0x7E020000  # CLONE_NEWNS | CGROUP | UTS | IPC | USER | PID | NET
_NEW_NETWORK = 0x40000000
_BACKLOG = 64
_HIGH = 64  # descriptors are moved here first, out of each other's way


def execute(
    launch: Launch,
    confinement: Confinement,
    fds: list[int],
    *,
    rulesets: tuple[int, ...] = (),
    join: tuple[int, int] | None = None,
) -> None:
    """Become the program of a launch. Runs in a fresh child; does not return.

    Args:
        launch: What to start.
        confinement: How to confine it.
        fds: What it gets as its descriptors 0, 1, 2 and so on, and last the status pipe.
        rulesets: Descriptors of Landlock rules, each of which is enforced.
        join: A pidfd whose namespaces are joined, and a pipe that is told the process id of the
            child that is in them: this process is not.
    """
    gc.disable()  # it would copy pages that are shared with the zygote, for nothing
    status = fds[-1]
    try:
        own = len(fds) - 1
        kept = _arrange([*fds, *rulesets, *(join or ())], own)
        status = own
        give_up_privileges(confinement)
        if join is not None:
            _enter(kept[-2], kept[-1], own_network=confinement.own_network)
        os.setsid()
        if launch.tty:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if confinement.seccomp:
            linux.no_new_privs()
            if confinement.uid is None:
                linux.drop_capabilities()  # a change of user would have; the server may be root
        for ruleset in kept[len(fds) : len(fds) + len(rulesets)]:
            linux.landlock_restrict(ruleset)
        try:
            os.chdir(launch.cwd)
        except OSError:
            os.chdir("/")
        if confinement.seccomp:
            linux.set_seccomp(confinement.seccomp)
        _exec(launch)
    except BaseException as exc:  # noqa: BLE001 - there is nobody above who could handle it
        number = exc.errno if isinstance(exc, OSError) and exc.errno else errno.EPERM
        with contextlib.suppress(OSError):
            os.write(status, f"{number} {exc}".encode()[:4000])
    finally:
        os._exit(CANNOT_START)


def give_up_privileges(confinement: Confinement) -> None:
    """Take on the priority, the limits and the user of a session."""
    with open("/proc/self/oom_score_adj", "w", encoding="ascii") as score:  # noqa: PTH123
        score.write(str(confinement.oom_score_adj))
    os.nice(confinement.nice)
    os.umask(0o077)
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    uid = confinement.uid
    if uid is not None:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
    for which, value in confinement.limits:
        hard = resource.getrlimit(which)[1]
        hard = value + 1 if hard == resource.RLIM_INFINITY else hard
        value = min(value, hard)
        # Time that is up is told by a signal that says so; who goes on is killed a second later.
        grace = 1 if which == resource.RLIMIT_CPU and value < hard else 0
        resource.setrlimit(which, (value, value + grace))
    if uid is not None:
        os.setresuid(uid, uid, uid)


def listen_inside(confinement: Confinement, pidfd: int, tell: socket.socket) -> None:
    """Pass a listening socket of a session's own network on. Runs in a fresh child; ends it.

    Args:
        confinement: The session's.
        pidfd: A process whose namespaces are the session's.
        tell: What the socket is passed on by.
    """
    try:
        give_up_privileges(confinement)
        linux.setns(pidfd, _ALL_NAMESPACES)
        with socket.create_server(("127.0.0.1", 0), backlog=_BACKLOG) as listener:
            socket.send_fds(tell, [b"!"], [listener.fileno()])
    finally:
        os._exit(0)


def ruleset_of(confinement: Confinement) -> linux.LandlockRuleset | None:
    """Return a session's Landlock rules, made once; each child enforces them on itself."""
    if not confinement.landlock_abi:
        return None
    rules = linux.LandlockRuleset(
        confinement.landlock_abi,
        files=True,
        network=confinement.network,
        bind=confinement.network,
        scope=True,
    )
    for path, access in confinement.paths:
        try:
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        except FileNotFoundError:
            continue  # not every system has every directory
        try:
            rules.allow(fd, access)
        finally:
            os.close(fd)
    for port in confinement.ports:
        rules.allow_connect(port)
    return rules


def scope_ruleset(abi: int) -> linux.LandlockRuleset:
    """Return Landlock rules that keep signals in, and abstract sockets, and nothing else."""
    return linux.LandlockRuleset(abi, scope=True)


def ports_ruleset(closed: tuple[int, ...]) -> linux.LandlockRuleset:
    """Return Landlock rules that leave all TCP ports open to connect to, but some.

    There is no rule that closes a port, so all others are opened. That takes 0.2 s once, and 20 ms
    for each process that they are enforced on.
    """
    rules = linux.LandlockRuleset(linux.landlock_abi(), network=True)
    for port in range(1 << 16):
        if port not in closed:
            rules.allow_connect(port)
    return rules


def _arrange(fds: list[int], inherited: int) -> list[int]:
    """Make the descriptors 0, 1, 2, ... in order; the exec closes all but the first so many."""
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, _HIGH) for fd in fds]
    for target, fd in enumerate(high):
        os.dup2(fd, target, inheritable=target < inherited)
    linux.close_from(len(fds))
    return list(range(len(fds)))


def _enter(pidfd: int, report: int, *, own_network: bool) -> None:
    """Join the namespaces of a process, in a child of this process's parent; end this process."""
    # To join the machine's network again takes rights over it, which are given up by now.
    linux.setns(pidfd, _ALL_NAMESPACES if own_network else _ALL_NAMESPACES & ~_NEW_NETWORK)
    child = linux.clone_into_parent()
    if child:
        os.write(report, b"%d" % child)
        os._exit(0)
    os.close(report)
    os.close(pidfd)
    linux.drop_capabilities()


def _exec(launch: Launch) -> None:
    program = launch.argv[0]
    if "/" in program:
        os.execve(program, launch.argv, launch.env)
    missing: OSError = FileNotFoundError(errno.ENOENT, f"{program}: not found")
    for folder in launch.env.get("PATH", _PATH).split(":"):
        try:
            os.execve(f"{folder}/{program}", launch.argv, launch.env)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except PermissionError as exc:
            missing = exc
    raise missing
