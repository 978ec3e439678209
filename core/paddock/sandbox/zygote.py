"""The zygote: one small, single-threaded process that all session processes are forked from.

It is started with an exec before there is anything to inherit, so that no descriptor, no
environment variable and no memory of the server is in it, and forking it is safe and quick. It is
the subreaper of everything it starts: orphans become its children, so that nothing of a session is
out of reach.

Requests and answers are JSON messages on a UNIX socket, descriptors ride along::

    open   session, confinement                  remember how a session is confined
    open   session, confinement + socket         fork a zygote for it; answered with its process id
    join   session + pidfd                       its processes join that process's namespaces
    listen session                               answered + a socket on its own loopback
    spawn  session, argv, env, cwd, tty + fds    answered with the process id, + its pidfd
    signal session, pid, signal                  sent with no more rights than the session has
    kill   session                               answered when nothing of it is left
    close  session                               forget it
    (exit) pid, status                           told without being asked

Where sessions share a user id (level `landlock`), each gets a zygote of its own: a fork of this one
in a Landlock domain of its own, so that ``kill(-1)`` from there reaches exactly the session, and
nobody in the session reaches it.
"""

import array
import contextlib
import errno
import gc
import json
import os
import select
import signal
import socket
import sys
import time
from types import FrameType
from typing import Any

from paddock.sandbox import linux
from paddock.sandbox.confinement import Confinement, Launch, Level
from paddock.sandbox.killing import Dying, acting_as_reaper, descendants
from paddock.sandbox.launch import (
    execute,
    listen_inside,
    ports_ruleset,
    ruleset_of,
    scope_ruleset,
)

__all__ = ["MAX_MESSAGE", "Zygote", "main"]

MAX_MESSAGE = 1 << 17
"""Bytes of a request: arguments and environment have to fit. A socket's buffer holds more."""

KILL_S = 5.0
LOOK_S = 0.001  # between two looks at what is dying
SCOPE_ABI = 6  # of Landlock, since which it keeps signals in


class _Session:
    def __init__(self, confinement: Confinement, ports: linux.LandlockRuleset | None) -> None:
        self.confinement = confinement
        self.join: int | None = None
        self._own = ruleset_of(confinement)
        self.rulesets = tuple(rules.fileno() for rules in (self._own, ports) if rules is not None)

    def close(self) -> None:
        if self._own is not None:
            self._own.close()
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
        self._dying = Dying()
        self._children: set[int] = set()
        self._ports: dict[tuple[int, ...], linux.LandlockRuleset] = {}

    def run(self) -> None:
        """Serve."""
        wake_r, wake_w = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(wake_w, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, _noted)
        poll = select.poll()
        poll.register(self._control.fileno(), select.POLLIN)
        poll.register(wake_r, select.POLLIN)
        while True:
            for fd, _ in poll.poll(LOOK_S * 1000 if self._dying else None):
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
                    answer["zygote"] = self._fork_zygote(name, confinement, fds[0])
                else:
                    self._remember(name, confinement)
            case "join":
                self._sessions[name].join = os.dup(fds[0])
            case "spawn":
                session = self._sessions[name]
                answer["pid"] = pid = self._spawn(session, Launch.from_json(request), fds)
                self._children.add(pid)
                return [os.pidfd_open(pid)]
            case "listen":
                return [self._listen(self._sessions[name])]
            case "signal":
                self._signal(self._sessions[name], request["pid"], request["signal"])
            case "kill":
                self._kill(self._sessions[name], answer)
            case "close":
                self._sessions.pop(name).close()
            case other:
                raise ValueError(f"no such request: {other!r}")
        return []

    # -- starting ---------------------------------------------------------------------------------

    def _remember(self, name: str, confinement: Confinement) -> None:
        ports = None
        if (closed := confinement.closed_ports) and (ports := self._ports.get(closed)) is None:
            ports = self._ports[closed] = ports_ruleset(closed)
        self._sessions[name] = _Session(confinement, ports)

    def _spawn(self, session: _Session, launch: Launch, fds: list[int]) -> int:
        rulesets = session.rulesets
        if session.join is None:
            pid = os.fork()
            if pid == 0:
                execute(launch, session.confinement, fds, rulesets=rulesets)
            return pid
        told, tells = os.pipe2(os.O_CLOEXEC)
        helper = os.fork()
        if helper == 0:
            join = (session.join, tells)
            execute(launch, session.confinement, fds, rulesets=rulesets, join=join)
        os.close(tells)
        try:
            said = os.read(told, 32)
        finally:
            os.close(told)
            os.waitpid(helper, 0)
        if not said:
            raise OSError(errno.ECHILD, "the session's namespaces are gone")
        return int(said)

    def _listen(self, session: _Session) -> int:
        """Return a listening socket of a session's own network, made by a child that joins it."""
        if session.join is None:
            raise OSError(errno.ENONET, "the session has no network of its own")
        ours, theirs = socket.socketpair()
        child = os.fork()
        if child == 0:
            listen_inside(session.confinement, session.join, theirs)
        theirs.close()
        with ours:
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
        os.waitpid(child, 0)
        if not fds:
            raise OSError(errno.ECHILD, "the session's namespaces are gone")
        return fds[0]

    def _fork_zygote(self, name: str, confinement: Confinement, control: int) -> int:
        """Fork a session's own zygote, in a domain that signals do not leave."""
        if pid := os.fork():
            return pid
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
            if scoped:
                scope = scope_ruleset(confinement.landlock_abi)
                linux.no_new_privs()
                linux.landlock_restrict(scope.fileno())
                scope.close()
            zygote = Zygote(socket.socket(fileno=3), scoped=scoped)
            zygote._remember(name, confinement)
            zygote.run()
            zygote.end()
        finally:
            os._exit(0)

    # -- ending -----------------------------------------------------------------------------------

    def _signal(self, session: _Session, pid: int, number: int) -> None:
        uid, reaper = session.confinement.uid, session.confinement.reaper
        # Its own zygote's domain reaches no further, either.
        rights = contextlib.nullcontext() if uid is None else acting_as_reaper(uid, reaper or uid)
        with rights, contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)

    def _kill(self, session: _Session, answer: dict[str, Any]) -> None:
        uid, reaper = session.confinement.uid, session.confinement.reaper
        if uid is not None and reaper is not None:
            self._dying.kill(uid, reaper, answer.pop("id"), time.monotonic() + KILL_S)
            answer.clear()
            return
        if session.join is not None:
            # The first process of its namespaces takes all others in them along.
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(session.join, signal.SIGKILL)
        elif not self._kill_all():
            raise OSError(errno.ETIMEDOUT, "some processes did not die")

    def _kill_all(self) -> bool:
        """Kill all descendants and wait for them. Return whether nothing is left.

        In a domain of its own one kill reaches everything in it and nothing else. Without one it
        would reach everything of the user, so the descendants are looked up one by one.
        """
        deadline = time.monotonic() + KILL_S
        while time.monotonic() < deadline:
            for pid in (-1,) if self._scoped else descendants(os.getpid()):
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
        while self._dying:
            time.sleep(LOOK_S)
            self._reap()

    def _reap(self) -> bool:
        """Take note of the children that have ended. Return whether there are others."""
        others = True
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                others = False
                break
            if pid == 0:
                break
            if pid in self._children:
                self._children.discard(pid)
                self._say({"exit": pid, "status": os.waitstatus_to_exitcode(status)})
        for answer in self._dying.gone():
            self._say(answer)
        return others

    def _say(self, answer: dict[str, Any], fds: list[int] | None = None) -> None:
        data = json.dumps(answer).encode()
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # the server is gone
            self._control.sendmsg([data], ancillary)


def _noted(number: int, frame: FrameType | None) -> None:
    """Let a signal write to the wakeup descriptor, which one that is ignored would not."""


def main() -> None:
    """Be the zygote, on the socket that is standard input."""
    linux.set_child_subreaper()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # it ends when the server does
    control = socket.socket(fileno=os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDWR), 0)
    os.chdir("/")
    # A collection in a child would write to every object, and so copy the pages that it shares.
    gc.collect()
    gc.freeze()
    zygote = Zygote(control)
    zygote.run()
    zygote.end()
    sys.exit(0)


if __name__ == "__main__":
    main()
