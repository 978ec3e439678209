"""A terminal and the process in front of it. Knows nothing of commands."""

import os
import signal
import termios
from collections.abc import Callable, Mapping, Sequence

import anyio
from pexpect import EOF, TIMEOUT
from pexpect.fdpexpect import fdspawn

from paddock.sandbox.forks import Process
from paddock.sandbox.sandbox import Sandbox

__all__ = ["Pty"]

READ_BYTES = 65_536
READS_AT_ONCE = 64  # then others get their turn
FULL_READ = 2048  # the kernel hands out at most 4 KiB of a terminal at once; much less is the end

HANG_UP_S = 0.2
_CHUNK = 1024  # bytes to write at once; a line's input queue holds 4096


class Pty:
    """A process on a terminal of its own. Made by `spawn`.

    The server makes the terminal and gives it to the session's user: sessions have no terminal
    multiplexer, of which one could take all the machine has.

    pexpect holds the terminal's master side. Its ``expect`` is never used: it blocks, and its
    search costs the square of the output.
    """

    def __init__(self, master: int, process: Process) -> None:
        os.set_blocking(master, False)
        self._terminal: fdspawn[bytes] = fdspawn(
            master, timeout=0, maxread=READ_BYTES, use_poll=True
        )
        self._process = process
        self.fd = master
        self.pid = process.pid

    @classmethod
    async def spawn(
        cls,
        sandbox: Sandbox,
        argv: Sequence[str],
        *,
        cwd: str,
        env: Mapping[str, str],
        rows: int,
        cols: int,
    ) -> "Pty":
        """Start a process on a new terminal.

        Args:
            sandbox: Where it runs.
            argv: The program and its arguments.
            cwd: Its working directory; the root directory when that is gone.
            env: Its whole environment.
            rows: Lines of the window.
            cols: Columns of the window.

        Raises:
            OSError: There is no terminal to be had, or no such program.
        """
        master, slave = os.openpty()
        try:
            termios.tcsetwinsize(slave, (rows, cols))
            _sane(slave)
            os.fchmod(slave, 0o600)  # while it is the server's: afterwards only its owner may
            if sandbox.identity.uid is not None:
                os.fchown(slave, sandbox.identity.uid, -1)
            process = await sandbox.spawn(
                argv, cwd=cwd, env=env, stdio=[slave, slave, slave], tty=True
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        return cls(master, process)

    def on_exit(self, call: Callable[[], None]) -> None:
        """Have something called once the process has ended."""
        self._process.on_exit(call)

    def read(self) -> tuple[bytes, bool]:
        """Read what is there.

        Returns:
            The bytes, and whether the terminal has ended.
        """
        parts: list[bytes] = []
        for _ in range(READS_AT_ONCE):
            try:
                part = self._terminal.read_nonblocking(READ_BYTES, timeout=0)
            except TIMEOUT:
                break
            except EOF:
                return b"".join(parts), True
            parts.append(part)
            if len(part) < FULL_READ:
                break
        return b"".join(parts), False

    async def write(self, data: bytes) -> None:
        """Type something. Waits while the program reads nothing of it."""
        while data:
            try:
                data = data[self._terminal.send(data[:_CHUNK]) :]
            except BlockingIOError:
                await anyio.wait_writable(self.fd)
            except OSError:  # the program has ended: its terminal is gone
                return

    def resize(self, rows: int, cols: int) -> None:
        """Change the window's size; the foreground process group gets SIGWINCH."""
        termios.tcsetwinsize(self.fd, (rows, cols))

    def foreground(self) -> int:
        """Return the foreground process group, or 0 when there is none."""
        try:
            return os.tcgetpgrp(self.fd)
        except OSError:
            return 0

    def at_line_editor(self) -> bool:
        """Return whether the first process itself reads keys: a shell that shows its prompt."""
        try:
            local = termios.tcgetattr(self.fd)[3]
        except termios.error:
            return False
        return self.foreground() == self.pid and not local & termios.ICANON

    def exit_status(self) -> int | None:
        """Return the exit status once the process has ended: 128 + n after signal n."""
        code = self._process.returncode
        return 128 - code if code is not None and code < 0 else code

    async def close(self) -> None:
        """Hang up: the process and its foreground job get SIGHUP, and SIGKILL if it stays."""
        self._terminal.close()
        if self._process.returncode is None:
            with anyio.move_on_after(HANG_UP_S):
                await self._process.wait()
        if self._process.returncode is None:
            await self._process.send_signal(signal.SIGKILL)
        self._process.close()


def _sane(fd: int) -> None:
    """Set up line discipline: no flow control, which C-s would freeze everything with; UTF-8."""
    attributes = termios.tcgetattr(fd)
    attributes[0] &= ~(termios.IXON | termios.IXOFF)
    attributes[0] |= getattr(termios, "IUTF8", 0x4000)
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
