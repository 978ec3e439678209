"""One sandbox: the processes and files of an episode, behind the walls of a level."""

import contextlib
import logging
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import anyio
from anyio import to_thread

from paddock.limits import Limits
from paddock.sandbox.cgroup import Cgroup
from paddock.sandbox.confinement import Confinement, Launch, Level, Profile
from paddock.sandbox.exits import Exits, WayOut
from paddock.sandbox.files import Identity, SandboxFiles
from paddock.sandbox.forks import Forks, Process
from paddock.sandbox.namespaces import Anchor
from paddock.sandbox.rules import CONTROL, WRITABLE

__all__ = ["Closable", "Sandbox"]

logger = logging.getLogger(__name__)


class Closable(Protocol):
    """What an environment runs in a sandbox, and lets go of when that is closed."""

    async def close(self) -> None:
        """Let go of it."""


class Sandbox:
    """What belongs to one episode. Made by `Sandboxes.open` or taken from its pool.

    Attributes:
        name: Random; nobody in another sandbox can guess it.
        path: The directory that holds all of it. What its processes can write to is in there.
        workspace: Where the agent works.
        control: Files of the server's, which the processes can read and not change.
        files: The only way the server touches what is in the workspace.
        limits: What its processes may use.
        cgroup: Its control group, where it has one.
        first: What was started in it before anybody asked, if it was.
        expired: The episode has used up its time; nothing can be started in it any more.
    """

    def __init__(
        self,
        path: Path,
        confinement: Confinement,
        limits: Limits,
        profile: Profile,
        forks: Forks,
        exits: Exits,
        way_out: WayOut,
        cgroup: Cgroup | None,
        *,
        on_start: Callable[["Sandbox", int], None],
        on_close: Callable[["Sandbox"], Awaitable[None]],
    ) -> None:
        self.name = path.name
        self.path = path
        self.workspace = path / "workspace"
        self.control = path / CONTROL
        self.limits = limits
        self.confinement = confinement
        self.identity = Identity(confinement.uid, confinement.uid)
        self.files = SandboxFiles(self.workspace, self.identity)
        self.expired = False
        self.cgroup = cgroup
        self.first: Closable | None = None
        self._memory_kills = 0
        self.forks = forks
        self._profile = profile
        self._exits = exits
        self._way_out = way_out
        self._on_start = on_start
        self._on_close = on_close
        self._anchor: Anchor | None = None
        self._exceeded: str | None = None
        self._closed = False
        self._changing = anyio.Lock()  # nothing is started while all is being killed

    @property
    def places(self) -> tuple[Path, ...]:
        """The directories its processes can write to."""
        return tuple(self.path / part for part in WRITABLE)

    def environment(self, **more: str) -> dict[str, str]:
        """Return an environment for its processes; nothing of the server's is in it.

        Where there is a proxy, `spawn` adds what leads to it.
        """
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
            TimeoutError: The episode's time is up.
        """
        if self.expired:
            raise TimeoutError(f"the episode's time is up: {self.limits.wall_s:g} s")
        await self.prepare()
        environment = dict(self.environment() if env is None else env)
        # Known only now: whenever the namespaces are made anew, the proxy has another port there.
        if self._way_out.proxy is not None:
            environment |= _proxy_variables(self._way_out.proxy)
        launch = Launch(self.name, tuple(argv), environment, cwd or str(self.workspace), tty)
        null = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        try:
            process = await self.forks.spawn(launch, [null, null, null] if stdio is None else stdio)
        finally:
            os.close(null)
        self._on_start(self, process.pid)
        return process

    async def prepare(self) -> None:
        """Have all in place that a first process needs, so that it starts sooner.

        Raises:
            OSError: The level's walls cannot be made.
        """
        async with self._changing:
            if self.confinement.level is not Level.NAMESPACES:
                return
            if self._anchor is not None and self._anchor.ended:
                await self._anchor.close()
                self._anchor = None
            if self._anchor is None:
                self._anchor = await Anchor.start(
                    self.forks, self.path, self.confinement, self._profile, self.limits
                )
                if self.limits.network == "allowlist":
                    await self._exits.enter(self._way_out, self.forks)

    def exceed(self, what: str) -> None:
        """Note that its processes are ended because of a limit."""
        self._exceeded = what

    def take_exceeded(self) -> str | None:
        """Return the limit that ended its processes since the last call, in words."""
        exceeded, self._exceeded = self._exceeded, None
        return exceeded

    async def lost_for_memory(self) -> bool:
        """Return whether the kernel has ended a process for want of memory since the last call.

        Only a control group tells. Without one the watch ends all processes, and notes it.
        """
        if self.cgroup is None:
            return False
        before = self._memory_kills
        self._memory_kills = await to_thread.run_sync(self.cgroup.oom_kills)
        return self._memory_kills > before

    async def kill(self) -> None:
        """Kill all its processes and wait until nothing is left of them.

        Raises:
            OSError: Something did not die within five seconds.
        """
        async with self._changing:
            anchor, self._anchor = self._anchor, None
            try:
                await self.forks.kill(self.name)
            finally:
                if anchor is not None:
                    await anchor.close()

    async def close(self) -> None:
        """Kill its processes and remove its files; the removal goes on in the background."""
        if self._closed:
            return
        self._closed = True
        with anyio.CancelScope(shield=True):
            try:
                await self.kill()
            except OSError as exc:
                logger.error("sandbox %s: %s", self.name, exc)
            if self.first is not None:
                await self.first.close()
            self._exits.drop(self.name)
            await self._way_out.close()
            with contextlib.suppress(OSError):  # the zygote may be gone, and all of it with it
                await self.forks.forget(self.name)
            await self.files.close()
            await self._on_close(self)


def _proxy_variables(url: str) -> dict[str, str]:
    names = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
    return {**dict.fromkeys(names, url), "no_proxy": "", "NO_PROXY": ""}
