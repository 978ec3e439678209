"""All sandboxes of one server: made, kept ready, watched over, and gone with it."""

import asyncio
import contextlib
import logging
import os
import secrets
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
from anyio.abc import TaskGroup

from paddock.limits import Limits
from paddock.sandbox import linux, threads
from paddock.sandbox.cgroup import Cgroup
from paddock.sandbox.confine import confinement_of
from paddock.sandbox.confinement import Level, Profile
from paddock.sandbox.directories import Root, default_root
from paddock.sandbox.exits import Exits
from paddock.sandbox.forks import Forks
from paddock.sandbox.identities import Identities
from paddock.sandbox.keeper import Keeper
from paddock.sandbox.leftovers import SHARED, sweep_shared
from paddock.sandbox.pool import First, Kind, Pool
from paddock.sandbox.sandbox import Sandbox
from paddock.sandbox.watch import Watch, Watched

__all__ = ["Sandboxes"]

STOP_S = 2.0
END_S = 15.0  # more than any request to the zygote takes
REPAIR_S = 0.5

logger = logging.getLogger(__name__)


class Sandboxes:
    """Makes sandboxes. Use `serving` for its lifetime.

    Attributes:
        level: What separates them.
        profile: What the environment asked for.
    """

    def __init__(
        self,
        level: Level,
        profile: Profile,
        root: Root,
        keeper: Keeper,
        identities: Identities | None,
        tasks: TaskGroup,
    ) -> None:
        self.level = level
        self.profile = profile
        self._keeper = keeper
        self._root = root
        self._identities = identities
        self._abi = linux.landlock_abi()
        self._tasks = tasks
        self._open: dict[str, Sandbox] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}
        self._pool = Pool(self.open)
        self._exits = Exits(level, self._session_of_uid, self._limits_of)
        loop = asyncio.get_running_loop()

        def exceeded(name: str, what: str) -> None:
            loop.call_soon_threadsafe(self._on_exceeded, name, what)

        self._watch = Watch(exceeded)

    @classmethod
    @asynccontextmanager
    async def serving(
        cls, level: Level, profile: Profile | None = None, *, root: Path | None = None
    ) -> AsyncGenerator["Sandboxes"]:
        """Run a zygote for as long as the block lasts; close all sandboxes after it.

        Args:
            level: What is to separate them; it has been probed.
            profile: What the environment asks for.
            root: The directory to hold theirs; made if it is missing, `default_root` by default.
                Its parents must let the sessions' users through.

        Raises:
            OSError: The zygote cannot be started, or the root not be made.
        """
        separate = _separate(level)
        identities = await threads.run_sync(Identities) if separate else None
        directory = await threads.run_sync(lambda: Root(root or default_root(), separate=separate))
        failure: Exception | None = None
        try:
            async with Keeper.running() as keeper, anyio.create_task_group() as tasks:
                self = cls(level, profile or Profile(), directory, keeper, identities, tasks)
                async with self._running():
                    # Kept out of the task group, which would wrap it up.
                    try:
                        yield self
                    except Exception as exc:  # noqa: BLE001
                        failure = exc
        finally:
            with anyio.CancelScope(shield=True):
                await threads.run_sync(directory.close)
        if failure is not None:
            raise failure

    @asynccontextmanager
    async def _running(self) -> AsyncGenerator[None]:
        background, ended = anyio.CancelScope(), anyio.Event()

        async def run() -> None:
            try:
                with background:
                    async with anyio.create_task_group() as own:
                        own.start_soon(self._pool.run, name="sandbox pool")
                        own.start_soon(self._exits.run, name="sandbox exits")
                        own.start_soon(self._root.sweep, name="sandbox sweep")
                        own.start_soon(self._keeper.keep, self._on_replaced, name="zygote")
                        if self._identities is None:
                            own.start_soon(self._keep_root, name="sandbox root")
            finally:
                ended.set()

        self._tasks.start_soon(run, name="sandboxes")
        self._watch.start()
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                background.cancel()
                with anyio.move_on_after(END_S):  # the pool may be about to finish one more
                    await ended.wait()
                async with anyio.create_task_group() as closing:
                    for sandbox in list(self._open.values()):
                        closing.start_soon(sandbox.close)
                await threads.run_sync(self._watch.stop)
            # Removals get a moment more; what they leave, the next server's sweep removes.
            self._tasks.cancel_scope.deadline = anyio.current_time() + STOP_S

    # -- making -----------------------------------------------------------------------------------

    async def take(
        self,
        limits: Limits | None = None,
        template: Path | None = None,
        *,
        first: First | None = None,
    ) -> Sandbox:
        """Return a sandbox with a workspace that nobody has used; a ready one, as a rule.

        Args:
            limits: What its processes may use.
            template: A directory whose content the workspace begins with.
            first: Starts what is always run in one. In a sandbox that was ready it has been called
                already, and `Sandbox.first` is what it returned.

        Raises:
            ConfigurationError: This level cannot give what the limits ask for.
            OSError: It cannot be made, or the template not be read.
        """
        sandbox = await self._pool.take(Kind(limits or Limits(), template, first))
        if (wall_s := sandbox.limits.wall_s) is not None:
            self._timers[sandbox.name] = asyncio.get_running_loop().call_later(
                wall_s, self._on_expired, sandbox
            )
        return sandbox

    async def open(self, limits: Limits | None = None) -> Sandbox:
        """Make a sandbox with an empty workspace. Raises as `take` does."""
        limits = limits or Limits()
        uid, reaper = self._identities.take() if self._identities else (None, None)
        name = secrets.token_hex(16)
        way_out = await self._exits.prepare(name, limits)
        confinement = confinement_of(
            self.level,
            self.profile,
            limits,
            self._root.path / name,
            uid=uid,
            reaper=reaper,
            abi=self._abi,
            ports=way_out.ports,
            closed_ports=way_out.closed_ports,
        )
        # Not to be cancelled half-way, with something left that nobody knows of.
        with anyio.CancelScope(shield=True):
            path, cgroup = await threads.run_sync(self._make, name, uid, limits)
            if uid is None:  # it is by its own zygote that a session's processes are known then
                forks = await self._keeper.forks.open_own(name, confinement)
            else:
                forks = self._keeper.forks
                await forks.open(name, confinement)
            sandbox = self._open[name] = Sandbox(
                path, confinement, limits, self.profile, forks, self._exits, way_out, cgroup,
                on_start=self._started, on_close=self._closed,
            )  # fmt: skip
            shared = SHARED if self.level is Level.UID else ()
            self._watch.add(Watched(name, uid, forks.pid, limits, sandbox.places, shared))
            return sandbox
        raise AssertionError("a shielded scope ends by itself")

    def _make(self, name: str, uid: int | None, limits: Limits) -> tuple[Path, Cgroup | None]:
        return self._root.make(name, uid), Cgroup.make(name, limits)

    def _started(self, sandbox: Sandbox, pid: int) -> None:
        # Beside and not before the start, which it would hold up. What a process forks before it is
        # in the group is not in there; the watch counts it nevertheless.
        if sandbox.cgroup is not None:
            self._tasks.start_soon(_attach, sandbox.cgroup, pid, name=f"cgroup {sandbox.name}")

    async def discard(self, sandbox: Sandbox) -> None:
        """Kill all that runs in a sandbox; the rest of closing it goes on in the background.

        Raises:
            OSError: Something did not die within five seconds; it is tried again.
        """
        try:
            await sandbox.kill()
        finally:
            self._tasks.start_soon(sandbox.close, name=f"close {sandbox.name}")

    async def _closed(self, sandbox: Sandbox) -> None:
        """Take a closed sandbox's directory away."""
        self._open.pop(sandbox.name, None)
        if (timer := self._timers.pop(sandbox.name, None)) is not None:
            timer.cancel()
        self._watch.remove(sandbox.name)
        if sandbox.identity.uid is None:
            sandbox.forks.close()
        await threads.run_sync(sweep_shared, sandbox.identity)
        if sandbox.cgroup is not None:
            await threads.run_sync(sandbox.cgroup.remove)
        with contextlib.suppress(FileNotFoundError):
            trash = await threads.run_sync(self._root.discard, sandbox.name)
            self._tasks.start_soon(self._remove, trash, sandbox, name=f"remove {trash.name}")

    async def _remove(self, trash: Path, sandbox: Sandbox) -> None:
        gone = await self._root.remove(trash, sandbox.identity)
        uid, reaper = sandbox.confinement.uid, sandbox.confinement.reaper
        if gone and self._identities and uid is not None and reaper is not None:
            self._identities.give_back(uid, reaper)

    # -- watching ---------------------------------------------------------------------------------

    def _on_exceeded(self, name: str, what: str) -> None:
        sandbox = self._open.get(name)
        if sandbox is not None:
            logger.info("sandbox %s: %s", name, what)
            sandbox.exceed(what)
            self._tasks.start_soon(self._punish, sandbox, name=f"kill {name}")

    def _on_expired(self, sandbox: Sandbox) -> None:
        sandbox.expired = True
        wall_s = sandbox.limits.wall_s
        self._on_exceeded(sandbox.name, f"time: the episode has lasted the {wall_s:g} s allowed")

    async def _punish(self, sandbox: Sandbox) -> None:
        try:
            await sandbox.kill()
        except OSError as exc:
            logger.error("sandbox %s: %s", sandbox.name, exc)
        self._watch.forgive(sandbox.name)

    def _limits_of(self, name: str) -> Limits | None:
        sandbox = self._open.get(name)
        return None if sandbox is None else sandbox.limits

    async def _on_replaced(self, forks: Forks) -> None:
        """Go on with another zygote; what the old one had started is gone, or is killed."""
        for sandbox in list(self._open.values()):
            if sandbox.identity.uid is not None:  # without, each has a zygote of its own
                await forks.open(sandbox.name, sandbox.confinement)
                sandbox.forks = forks
                await self._punish(sandbox)
                sandbox.exceed("the server lost its hold on the processes and ended them")

    async def _keep_root(self) -> None:
        while True:
            await anyio.sleep(REPAIR_S)
            await threads.run_sync(self._root.repair)

    def _session_of_uid(self, uid: int) -> str | None:
        for name, sandbox in self._open.items():
            if sandbox.identity.uid == uid:
                return name
        return None


async def _attach(cgroup: Cgroup, pid: int) -> None:
    try:
        await threads.run_sync(cgroup.attach, pid)
    except OSError as exc:  # it has ended already
        logger.debug("process %d was not moved: %s", pid, exc)


def _separate(level: Level) -> bool:
    """Return whether each sandbox gets a user of its own."""
    return level in (Level.UID, Level.NAMESPACES) and os.geteuid() == 0
