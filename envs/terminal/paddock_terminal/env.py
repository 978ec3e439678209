"""The terminal environment: a shell in a workspace of its own, an episode at a time."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

import anyio
from anyio import to_thread

from paddock.environment import Context, Environment
from paddock.errors import InvalidMessage, NotAvailable
from paddock.tasks import Task, TaskSet
from paddock.types import Episode
from paddock_terminal.check import run_check
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

MARGIN_S = 2.0  # between a command's time limit and the server's ceiling of a step

BUSY = (
    "a command is still running: wait for it (wait), answer it (send_keys),"
    ' or stop it (send_keys ["C-c"])'
)


class TerminalEnv(Environment[TerminalAction, TerminalObservation, TerminalOptions]):
    """One shell on one terminal. What an agent does wrong is an observation, never an error."""

    def __init__(self, context: Context | None = None) -> None:
        super().__init__(context)
        self._shell: Shell | None = None
        self._root: Path | None = None
        self._task: Task | None = None

    async def reset(self, episode: Episode[TerminalOptions]) -> TerminalObservation:
        """Begin with a new shell in a new workspace, with the task's files in it."""
        await self._clear()
        options = episode.options
        task = self._task = _task_of(options)
        self._root = await to_thread.run_sync(_make_workspace, task)
        self._shell = Shell(
            cwd=str(self._workspace),
            env=_environment(self._root),
            rows=options.rows,
            cols=options.cols,
            seed=episode.seed,
        )
        await self._shell.start()
        if task is None:
            return TerminalObservation(cwd=self._shell.cwd)
        return TerminalObservation(
            cwd=self._shell.cwd,
            instruction=task.instruction,
            metadata={"task_id": task.id, "split": task.split, "index": task.index},
        )

    async def step(self, action: TerminalAction) -> TerminalObservation:
        """Carry out one action."""
        shell = self._shell
        assert shell is not None, "the session resets before the first step"
        try:
            match action:
                case Run():
                    limit_s = self._within_ceiling(action.timeout_s)
                    reading = await shell.run(action.command, limit_s, action.max_output_bytes)
                    return self._observe(reading, action)
                case SendKeys():
                    keys = b"".join(map(encode, action.keys))
                    limit_s = self._within_ceiling(action.timeout_s)
                    reading = await shell.press(
                        keys, limit_s, action.quiet_s, action.max_output_bytes
                    )
                    return self._observe(reading, action)
                case Wait():
                    limit_s = self._within_ceiling(action.timeout_s)
                    reading = await shell.wait(limit_s, action.quiet_s, action.max_output_bytes)
                    return self._observe(reading, action)
                case Resize():
                    reading = await shell.resize(action.rows, action.cols)
                    return self._observe(reading, None)
        except Busy:
            return TerminalObservation(running=True, cwd=shell.cwd, error=BUSY)
        except OSError as exc:
            return TerminalObservation(cwd=shell.cwd, error=f"no shell can be started: {exc}")

    async def state(self) -> TerminalState:
        """Return what a trainer may inspect."""
        shell, task = self._shell, self._task
        if shell is None:  # closing
            return TerminalState()
        return TerminalState(
            task_id=task.id if task else None,
            instruction=task.instruction if task else None,
            cwd=shell.cwd,
            running=shell.running,
            last_exit_code=shell.last_exit_code,
            rows=shell.rows,
            cols=shell.cols,
            shells_started=shell.started,
            workspace=str(self._workspace),
        )

    async def evaluate(self) -> TerminalObservation:
        """Kill the shell and run the task's check in the workspace it leaves behind."""
        if self._task is None or self._shell is None or self._root is None:
            raise NotAvailable("this episode has no check: reset with task_id, or split and index")
        await self._shell.kill()
        verdict = await run_check(
            self._task,
            workspace=self._workspace,
            env=_environment(self._root),
            limit_s=self._within_ceiling(self._task.check_timeout_s),
        )
        return TerminalObservation(
            output=verdict.output,
            done=True,
            reward=verdict.reward,
            metadata={"check": verdict.as_metadata()},
        )

    async def close(self) -> None:
        """Kill the shell and remove the workspace."""
        await self._clear()

    # -- the parts --------------------------------------------------------------------------------

    @property
    def _workspace(self) -> Path:
        assert self._root is not None
        return self._root / "workspace"

    def _within_ceiling(self, timeout_s: float) -> float:
        return min(timeout_s, max(self.context.step_limit_s - MARGIN_S, MARGIN_S))

    async def _clear(self) -> None:
        shell, self._shell = self._shell, None
        root, self._root = self._root, None
        if shell is not None:
            await shell.close()
        if root is not None:
            # Not `shutil.rmtree`: it recurses, and an agent can nest folders deeper than it can.
            with anyio.move_on_after(5, shield=True):
                await anyio.run_process(["rm", "-rf", "--", str(root)], check=False)

    def _observe(
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
            cwd=self._shell.cwd if self._shell else "",
            dropped_bytes=reading.dropped,
            shell_restarted=reading.restarted,
        )


def _task_of(options: TerminalOptions) -> Task | None:
    """Return the task a reset asks for.

    Raises:
        InvalidMessage: There is no such task, or the options name two different ones.
    """
    try:
        if options.task_id is not None:
            task = TASKS.find(options.task_id)
        elif options.split is not None or options.index is not None:
            task = TASKS.get(options.split or "train", options.index or 0)
        else:
            return None
    except KeyError as exc:
        raise InvalidMessage(f"there is no task or split {exc.args[0]!r}", errors=[]) from None
    except IndexError as exc:
        raise InvalidMessage(str(exc), errors=[]) from None
    if options.split not in (None, task.split) or options.index not in (None, task.index):
        raise InvalidMessage(
            f"task {task.id!r} is {task.split}[{task.index}], not"
            f" {options.split}[{options.index}]: name one of them only",
            errors=[],
        )
    return task


def _make_workspace(task: Task | None) -> Path:
    root = Path(tempfile.mkdtemp(prefix="paddock-", dir=os.environ.get("PADDOCK_SESSIONS")))
    (root / "home").mkdir()
    workspace = root / "workspace"
    if task is not None and task.environment.is_dir():
        # An installer compiles whatever Python it finds in a package, a task's files, too.
        compiled = shutil.ignore_patterns("__pycache__")
        shutil.copytree(task.environment, workspace, symlinks=True, ignore=compiled)
    else:
        workspace.mkdir()
    return root


def _environment(root: Path) -> dict[str, str]:
    """Return the whole environment of a session's processes: nothing of the server's is in it."""
    return {
        "HOME": str(root / "home"),
        "LANG": "C.UTF-8",
        "LOGNAME": "agent",
        "PATH": _path(),
        "SHELL": "/bin/bash",
        "TERM": "xterm-256color",
        "USER": "agent",
        # Nobody is there to leave a pager; HISTCONTROL keeps our own line out of the history.
        "GIT_PAGER": "cat",
        "HISTCONTROL": "ignorespace",
        "PAGER": "cat",
    }


def _path() -> str:
    """Return where programs are found: the system's, and a Python wherever it has none."""
    system = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    if shutil.which("python3", path=system):
        return system
    return f"{system}:{Path(sys.base_prefix) / 'bin'}"
