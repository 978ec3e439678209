"""The zygote: one small, single-threaded process that all session processes are forked from.

It is started with an exec before there is anything to inherit, so that no descriptor, no environment
variable and no memory of the server is in it, and forking it is safe and quick. It is the subreaper
of everything it starts: orphans become its children, so that nothing of a session is out of reach.

Requests and answers are JSON messages on a UNIX socket, descriptors ride along::

    open   session, confinement                  remember how a session is confined
    join   session + pidfd                       its processes join that process's namespaces
    spawn  session, argv, env, cwd, tty + fds    answered with the process id, + its pidfd
    kill   session                               answered when nothing of it is left
    close  session                               forget it
    (exit) pid, status                           told without being asked

Where sessions share a user id (level `landlock`), each gets a zygote of its own: a fork of this one in a
Landlock domain of its own, so that ``kill(-1)`` from there reaches exactly the session, and nobody in
the session reaches it.
"""

import array
import contextlib
import errno
import json
import os
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator
from typing import Any

from paddock.sandbox import linux
from paddock.sandbox.confinement import Confinement, Launch, Level
from paddock.sandbox.launch import execute, ruleset_of

__all__ = ["MAX_MESSAGE", "Zygote", "main"]

MAX_MESSAGE = 1 << 17
"""Bytes of a request: arguments and environment have to fit. A socket's buffer holds more."""

KILL_S = 5.0
SCOPE_ABI = 6  # of Landlock, since which it keeps signals in


class _Session:
    def __init__(self, confinement: Confinement) -> None:
        self.confinement = confinement
        self.ruleset = ruleset_of(confinement)
        self.join: int | None = None

    def close(self) -> None:
        if self.ruleset is not None:
            self.ruleset.close()
        if self.join is not None:
            os.close(self.join)


class Zygote:
    """Answers requests on a socket until its other end closes.

    Args:
        control: The socket; closing its other end ends the zygote and all it started.
        scoped: It is in a domain that its signals do not leave.
    """

    def __init__(self, control: socket.socket, *, scoped: bool = False) -> None:
        self._control = control
        self._scoped = scoped
        self._sessions: dict[str, _Session] = {}
        self._killers: dict[int, int] = {}
        self._children: set[int] = set()

    def run(self) -> None:
        """Serve."""
        wake_r, wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        poll = select.poll()
        poll.register(self._control.fileno(), select.POLLIN)
        poll.register(wake_r, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == wake_r:
                    with contextlib.suppress(BlockingIOError):
                        os.read(wake_r, 4096)
                elif not self._serve():
                    return
            self._reap()

    def _serve(self) -> bool:
        """Answer one request. Return whether there will be more."""
        try:
            data, fds, _, _ = socket.recv_fds(self._control, MAX_MESSAGE, 16)
        except ConnectionError:
            return False
        if not data:
            return False
        request: dict[str, Any] = json.loads(data)
        answer: dict[str, Any] = {"id": request["id"]}
        passed: list[int] = []
        try:
            passed = self._obey(request, fds, answer)
        except OSError as exc:
            answer |= {"errno": exc.errno or errno.EPERM, "error": str(exc)}
        except (KeyError, ValueError) as exc:
            answer |= {"errno": errno.EINVAL, "error": f"{type(exc).__name__}: {exc}"}
        finally:
            for fd in fds:
                os.close(fd)
        if answer:
            self._say(answer, passed)
        for fd in passed:
            os.close(fd)
        return True

    def _obey(self, request: dict[str, Any], fds: list[int], answer: dict[str, Any]) -> list[int]:
        """Do what a request asks for, and return descriptors that go with the answer."""
        name: str = request["session"]
        match request["op"]:
            case "open":
                confinement = Confinement.from_json(request["confinement"])
                if fds:
                    self._fork_zygote(name, confinement, fds[0])
                else:
                    self._sessions[name] = _Session(confinement)
            case "join":
                self._sessions[name].join = os.dup(fds[0])
            case "spawn":
                session = self._sessions[name]
                del request["op"]
                number = request.pop("id")
                launch = Launch(**{**request, "argv": tuple(request["argv"])})
                answer["pid"] = pid = self._spawn(session, launch, fds)
                answer["id"] = number
                self._children.add(pid)
                return [os.pidfd_open(pid)]
            case "kill":
                self._kill(self._sessions[name], answer)
            case "close":
                self._sessions.pop(name).close()
            case other:
                raise ValueError(f"no such request: {other!r}")
        return []

    # -- starting ---------------------------------------------------------------------------------

    def _spawn(self, session: _Session, launch: Launch, fds: list[int]) -> int:
        ruleset = session.ruleset.fileno() if session.ruleset else None
        if session.join is None:
            pid = os.fork()
            if pid == 0:
                execute(launch, session.confinement, fds, ruleset=ruleset)
            return pid
        told, tells = os.pipe2(os.O_CLOEXEC)
        helper = os.fork()
        if helper == 0:
            join = (session.join, tells)
            execute(launch, session.confinement, fds, ruleset=ruleset, join=join)
        os.close(tells)
        try:
            said = os.read(told, 32)
        finally:
            os.close(told)
            os.waitpid(helper, 0)
        if not said:
            raise OSError(errno.ECHILD, "the session's namespaces are gone")
        return int(said)

    def _fork_zygote(self, name: str, confinement: Confinement, control: int) -> None:
        """Fork a session's own zygote, in a domain that signals do not leave."""
        if os.fork():
            return
        scoped = confinement.level is Level.LANDLOCK and confinement.landlock_abi >= SCOPE_ABI
        try:
            # Above everything a descriptor could be in the way of.
            mine = os.dup(control)
            self._control.close()
            os.dup2(mine, 3)
            os.set_inheritable(3, False)
            linux.close_from(4)
            os.setsid()
            linux.set_child_subreaper()
            if scoped and (scope := ruleset_of(confinement, scope_only=True)) is not None:
                linux.no_new_privs()
                linux.landlock_restrict(scope.fileno())
                scope.close()
            zygote = Zygote(socket.socket(fileno=3), scoped=scoped)
            zygote._sessions[name] = _Session(confinement)
            zygote.run()
            zygote.end()
        finally:
            os._exit(0)

    # -- ending -----------------------------------------------------------------------------------

    def _kill(self, session: _Session, answer: dict[str, Any]) -> None:
        uid, reaper = session.confinement.uid, session.confinement.reaper
        if uid is not None and reaper is not None:
            killer = self._fork_killer(uid, reaper)
            self._killers[killer] = answer.pop("id")
            answer.clear()
            return
        if session.join is not None:
            # The first process of its namespaces takes all others in them along.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(session.join, signal.SIGKILL)
        elif not self._kill_all():
            raise OSError(errno.ETIMEDOUT, "some processes did not die")

    def _fork_killer(self, uid: int, reaper: int) -> int:
        """Fork a child that ends when nothing of a user is left, and return its process id."""
        pid = os.fork()
        if pid:
            return pid
        try:
            # With these three ids one kill reaches all of the session and nobody else: the effective
            # one gives the right to, and nobody may kill or stop the killer, whose real and saved
            # ids are nobody else's. The kernel holds off forks meanwhile.
            os.setresgid(reaper, reaper, reaper)
            os.setresuid(reaper, uid, reaper)
            deadline = time.monotonic() + KILL_S
            while time.monotonic() < deadline:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(-1, signal.SIGKILL)
                if not _anybody(uid):
                    os._exit(0)
                time.sleep(0.001)
        finally:
            os._exit(1)

    def _kill_all(self) -> bool:
        """Kill all descendants and wait for them. Return whether nothing is left.

        In a domain of its own one kill reaches everything in it and nothing else. Without one it
        would reach everything of the user, so the descendants are looked up one by one.
        """
        deadline = time.monotonic() + KILL_S
        while time.monotonic() < deadline:
            for pid in (-1,) if self._scoped else _descendants(os.getpid()):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.kill(pid, signal.SIGKILL)
            if not self._reap():
                return True
            time.sleep(0.001)
        return False

    def end(self) -> None:
        """Kill every session: the server is gone."""
        for session in self._sessions.values():
            with contextlib.suppress(OSError):
                self._kill(session, {"id": 0})
        while self._killers:
            with contextlib.suppress(ChildProcessError):
                self._killers.pop(os.wait()[0], None)

    def _reap(self) -> bool:
        """Take note of the children that have ended. Return whether there are others."""
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return False
            if pid == 0:
                return True
            code = os.waitstatus_to_exitcode(status)
            if pid in self._killers:
                answer: dict[str, Any] = {"id": self._killers.pop(pid)}
                if code != 0:
                    answer |= {"errno": errno.ETIMEDOUT, "error": "some processes did not die"}
                self._say(answer)
            elif pid in self._children:
                self._children.discard(pid)
                self._say({"exit": pid, "status": code})

    def _say(self, answer: dict[str, Any], fds: list[int] | None = None) -> None:
        data = json.dumps(answer).encode()
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server is gone
            self._control.sendmsg([data], ancillary)


def _anybody(uid: int) -> bool:
    """Return whether any process, dead ones that nobody waited for included, has a user id."""
    wanted = f"\nUid:\t{uid}\t"
    return any(wanted in status for _, status in _statuses())


def _descendants(pid: int) -> list[int]:
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


def _statuses() -> Iterator[tuple[int, str]]:
    for entry in os.scandir("/proc"):
        if entry.name.isdecimal():
            with contextlib.suppress(OSError), open(f"{entry.path}/status") as file:  # noqa: PTH123
                yield int(entry.name), file.read()


def main() -> None:
    """Be the zygote, on the socket that is standard input."""
    linux.set_child_subreaper()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when the server does
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.chdir("/")
    zygote = Zygote(control)
    zygote.run()
    zygote.end()
    sys.exit(0)


if __name__ == "__main__":
    main()
