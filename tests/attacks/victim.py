"""The session that is attacked: its files, its processes, and what the server keeps for it."""

import ctypes
import json
import os
import secrets
import socket
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import TaskGroup
from tests.attacks.server import Server, answer_on, hear_on

from paddock.sandbox.forks import Process
from paddock.sandbox.sandbox import Sandbox

__all__ = ["Victim"]

PROGRAM = Path(__file__).parent / "programs" / "victim.py"
START_S = 10.0
_IPC_RMID, _IPC_SET, _IPC_STAT = 0, 1, 2


class Victim:
    """Made by `begin`.

    Attributes:
        sandbox: Where it lives.
        facts: What the attacker is told about it.
        events: What its processes said.
        canary: A process that only waits.
    """

    def __init__(self, sandbox: Sandbox, server: Server, tasks: TaskGroup) -> None:
        self.sandbox = sandbox
        self.events: list[dict[str, Any]] = []
        self.facts: dict[str, Any] = {}
        self.canary: Process
        self._server = server
        self._tasks = tasks
        self._owned = server.owned
        self._master = -1

    @classmethod
    async def begin(cls, sandbox: Sandbox, server: Server, tasks: TaskGroup) -> "Victim":
        """Have a victim in a sandbox."""
        self = cls(sandbox, server, tasks)
        server.secrets["the victim's name"] = sandbox.name
        await self._make_files()
        await self._start()
        self._give_ipc()
        return self

    def typed(self) -> str:
        """Return what was written to its terminal."""
        try:
            return os.read(self._master, 65536).decode(errors="replace")
        except (BlockingIOError, OSError):
            return ""

    async def _make_files(self) -> None:
        files = self.sandbox.files
        await files.write("secret.txt", self._server.secret("victim's file").encode())
        for name in ("write-me", "unlink-me", "chmod-me"):
            await files.write(name, b"")
        listed = self._server.secret("victim's directory")
        await files.write(f"{listed}.txt", b"")
        await files.write("victim.py", PROGRAM.read_bytes())
        name = self._server.secret("name in /dev/shm")
        token = secrets.token_hex(8)
        self.facts |= {
            "victim_path": str(self.sandbox.path),
            "victim_workspace": str(self.sandbox.workspace),
            "tmp_name": f"/tmp/attack-{self._server.nonce}-squat",
            "tmp_secret": self._give(f"/tmp/victim-{token}", "victim's file in /tmp"),
            "shm_secret": self._give(f"/dev/shm/{name}", "victim's file in /dev/shm"),
        }

    def _give(self, path: str, where: str) -> str:
        """Make a file that belongs to the victim."""
        with open(path, "x", opener=_private) as file:
            file.write(self._server.secret(where))
        if self.sandbox.identity.uid is not None:
            os.chown(path, self.sandbox.identity.uid, -1)
        self._owned.callback(Path(path).unlink, missing_ok=True)
        return path

    async def _start(self) -> None:
        name = f"victim-{secrets.token_hex(8)}"
        path = str(self.sandbox.workspace / "sock")
        said = self._server.secret("victim's arguments")
        self._server.secrets["victim's memory"] = said
        env = self.sandbox.environment(VICTIM=self._server.secret("victim's environment"))
        self._master, slave = os.openpty()
        os.set_blocking(self._master, False)
        self._owned.callback(os.close, self._master)
        terminal = os.ttyname(slave)
        if self.sandbox.identity.uid is not None:
            os.fchown(slave, self.sandbox.identity.uid, -1)
        os.fchmod(slave, 0o600)
        try:
            victim, ready = await self._spawn("victim", said, name, path, env, slave)
        finally:
            os.close(slave)
        self.canary, _ = await self._spawn("canary", "", name, path, env, None)
        if not ready["sockets"]:
            # Where sessions have no UNIX sockets, the server has some that are called so.
            answer_on("\0" + name, said, self._owned)
            answer_on(path, said, self._owned)
            hearing = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
            hearing.bind("\0" + name + "-dgram")
            hear_on(hearing, lambda text: self.events.append({"text": text}), self._owned)
        self.facts |= {
            "victim_pid": victim.pid,
            "canary_pid": self.canary.pid,
            "victim_memory": ready["memory"],
            "victim_abstract": name,
            "victim_socket": path,
            "victim_pty": terminal,
        }

    async def _spawn(
        self, role: str, said: str, name: str, path: str, env: dict[str, str], tty: int | None
    ) -> tuple[Process, dict[str, Any]]:
        read, write = os.pipe2(os.O_CLOEXEC)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        program = str(self.sandbox.workspace / "victim.py")
        try:
            process = await self.sandbox.spawn(
                ["python3", "-I", "-S", program, role, said, name, path],
                env=env,
                stdio=[null if tty is None else tty, write, write],
                tty=tty is not None,
            )
        finally:
            os.close(write)
            os.close(null)
        self._owned.callback(os.close, read)
        with anyio.fail_after(START_S):
            await anyio.wait_readable(read)
        first = os.read(read, 65536).decode()
        if not first.startswith("{"):
            raise RuntimeError(f"the victim did not start: {first}")
        self._tasks.start_soon(self._listen, read, name="listen to the victim")
        return process, json.loads(first.splitlines()[0])

    async def _listen(self, read: int) -> None:
        while True:
            await anyio.wait_readable(read)
            data = os.read(read, 65536)
            if not data:
                return
            self.events += [json.loads(line) for line in data.splitlines()]

    def _give_ipc(self) -> None:
        """Make a System V segment and hand it to the victim."""
        libc = ctypes.CDLL(None, use_errno=True)
        libc.shmat.restype = ctypes.c_void_p
        shm = libc.shmget(0, 4096, 0o1600)
        self.facts |= {
            "shm_id": shm,
            "shm_key": secrets.randbelow(1 << 30) + 1,
            "mq_name": f"attack-{self._server.nonce}",
        }
        if shm < 0:
            raise OSError(ctypes.get_errno(), "shmget")
        address = libc.shmat(shm, None, 0)
        ctypes.memmove(address, self._server.secret("victim's segment").encode(), 32)
        self._owned.callback(libc.shmctl, shm, _IPC_RMID, None)
        uid = self.sandbox.identity.uid
        if uid is not None:
            data = ctypes.create_string_buffer(256)
            libc.shmctl(shm, _IPC_STAT, data)
            # struct ipc_perm: key, uid, gid, ...
            ctypes.memmove(ctypes.addressof(data) + 4, uid.to_bytes(4, "little"), 4)
            libc.shmctl(shm, _IPC_SET, data)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
