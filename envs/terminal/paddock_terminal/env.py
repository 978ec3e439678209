"""The terminal environment: a shell in a workspace of its own, an episode at a time."""

import logging
import signal
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from paddock.environment import Context, Environment
from paddock.errors import ConfigurationError, InvalidMessage, NotAvailable
from paddock.evaluation import AROUND_S, Check, evaluate
from paddock.sandbox.sandbox import Sandbox
from paddock.staging import restore, stage, template_of
from paddock.tasks import Task, TaskSet, resolution, select
from paddock.types import Episode
from paddock_terminal import SPEC
from paddock_terminal.keys import encode
from paddock_terminal.models import (
    Resize,
    Run,
    SendKeys,
    TerminalAction,
    TerminalObservation,
    TerminalOptions,
    TerminalState,
    Wait,
)
from paddock_terminal.output import plain
from paddock_terminal.shell import Busy, Reading, Shell

__all__ = ["TASKS", "TerminalEnv"]

TASKS = TaskSet(Path(__file__).parent / "tasks")

START_S = 10.0
MARGIN_S = 2.0  # between a command's time limit and the server's ceiling of a step

logger = logging.getLogger(__name__)

BUSY = (
    "a command is still running: wait for it (wait), answer it (send_keys),"
    ' or stop it (send_keys ["C-c"])'
)


class TerminalEnv(Environment[TerminalAction, TerminalObservation, TerminalOptions]):
    """One shell on one terminal. What an agent does wrong is an observation, never an error."""

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self._sandbox: Sandbox | None = None
        self._shell: Shell | None = None
        self._task: Task | None = None
        self._resolved: dict[str, Any] = {}
        self._steps = 0

    async def reset(self, episode: Episode[TerminalOptions]) -> TerminalObservation:
        """Begin with a new shell in a new workspace, with the task's files in it."""
        task = await to_thread.run_sync(select, TASKS, episode.options)
        resolved = await to_thread.run_sync(resolution, task, SPEC.name, SPEC.version, episode.seed)
        shell, sandbox = self._shell, self._sandbox
        self._shell = self._sandbox = self._task = None
        failure: Exception | None = None
        # The old sandbox goes while the new one comes: they have nothing in common.
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._replace, shell, sandbox)
            try:
                await self._begin(episode, task)
            except Exception as exc:  # noqa: BLE001
                failure = exc  # kept out of the task group, which would wrap it up
        if failure is not None:
            raise failure
        self._resolved, self._steps = resolved, 0
        return TerminalObservation(
            cwd=self._cwd,
            instruction=self._task.instruction if self._task else None,
            metadata=resolved if self._task else {},
        )

    async def step(self, action: TerminalAction) -> TerminalObservation:
        """Carry out one action."""
        allowed = self._task.max_steps if self._task else None
        if allowed is None:
            return await self._carry_out(action)
        if self._steps >= allowed:
            return TerminalObservation(cwd=self._cwd, done=True, error=f"all {allowed} steps taken")
        self._steps += 1
        observation = await self._carry_out(action)
        observation.done = observation.done or self._steps == allowed
        return observation

    async def _carry_out(self, action: TerminalAction) -> TerminalObservation:
        shell = self._shell
        assert shell is not None, "the session resets before the first step"
        try:
            match action:
                case Run():
                    limit_s = self._within_ceiling(action.timeout_s)
                    reading = await shell.run(action.command, limit_s, action.max_output_bytes)
                    return await self._observe(reading, action)
                case SendKeys():
                    keys = b"".join(map(encode, action.keys))
                    limit_s = self._within_ceiling(action.timeout_s)
                    reading = await shell.press(
                        keys, limit_s, action.quiet_s, action.max_output_bytes
                    )
                    return await self._observe(reading, action)
                case Wait():
                    limit_s = self._within_ceiling(action.timeout_s)
                    reading = await shell.wait(limit_s, action.quiet_s, action.max_output_bytes)
                    return await self._observe(reading, action)
                case Resize():
                    reading = await shell.resize(action.rows, action.cols)
                    return await self._observe(reading, None)
        except Busy:
            return TerminalObservation(running=True, cwd=shell.cwd, error=BUSY)
        except OSError as exc:
            over = self._sandbox is not None and self._sandbox.expired
            return TerminalObservation(
                cwd=shell.cwd,
                error=f"no shell can be started: {exc}",
                limit=self._take_exceeded(),
                done=over,
            )

    async def state(self) -> TerminalState:
        """Return what a trainer may inspect."""
        shell, task = self._shell, self._task
        if shell is None:  # closing
            return TerminalState()
        return TerminalState(
            **self._resolved,
            instruction=task.instruction if task else None,
            cwd=shell.cwd,
            running=shell.running,
            last_exit_code=shell.last_exit_code,
            rows=shell.rows,
            cols=shell.cols,
            shells_started=shell.started,
            workspace=str(self._sandbox.workspace) if self._sandbox else "",
        )

    async def evaluate(self) -> TerminalObservation:
        """Kill the shell and judge the workspace that it leaves behind by the task's check."""
        task, shell, sandbox = self._task, self._shell, self._sandbox
        if task is None or not task.scored or shell is None or sandbox is None:
            raise NotAvailable("this episode has no check: reset with a task that carries one")
        sandboxes = self.context.sandboxes
        assert sandboxes is not None, "there is a sandbox"
        await shell.close()
        await sandbox.kill()
        try:
            await restore(task, sandbox)
        except OSError as exc:
            why = {"exit_code": None, "error": f"the protected files cannot be put back: {exc}"}
            return TerminalObservation(done=True, metadata={"check": why})
        check = await to_thread.run_sync(Check.of_task, task.folder)
        verdict = await evaluate(
            check,
            sandbox,
            sandboxes,
            env={"TERM": "dumb", "PAGER": "cat"},
            limit_s=max(self.context.evaluate_limit_s - AROUND_S, MARGIN_S),
        )
        return TerminalObservation(
            output=plain(verdict.output),
            done=True,
            reward=verdict.reward,
            metadata=verdict.as_metadata(),
        )

    async def close(self) -> None:
        """Kill all that runs and remove the workspace."""
        shell, sandbox = self._shell, self._sandbox
        self._shell = self._sandbox = None
        await _discard(shell, sandbox)

    # -- the parts --------------------------------------------------------------------------------

    @property
    def _cwd(self) -> str:
        return self._shell.cwd if self._shell else ""

    async def _begin(self, episode: Episode[TerminalOptions], task: Task | None) -> None:
        sandboxes, options = self.context.sandboxes, episode.options
        if sandboxes is None:
            raise ConfigurationError(
                "a terminal needs sandboxes: serve it, or construct it with a Context that has them"
            )
        template = await to_thread.run_sync(template_of, task)
        limits = self.context.limits
        if options.limits is not None:
            limits = limits.model_copy(update=options.limits.model_dump(exclude_unset=True))
        try:
            sandbox = self._sandbox = await sandboxes.take(limits, template, first=_start_shell)
        except ConfigurationError as exc:
            raise InvalidMessage(str(exc), errors=[]) from exc
        shell = sandbox.first if isinstance(sandbox.first, Shell) else await _start_shell(sandbox)
        self._shell = shell
        if (shell.rows, shell.cols) != (options.rows, options.cols):
            await shell.resize(options.rows, options.cols)
        if episode.seed is not None:
            await shell.run(f"RANDOM={episode.seed % 32768}", START_S, 0)
        self._task = await stage(
            task,
            sandbox,
            options,
            env=_environment(sandbox),
            limit_s=max(self.context.step_limit_s - MARGIN_S, MARGIN_S),
        )

    async def _replace(self, shell: Shell | None, sandbox: Sandbox | None) -> None:
        """End the old episode: nothing of it runs any more when this returns."""
        if sandbox is not None and self.context.sandboxes is not None:
            try:
                await self.context.sandboxes.discard(sandbox)
            except OSError as exc:
                logger.error("sandbox %s: %s", sandbox.name, exc)
        if shell is not None:
            await shell.close()

    def _take_exceeded(self) -> str | None:
        return self._sandbox.take_exceeded() if self._sandbox is not None else None

    async def _limit_of(self, reading: Reading) -> str | None:
        """Return which limit an action ran into, in words."""
        if (what := self._take_exceeded()) is not None:
            return what
        assert self._sandbox is not None
        limits = self._sandbox.limits
        if self._shell is not None and self._shell.flooded:
            return (
                f"output: more than {limits.output_mb} MiB since the last action; whoever prints it"
                " is held up until the next one"
            )
        # Whoever waited for the process that was ended goes on, or says so in its own way.
        if reading.exit_code != 0 and await self._sandbox.lost_for_memory():
            return f"memory: {limits.memory_mb} MiB allowed; the kernel ended a process"
        if reading.exit_code == 128 + signal.SIGXCPU and limits.cpu_s is not None:
            return f"CPU time: a process used the {limits.cpu_s} s allowed"
        if reading.exit_code == 128 + signal.SIGXFSZ:
            return f"file size: a file reached the {limits.file_mb} MiB allowed"
        return None

    def _within_ceiling(self, timeout_s: float) -> float:
        return min(timeout_s, max(self.context.step_limit_s - MARGIN_S, MARGIN_S))

    async def _observe(
        self, reading: Reading, action: Run | SendKeys | Wait | None
    ) -> TerminalObservation:
        raw = action is not None and action.raw
        output = plain(reading.head, raw=raw)
        if reading.dropped:
            output += f"\n[... {reading.dropped} bytes dropped ...]\n"
            output += plain(reading.tail, raw=raw)
        return TerminalObservation(
            output=output,
            exit_code=reading.exit_code,
            running=reading.running,
            timed_out=reading.timed_out,
            background_output=plain(reading.background),
            cwd=self._cwd,
            limit=await self._limit_of(reading),
            dropped_bytes=reading.dropped,
            shell_restarted=reading.restarted,
        )


async def _start_shell(sandbox: Sandbox) -> Shell:
    options = TerminalOptions()
    shell = Shell(sandbox, env=_environment(sandbox), rows=options.rows, cols=options.cols)
    await shell.start()
    return shell


async def _discard(shell: Shell | None, sandbox: Sandbox | None) -> None:
    if sandbox is not None:
        await sandbox.close()
    if shell is not None:
        await shell.close()


def _environment(sandbox: Sandbox) -> dict[str, str]:
    """Return the whole environment of a session's processes: nothing of the server's is in it."""
    return sandbox.environment(
        TERM="xterm-256color",
        # Nobody is there to leave a pager; HISTCONTROL keeps our own line out of the history.
        GIT_PAGER="cat",
        HISTCONTROL="ignorespace",
        PAGER="cat",
    )
