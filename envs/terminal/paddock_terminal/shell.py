"""A bash that runs commands, says where their output begins and ends, and cannot be lost.

Knows nothing of reinforcement learning: `Shell.run`, `press` and `wait` return a `Reading`.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

import anyio
from anyio import to_thread

from paddock.sandbox.sandbox import Sandbox
from paddock_terminal.boundary import Marker, Scanner, SideFiles
from paddock_terminal.output import Output, Pending
from paddock_terminal.pty import Pty
from paddock_terminal.redraw import without_echo, without_prompt

__all__ = ["Busy", "Reading", "Shell"]

START_S = 10.0  # a shell that shows no prompt by then cannot be started here
HANDSHAKE_S = 1.0  # a shell at its prompt that does not begin a command by then has lost its hooks
LOOK_S = 0.1  # how often to look at the kernel's side while nothing is printed

KEEP_BYTES = 800_000

logger = logging.getLogger(__name__)


class Busy(Exception):
    """A command is still running in the foreground."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What there was to see of an action.

    Attributes:
        head: The beginning of the output, or all of it.
        tail: The end of the output.
        dropped: Bytes missing between the two.
        exit_code: Of the command that ended; ``None`` while one runs, or when nobody can say.
        running: A command is still running.
        timed_out: The time was up before what was waited for.
        background: What came between two commands.
        restarted: The shell had ended and this is another one.
    """

    head: bytes
    tail: bytes
    dropped: int
    exit_code: int | None
    running: bool
    timed_out: bool
    background: bytes
    restarted: bool


class Shell:
    """One bash on one terminal; a new one whenever the old one has ended.

    Args:
        sandbox: Where the shells run.
        env: The shells' whole environment.
        rows: Lines of the window.
        cols: Columns of the window.
    """

    def __init__(
        self,
        sandbox: Sandbox,
        *,
        env: Mapping[str, str],
        rows: int,
        cols: int,
    ) -> None:
        self.rows = rows
        self.cols = cols
        self.cwd = str(sandbox.workspace)
        self.last_exit_code: int | None = None
        self.started = 0
        self.running = False
        self.flooded = False
        self._sandbox = sandbox
        self._env = env
        self._files = SideFiles(sandbox.control)
        self._most = sandbox.limits.output_mb << 20
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._pty: Pty | None = None
        self._printed = 0
        self._restarted = False
        self._reset_stream()

    def _reset_stream(self) -> None:
        self._scanner = Scanner()
        self._pending = Pending()
        self._output = Output(KEEP_BYTES)
        self._between = Output(KEEP_BYTES)
        self._nonce = ""
        self._begun = False
        self._at_prompt = False
        self._ended = False
        self._typed = False
        self._after_typing = bytearray()
        self._last_output = self._loop.time()

    # -- what one can do --------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the shell.

        Raises:
            OSError: There is no bash, or no terminal to be had.
        """
        await to_thread.run_sync(self._files.put_rc)
        argv = ["bash", "--noprofile", "--rcfile", str(self._files.rc), "-i"]
        pty = self._pty = await Pty.spawn(
            self._sandbox, argv, cwd=self.cwd, env=self._env, rows=self.rows, cols=self.cols
        )
        self._reset_stream()
        self.running = False
        self.started += 1
        self._resume()
        pty.on_exit(lambda: self._on_exit(pty))
        with anyio.move_on_after(START_S):
            while not (self._at_prompt or self._ended):
                await self._change(START_S)
        if not self._at_prompt:
            said = bytes(self._between.take(2000)[0])
            await self.close()
            raise OSError(f"bash did not start: {said.decode(errors='replace')!r}")
        self._between.take(KEEP_BYTES)

    async def run(self, command: str, timeout_s: float, limit: int) -> Reading:
        """Run a command and wait for it to end.

        Args:
            command: Any bash text without NUL.
            timeout_s: Seconds to wait; the command goes on afterwards.
            limit: Bytes of output to return.

        Raises:
            Busy: Another command is still running.
            OSError: There is no shell and none can be started.
        """
        deadline = self._loop.time() + timeout_s
        await self._alive()
        if self.running:
            raise Busy
        background = self._take_between()
        if not await self._begin(command):
            # The prologue could not run: no file descriptor left, say. A new shell will do.
            logger.info("a shell could not begin a command; starting another one")
            await self._restart()
            await self._begin(command)
        await self._until_ended(deadline)
        return self._reading(limit, background, deadline)

    async def press(self, keys: bytes, timeout_s: float, quiet_s: float, limit: int) -> Reading:
        """Type something and wait until the terminal is quiet, or the running command ends.

        Raises:
            OSError: There is no shell and none can be started.
        """
        deadline = self._loop.time() + timeout_s
        await self._alive()
        was_running = self.running
        if not was_running:
            self._at_prompt = False
        self._last_output = self._loop.time()
        with anyio.move_on_after(timeout_s):
            assert self._pty is not None
            await self._pty.write(keys)
            self._last_output = self._loop.time()
        await self._until_ended(deadline, quiet_s, idle=not was_running)
        return self._reading(limit, b"", deadline, whole=not was_running)

    async def wait(self, timeout_s: float, quiet_s: float | None, limit: int) -> Reading:
        """Wait for the running command to end; without one, for the terminal to be quiet.

        Raises:
            OSError: There is no shell and none can be started.
        """
        deadline = self._loop.time() + timeout_s
        await self._alive()
        self._last_output = self._loop.time()
        if self.running:
            await self._until_ended(deadline, quiet_s)
            return self._reading(limit, b"", deadline)
        if quiet_s is not None:
            await self._until_ended(deadline, quiet_s, idle=True)
        return self._reading(limit, self._take_between(), deadline)

    async def resize(self, rows: int, cols: int) -> Reading:
        """Change the window's size."""
        self.rows, self.cols = rows, cols
        await self._alive()
        assert self._pty is not None
        self._pty.resize(rows, cols)
        return self._reading(0, b"", float("inf"))

    async def close(self) -> None:
        """Hang the shell up. What it left in the background goes with the sandbox."""
        pty, self._pty = self._pty, None
        if pty is not None:
            self._loop.remove_reader(pty.fd)
            await pty.close()

    # -- commands ---------------------------------------------------------------------------------

    async def _begin(self, command: str) -> bool:
        """Hand a command to the shell. Return whether it took it."""
        assert self._pty is not None
        self._nonce = await to_thread.run_sync(self._files.put, command)
        self._output = Output(KEEP_BYTES)
        self._pending = Pending()
        self.running, self._begun = True, False
        self._typed, self._after_typing = True, bytearray()
        await self._pty.write(self._files.trigger)
        patience = self._loop.time() + HANDSHAKE_S
        while not (self._begun or self._ended):
            await self._change(LOOK_S)
            if self._loop.time() > patience and self._pty.at_line_editor():
                return False
        return True

    async def _until_ended(
        self, deadline: float, quiet_s: float | None = None, *, idle: bool = False
    ) -> None:
        """Wait until the command has ended, the terminal is quiet, or the time is up.

        Args:
            deadline: When the time is up, on the loop's clock.
            quiet_s: Seconds without output that are enough.
            idle: No command is running: only quiet and time count.
        """
        while not (self._ended or self.flooded) and (idle or self.running):
            now = self._loop.time()
            wake = deadline
            if quiet_s is not None:
                wake = min(wake, self._last_output + quiet_s)
            if now >= wake:
                return
            await self._change(min(wake - now, LOOK_S))
            if self.running and self._lost_hooks():
                self._finish(None)
        if self._ended and self._pty is not None:
            self._read_rest()
            self._finish(self._pty.exit_status())
            await self._restart()

    def _lost_hooks(self) -> bool:
        """Return whether the shell reads keys again though it never said that a command ended."""
        quiet = self._loop.time() - self._last_output > LOOK_S / 2
        return quiet and self._begun and self._pty is not None and self._pty.at_line_editor()

    def _finish(self, status: int | None) -> None:
        self.running = False
        self._nonce = ""
        self.last_exit_code = status

    # -- lifetimes --------------------------------------------------------------------------------

    async def _alive(self) -> None:
        self._resume()
        if self._ended:
            await self._restart()
        elif self._pty is None:
            await self.start()

    async def _restart(self) -> None:
        exit_code, output, pending = self.last_exit_code, self._output, self._pending
        await self.close()
        await self.start()
        self._restarted = True
        # The old shell's last words belong to the action that ended it.
        self.last_exit_code, self._output, self._pending = exit_code, output, pending

    # -- the stream -------------------------------------------------------------------------------

    def _resume(self) -> None:
        """Read what is printed, as much as is allowed for one action."""
        self._printed, self.flooded = 0, False
        if self._pty is not None:
            self._loop.add_reader(self._pty.fd, self._read)

    def _read(self) -> None:
        assert self._pty is not None
        data, ended = self._pty.read()
        self._printed += len(data)
        self.flooded = self._printed > self._most
        if ended or self.flooded:
            # Whoever prints more is held up by the terminal, until the next action.
            self._loop.remove_reader(self._pty.fd)
        if data:
            self._last_output = self._loop.time()
            for found in self._scanner.feed(data):
                self._take(found)
        self._changed.set()

    def _read_rest(self) -> None:
        assert self._pty is not None
        ended, rest = False, KEEP_BYTES  # a job in the background may print without an end
        while not ended and rest > 0:
            data, ended = self._pty.read()
            for found in self._scanner.feed(data):
                self._take(found)
            if not data:
                break
            rest -= len(data)
        self._take(self._scanner.rest())

    def _on_exit(self, pty: Pty) -> None:
        if self._pty is pty:
            self._ended = True
            self._changed.set()

    def _take(self, found: bytes | Marker) -> None:
        if isinstance(found, Marker) and found.cwd:
            self.cwd = found.cwd
        match found:
            case bytes():
                if self.running and self._begun:
                    self._output.add(found)
                elif self._typed:
                    self._after_typing += found
                else:
                    self._between.add(found)
            case Marker(kind="C", nonce=self._nonce):
                self._begun = True
                self._typed = False
                self._between.add(without_echo(bytes(self._after_typing), self._files.trigger))
            case Marker(kind="D", nonce=self._nonce, status=status) if self.running:
                self._finish(status)
            case Marker(kind="P", status=status):
                self._at_prompt = True
                if self.running and self._begun:
                    self._finish(status)  # only when the command took the other hook away
                elif not self.running:
                    self.last_exit_code = status
            case _:
                pass  # somebody else's number: an echo of an older command

    async def _change(self, at_most_s: float) -> None:
        self._changed.clear()
        with anyio.move_on_after(at_most_s):
            await self._changed.wait()

    def _take_between(self) -> bytes:
        head, tail, _ = self._between.take(KEEP_BYTES)
        return without_prompt(head + tail)

    def _reading(
        self, limit: int, background: bytes, deadline: float, *, whole: bool = False
    ) -> Reading:
        if whole:
            head, tail, dropped = self._between.take(limit)
        else:
            head, tail, dropped = self._output.take(limit)
        restarted, self._restarted = self._restarted, False
        if dropped:
            self._pending = Pending()
        else:
            head, tail = self._pending.cut(head + tail, final=not self.running), b""
        return Reading(
            head=head,
            tail=tail,
            dropped=dropped,
            exit_code=None if self.running else self.last_exit_code,
            running=self.running,
            timed_out=self.running and self._loop.time() >= deadline,
            background=background,
            restarted=restarted,
        )
