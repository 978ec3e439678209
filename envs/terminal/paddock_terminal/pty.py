"""A terminal and the process in front of it. Knows nothing of commands."""

import contextlib
import os
import signal
import subprocess
import termios
from collections.abc import Mapping
from pathlib import Path

import anyio
from pexpect import EOF, TIMEOUT
from pexpect.fdpexpect import fdspawn

__all__ = ["Pty"]

READ_BYTES = 65_536
READS_AT_ONCE = 64  # then others get their turn
FULL_READ = 2048  # the kernel hands out at most 4 KiB of a terminal at once; much less is the end

_CHUNK = 1024  # bytes to write at once; a line's input queue holds 4096


class Pty:
    """A process on a terminal of its own.

    pexpect holds the terminal's master side. Its ``expect`` is never used: it blocks, and its
    search costs the square of the output.

    Args:
        argv: The program and its arguments.
        cwd: Its working directory; the root directory when that is gone.
        env: Its whole environment.
        rows: Lines of the window.
        cols: Columns of the window.
    """

    def __init__(
        self, argv: list[str], *, cwd: str, env: Mapping[str, str], rows: int, cols: int
    ) -> None:
        master, slave = os.openpty()
        try:
            termios.tcsetwinsize(slave, (rows, cols))
            _sane(slave)
            # `setsid -c` makes the slave the controlling terminal; a `preexec_fn` could as well,
            # but forking Python code from a threaded server can deadlock.
            self._process = subprocess.Popen(
                ["setsid", "-c", *argv],
                stdin=slave,
                stdout=slave,
                stderr=slave,
                cwd=cwd if Path(cwd).is_dir() else "/",
                env=dict(env),
            )
        except BaseException:
            os.close(master)
            raise
        finally:
            os.close(slave)
        os.set_blocking(master, False)
        self._terminal: fdspawn[bytes] = fdspawn(
            master, timeout=0, maxread=READ_BYTES, use_poll=True
        )
        self.fd = master
        self.pid = self._process.pid
        self.pidfd = os.pidfd_open(self.pid)

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

    def cwd(self) -> str | None:
        """Return the process's working directory, or nothing when it has ended."""
        try:
            return str(Path(f"/proc/{self.pid}/cwd").readlink()).removesuffix(" (deleted)")
        except OSError:
            return None

    def exit_status(self) -> int | None:
        """Return the exit status once the process has ended: 128 + n after signal n."""
        code = self._process.poll()
        return 128 - code if code is not None and code < 0 else code

    def kill(self) -> None:
        """Kill everything that belongs to the terminal's session, and close it."""
        for pid in _members(self.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        os.close(self.pidfd)
        self._terminal.close()


def _sane(fd: int) -> None:
    """Set up line discipline: no flow control, which C-s would freeze everything with; UTF-8."""
    attributes = termios.tcgetattr(fd)
    attributes[0] &= ~(termios.IXON | termios.IXOFF)
    attributes[0] |= getattr(termios, "IUTF8", 0x4000)
    termios.tcsetattr(fd, termios.TCSANOW, attributes)


def _members(session: int) -> list[int]:
    """Return the processes of a session, by what the kernel says."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                if os.getsid(int(entry.name)) == session:
                    found.append(int(entry.name))
    return found
