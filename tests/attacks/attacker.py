"""The session that attacks, seen from the server."""

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
from tests.attacks.server import Server

from paddock.sandbox.forks import Process
from paddock.sandbox.sandbox import Sandbox

__all__ = ["Attacker"]

PROGRAMS = Path(__file__).parent / "programs"
ATTACK_S = 20.0


class Attacker:
    """Made by `begin`. Its standard input is a terminal, as an agent's is."""

    def __init__(self, sandbox: Sandbox, server: Server) -> None:
        self._sandbox = sandbox
        self._owned = server.owned
        self._process: Process | None = None
        self._commands = -1
        self._answers = -1
        self._said = b""

    @classmethod
    async def begin(cls, sandbox: Sandbox, target: dict[str, Any], server: Server) -> "Attacker":
        """Have an attacker in a sandbox that knows all there is to know but the secrets."""
        self = cls(sandbox, server)
        target = {
            **target,
            "ptmx_device": Path("/dev/ptmx").stat().st_dev,
            "sessions": str(sandbox.path.parent),
        }
        await sandbox.files.copy_in(PROGRAMS)
        await sandbox.files.write("targets.json", json.dumps(target).encode())
        return self

    async def run(self, name: str) -> dict[str, list[str]] | str:
        """Run one attack, and return its answer, or what became of it instead."""
        if self._process is None:
            await self._start()
        os.write(self._commands, f"{name}\n".encode())
        ended = "no answer in time"
        with anyio.move_on_after(ATTACK_S):
            if line := await self._line():
                try:
                    answer = json.loads(line)
                except ValueError:
                    ended = line
                else:
                    return f"ended with status {answer['status']}" if "status" in answer else answer
            else:
                ended = "the attacker has ended"
        # What else it says is an error message, and belongs to this attack.
        os.set_blocking(self._answers, False)
        try:
            ended += os.read(self._answers, 65536).decode(errors="replace")
        except BlockingIOError:
            ended += " (and nothing more)"
        await self._sandbox.kill()
        self._process = None
        return ended

    async def _start(self) -> None:
        self._said = b""
        folder = self._sandbox.workspace
        with ExitStack() as passed:
            master, slave = os.openpty()
            commands, self._commands = os.pipe2(os.O_CLOEXEC)
            self._answers, answers = os.pipe2(os.O_CLOEXEC)
            for fd in (slave, commands, answers):
                passed.callback(os.close, fd)
            for fd in (master, self._commands, self._answers):
                self._owned.callback(os.close, fd)
            self._process = await self._sandbox.spawn(
                ["python3", "-I", "-S", str(folder / "attack.py"), str(folder / "targets.json")],
                stdio=[slave, answers, answers, commands],
                tty=True,
            )
            self._owned.callback(self._process.close)

    async def _line(self) -> str:
        """Return the next line, or an empty text at the end."""
        while b"\n" not in self._said:
            await anyio.wait_readable(self._answers)
            data = os.read(self._answers, 65536)
            if not data:
                return ""
            self._said += data
        line, _, self._said = self._said.partition(b"\n")
        return line.decode(errors="replace")
