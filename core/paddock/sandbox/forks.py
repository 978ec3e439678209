"""The server's end of the zygote: requests out, answers and exits in, on the event loop."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from paddock.sandbox.confinement import Confinement, Launch
from paddock.sandbox.zygote import MAX_MESSAGE

__all__ = ["Forks", "Process", "start_zygote"]

REQUEST_S = 10.0

_MAIN = (
    "import sys; sys.path.insert(0, sys.argv[1]); from paddock.sandbox.zygote import main; main()"
)
_EMPTY = {"PATH": "/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8"}


class Process:
    """A process of a session.

    Attributes:
        pid: Its process id, as the server sees it.
        pidfd: Refers to it and to no later process of that id; readable when it has ended.
        returncode: Its exit status, or minus the signal that ended it; ``None`` while it runs.
    """

    def __init__(
        self,
        pid: int,
        pidfd: int,
        ended: "asyncio.Future[int]",
        signal: Callable[[int, int], Awaitable[None]],
    ) -> None:
        self.pid = pid
        self.pidfd = pidfd
        self._ended = ended
        self._signal = signal

    @property
    def returncode(self) -> int | None:
        return self._ended.result() if self._ended.done() else None

    async def wait(self) -> int:
        """Wait for its end and return its exit status, or minus the signal that ended it."""
        return await asyncio.shield(self._ended)

    def on_exit(self, call: Callable[[], None]) -> None:
        """Have something called on the event loop once it has ended."""
        self._ended.add_done_callback(lambda _: call())

    async def send_signal(self, number: int, *, group: bool = False) -> None:
        """Send a signal to it, or to its process group. Nothing happens when it has ended.

        Raises:
            OSError: The zygote is gone.
        """
        if self.returncode is None or group:
            await self._signal(-self.pid if group else self.pid, number)

    def close(self) -> None:
        """Close the descriptor. The process is not touched."""
        if self.pidfd >= 0:
            os.close(self.pidfd)
            self.pidfd = -1


class Forks:
    """A zygote, or a session's own one, seen from the event loop.

    Args:
        control: The server's end of its socket.
        pid: Its process id.

    Attributes:
        closed: It is gone, or has been let go of.
    """

    def __init__(self, control: socket.socket, pid: int) -> None:
        self.pid = pid
        self.closed = anyio.Event()
        control.setblocking(False)
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._numbers = 0
        self._waiting: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._running: dict[int, asyncio.Future[int]] = {}
        self._loop.add_reader(control.fileno(), self._read)

    async def open(self, session: str, confinement: Confinement) -> None:
        """Tell it how a session is confined.

        Raises:
            OSError: It cannot be: a Landlock rule that the kernel does not take, say.
        """
        await self._request(
            {"op": "open", "session": session, "confinement": confinement.to_json()}
        )

    async def open_own(self, session: str, confinement: Confinement) -> "Forks":
        """Have a zygote forked for one session, and return it. Raises as `open` does."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs, contextlib.ExitStack() as undo:
            undo.callback(ours.close)
            data = {"op": "open", "session": session, "confinement": confinement.to_json()}
            answer = await self._request(data, [theirs.fileno()])
            undo.pop_all()
        return Forks(ours, answer["zygote"])

    async def join(self, session: str, pidfd: int) -> None:
        """Have a session's further processes join the namespaces of a process."""
        await self._request({"op": "join", "session": session}, [pidfd])

    async def listen(self, session: str) -> socket.socket:
        """Return a listening socket on the loopback of a session's own network.

        Raises:
            OSError: It has none, or none can be had.
        """
        self._numbers += 1
        request = json.dumps({"op": "listen", "session": session, "id": self._numbers}).encode()
        _, fds = await self._exchange(self._numbers, request, [])
        return socket.socket(fileno=fds[0])

    async def spawn(self, launch: Launch, stdio: Sequence[int]) -> Process:
        """Start a process.

        Args:
            launch: What to start.
            stdio: Descriptors of its standard input, output and error, and of any others it gets.

        Raises:
            OSError: It could not be started: no such program, a limit, a closed session.
        """
        told, tells = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            self._numbers += 1
            request = launch.to_bytes(self._numbers)
            if len(request) > MAX_MESSAGE:
                raise OSError(7, f"arguments and environment of {len(request)} bytes are too long")
            answer, fds = await self._exchange(self._numbers, request, [*stdio, tells])
            signal = partial(self.signal, launch.session)
            process = Process(answer["pid"], fds[0], answer["ended"], signal)
        except BaseException:
            os.close(told)
            raise
        finally:
            os.close(tells)
        try:
            with anyio.fail_after(REQUEST_S):
                await anyio.wait_readable(told)
            # Closed without a word by the exec.
            if said := os.read(told, 4096):
                number, _, why = said.decode(errors="replace").partition(" ")
                process.close()
                raise OSError(int(number), why)
        finally:
            os.close(told)
        return process

    async def signal(self, session: str, pid: int, number: int) -> None:
        """Send a signal to a process of a session, or with a negative id to a process group.

        The rights are the session's own: it reaches nobody else's, whatever the id.
        """
        await self._request({"op": "signal", "session": session, "pid": pid, "signal": number})

    async def kill(self, session: str) -> None:
        """Kill all of a session and wait until nothing is left of it.

        Raises:
            OSError: Something did not die in time.
        """
        await self._request({"op": "kill", "session": session})

    async def forget(self, session: str) -> None:
        """Forget a session, whose processes have been killed."""
        await self._request({"op": "close", "session": session})

    def close(self) -> None:
        """Close the socket: the zygote kills all it started, and ends."""
        if self._control.fileno() < 0:
            return
        self._loop.remove_reader(self._control.fileno())
        self._control.close()
        self.closed.set()
        gone = ConnectionResetError("the zygote is gone")
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(gone)
        for ended in self._running.values():
            if not ended.done():
                ended.set_result(-9)

    # -- the socket -------------------------------------------------------------------------------

    async def _request(self, data: dict[str, Any], fds: Sequence[int] = ()) -> dict[str, Any]:
        self._numbers += 1
        request = json.dumps({**data, "id": self._numbers}).encode()
        answer, received = await self._exchange(self._numbers, request, fds)
        for fd in received:
            os.close(fd)
        return answer

    async def _exchange(
        self, number: int, request: bytes, fds: Sequence[int]
    ) -> tuple[dict[str, Any], list[int]]:
        future = self._waiting[number] = self._loop.create_future()
        try:
            with anyio.fail_after(REQUEST_S):
                await self._send(request, fds)
                answer, received = await future
        finally:
            self._waiting.pop(number, None)
        if "errno" in answer:
            raise OSError(answer["errno"], answer["error"])
        return answer, received

    async def _send(self, request: bytes, fds: Sequence[int]) -> None:
        while True:
            try:
                socket.send_fds(self._control, [request], list(fds))
            except BlockingIOError:
                await anyio.wait_writable(self._control)
            else:
                return

    def _read(self) -> None:
        while True:
            try:
                data, fds, _, _ = socket.recv_fds(self._control, MAX_MESSAGE, 4)
            except BlockingIOError:
                return
            except ConnectionError:
                data, fds = b"", []
            if not data:
                self.close()
                return
            self._take(json.loads(data), fds)

    def _take(self, answer: dict[str, Any], fds: list[int]) -> None:
        if "exit" in answer:
            self._running.pop(answer["exit"]).set_result(answer["status"])
            return
        if "pid" in answer:
            # Here and not where it is waited for: its exit may be the next message already.
            answer["ended"] = self._running[answer["pid"]] = self._loop.create_future()
        waiting = self._waiting.get(answer["id"])
        if waiting is None or waiting.done():
            for fd in fds:  # whoever asked has been cancelled
                os.close(fd)
        else:
            waiting.set_result((answer, fds))


async def start_zygote() -> tuple[Forks, "subprocess.Popen[bytes]"]:
    """Start a zygote.

    Raises:
        OSError: It cannot be started.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs, contextlib.ExitStack() as undo:
        undo.callback(ours.close)
        # Isolated: nothing of the user's or of the current directory's can get in front of it.
        command = [sys.executable, "-I", "-S", "-c", _MAIN, str(Path(__file__).parents[2])]
        process = await to_thread.run_sync(
            lambda: subprocess.Popen(
                command, stdin=theirs.fileno(), env=_EMPTY, start_new_session=True
            )
        )
        undo.pop_all()
    return Forks(ours, process.pid), process
