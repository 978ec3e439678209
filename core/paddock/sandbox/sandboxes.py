"""Sandboxes: the processes and files of one episode, behind the walls of a level."""

import contextlib
import logging
import os
import secrets
import subprocess
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread
from anyio.abc import TaskGroup

from paddock.limits import Limits
from paddock.sandbox import linux
from paddock.sandbox.confine import confinement_of
from paddock.sandbox.confinement import Confinement, Launch, Level, Profile
from paddock.sandbox.files import Identity, SandboxFiles, remove_tree
from paddock.sandbox.forks import Forks, Process, start_zygote
from paddock.sandbox.identities import Identities
from paddock.sandbox.namespaces import Anchor

__all__ = ["Sandbox", "Sandboxes"]

REMOVE_S = 2.0  # at a time; between two goes others get the thread
REMOVE_GOES = 60
STOP_S = 5.0

logger = logging.getLogger(__name__)


class Sandbox:
    """What belongs to one episode. Made by `Sandboxes.open`.

    Attributes:
        path: Its own directory; nothing else on the machine can be written to.
        workspace: Where the agent works.
        files: The only way the server touches what is in the workspace.
        limits: What its processes may use.
        exceeded: The limit that ended its processes last, in words; ``None`` otherwise.
    """

    def __init__(
        self,
        sandboxes: "Sandboxes",
        name: str,
        confinement: Confinement,
        limits: Limits,
        forks: Forks,
    ) -> None:
        self.name = name
        self.path = sandboxes.root / name
        self.workspace = self.path / "workspace"
        self.limits = limits
        self.exceeded: str | None = None
        self.confinement = confinement
        self.identity = Identity(confinement.uid, confinement.uid)
        self.files = SandboxFiles(self.workspace, self.identity)
        self._sandboxes = sandboxes
        self._forks = forks
        self._anchor: Anchor | None = None
        self._closed = False
        self._starting = anyio.Lock()

    def environment(self, **more: str) -> dict[str, str]:
        """Return an environment for its processes; nothing of the server's is in it."""
        return {
            "HOME": str(self.path / "home"),
            "LANG": "C.UTF-8",
            "LOGNAME": "agent",
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SHELL": "/bin/bash",
            "TMPDIR": str(self.path / "tmp"),
            "USER": "agent",
            **more,
        }

    async def spawn(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdio: Sequence[int] | None = None,
        tty: bool = False,
    ) -> Process:
        """Start a process.

        Args:
            argv: Program and arguments; the program is looked up in the environment's ``PATH``.
            env: Its whole environment; `environment` by default.
            cwd: Its working directory; the workspace by default.
            stdio: Its standard input, output and error, and further descriptors; ``/dev/null``
                by default.
            tty: Its standard input is a terminal and becomes its controlling terminal.

        Raises:
            OSError: It cannot be started.
        """
        if self.confinement.level is Level.NAMESPACES:
            await self._ensure_anchor()
        environment = dict(self.environment() if env is None else env)
        launch = Launch(self.name, tuple(argv), environment, cwd or str(self.workspace), tty)
        if stdio is not None:
            return await self._forks.spawn(launch, stdio)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            return await self._forks.spawn(launch, [null, null, null])
        finally:
            os.close(null)

    async def kill(self) -> None:
        """Kill all its processes and wait until nothing is left of them.

        Raises:
            OSError: Something did not die within five seconds.
        """
        anchor, self._anchor = self._anchor, None
        try:
            await self._forks.kill(self.name)
        finally:
            if anchor is not None:
                await anchor.close()

    async def close(self) -> None:
        """Kill its processes and remove its files; the removal goes on in the background."""
        if self._closed:
            return
        self._closed = True
        try:
            await self.kill()
            await self._forks.forget(self.name)
        except OSError as exc:
            logger.error("sandbox %s: %s", self.name, exc)
        finally:
            if self._forks is not self._sandboxes.forks:
                self._forks.close()
            await self.files.close()
            self._sandboxes.discard(self)

    async def _ensure_anchor(self) -> None:
        async with self._starting:
            if self._anchor is None or self._anchor.ended:
                self._anchor = await Anchor.start(
                    self._forks, self.name, self.path, self.confinement, self._sandboxes.profile
                )


@dataclass
class Sandboxes:
    """All sandboxes of one server. Use `serving` for its lifetime.

    Attributes:
        level: What separates them.
        profile: What the environment asked for.
        root: The directory that holds theirs.
        forks: The zygote.
    """

    level: Level
    profile: Profile
    root: Path
    forks: Forks
    _identities: Identities | None
    _abi: int
    _tasks: TaskGroup
    _open: set[Sandbox]

    @classmethod
    @asynccontextmanager
    async def serving(
        cls, level: Level, profile: Profile | None = None, *, root: Path
    ) -> AsyncGenerator["Sandboxes"]:
        """Run a zygote for as long as the block lasts; close all sandboxes after it.

        Args:
            level: What is to separate them; it has been probed.
            profile: What the environment asks for.
            root: The directory to hold theirs; made if it is missing. Its parents must let the
                sessions' users through.
        """
        separate = level in (Level.UID, Level.NAMESPACES) and os.geteuid() == 0
        await to_thread.run_sync(_prepare, root, separate)
        forks, process = await start_zygote()
        try:
            async with anyio.create_task_group() as tasks:
                self = cls(
                    level=level,
                    profile=profile or Profile(),
                    root=root,
                    forks=forks,
                    _identities=Identities() if separate else None,
                    _abi=linux.landlock_abi(),
                    _tasks=tasks,
                    _open=set(),
                )
                try:
                    yield self
                finally:
                    with anyio.CancelScope(shield=True):
                        await self._close_all()
        finally:
            forks.close()
            with anyio.CancelScope(shield=True):
                await to_thread.run_sync(_stop, process)
                await to_thread.run_sync(_remove_empty, root)

    async def open(self, limits: Limits | None = None) -> Sandbox:
        """Make a sandbox with an empty workspace.

        Raises:
            ConfigurationError: This level cannot give what the limits ask for.
            OSError: It cannot be made.
        """
        limits = limits or Limits()
        name = secrets.token_hex(16)
        uid, reaper = self._identities.take() if self._identities else (None, None)
        path = self.root / name
        confinement = confinement_of(
            self.level, self.profile, limits, path, uid=uid, reaper=reaper, abi=self._abi
        )
        await to_thread.run_sync(_make, path, uid)
        if self.level in (Level.LANDLOCK, Level.NONE):
            forks = await self.forks.open_own(name, confinement)
        else:
            forks = self.forks
            await forks.open(name, confinement)
        sandbox = Sandbox(self, name, confinement, limits, forks)
        self._open.add(sandbox)
        return sandbox

    def discard(self, sandbox: Sandbox) -> None:
        """Take a closed sandbox's directory away. Called by `Sandbox.close`."""
        self._open.discard(sandbox)
        trash = self.root / f".trash-{sandbox.name}"
        with contextlib.suppress(FileNotFoundError):
            sandbox.path.rename(trash)
            self._tasks.start_soon(_remove, trash, sandbox.identity, name=f"remove {trash.name}")

    async def _close_all(self) -> None:
        async with anyio.create_task_group() as closing:
            for sandbox in list(self._open):
                closing.start_soon(sandbox.close)


def _prepare(root: Path, separate: bool) -> None:
    root.mkdir(parents=True, exist_ok=True)
    # Through, but not in: nobody can list the others' names.
    root.chmod(0o711 if separate else 0o700)


def _make(path: Path, uid: int | None) -> None:
    path.mkdir(mode=0o700)
    for name in ("workspace", "home", "tmp"):
        (path / name).mkdir(mode=0o700)
        if uid is not None:
            os.chown(path / name, uid, uid)
    if uid is not None:
        os.chown(path, uid, uid)


async def _remove(trash: Path, identity: Identity) -> None:
    for _ in range(REMOVE_GOES):
        if await to_thread.run_sync(remove_tree, trash, identity, REMOVE_S):
            return
    logger.error("%s could not be removed in %s s", trash, REMOVE_S * REMOVE_GOES)


def _stop(process: "subprocess.Popen[bytes]") -> None:
    try:
        process.wait(STOP_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _remove_empty(root: Path) -> None:
    with contextlib.suppress(
        OSError
    ):  # what is in there is somebody else's, or still to be removed
        root.rmdir()
