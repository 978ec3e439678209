"""A task's files and a reset's, on their way into the workspace.

What the agent may see goes through `SandboxFiles`. What it may not goes into a directory of the
server's beside the workspace: no level of isolation shows it to the session, and it is removed
with the sandbox.
"""

import base64
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import anyio
from anyio import to_thread

from paddock.errors import InvalidMessage, StepFailed
from paddock.inline import TaskOptions
from paddock.sandbox.capture import capture
from paddock.sandbox.sandbox import Sandbox
from paddock.staging.folder import write_folder
from paddock.staging.protected import keep
from paddock.tasks import Task
from paddock.workspace import Files, GitSource, Workspace

__all__ = ["stage", "template_of"]

SAID = 2000  # bytes of a failed command's output that are told
BUNDLE = ".paddock-bundle"
_FETCH = """
set -e
git init -q .
if [ "$2" = HEAD ]; then
    git fetch -q "$1" HEAD
    git checkout -q -B main FETCH_HEAD
else
    git fetch -q "$1" '+refs/heads/*:refs/remotes/origin/*' '+refs/tags/*:refs/tags/*'
    git checkout -q -B main "refs/remotes/origin/$2" 2>/dev/null || git checkout -q -B main "$2"
fi
"""


def template_of(task: Task | None) -> Path | None:
    """Return the directory that a task's workspace is a copy of, if it is one of a directory."""
    if task is None or task.path is None or not task.environment.is_dir():
        return None
    return task.environment


async def stage(
    task: Task | None,
    sandbox: Sandbox,
    options: TaskOptions,
    *,
    env: Mapping[str, str],
    limit_s: float,
) -> Task | None:
    """Put into a sandbox what is not in its template, and return the task as it is played.

    Args:
        task: The task, if there is one.
        sandbox: Holds a copy of the task's template.
        options: What the reset asked for.
        env: The whole environment of the commands of ``setup``.
        limit_s: Seconds that all of it may take.

    Raises:
        InvalidMessage: A file cannot be where it is asked for, or an archive not be read.
        StepFailed: A command of ``setup`` failed, or it took too long.
    """
    row = task.row if task is not None else None
    own = row.workspace if row is not None else None
    try:
        with anyio.fail_after(limit_s):
            for workspace in (own, options.workspace):
                if workspace is not None:
                    await _put(workspace, sandbox, env)
            if task is None or row is None:
                return task
            if row.tests is not None:
                await _write(sandbox, row.tests.visible_files)
            folder = sandbox.path / "task"
            await to_thread.run_sync(write_folder, row, folder)
            await keep(row.protected, sandbox, folder)
            return replace(task, path=folder)
    except TimeoutError as exc:
        await sandbox.kill()  # a command of setup goes on otherwise
        raise StepFailed(f"the workspace was not ready within {limit_s:g} s") from exc
    except (OSError, ValueError) as exc:
        raise InvalidMessage(f"the workspace cannot be made: {exc}", errors=[]) from exc


async def _put(workspace: Workspace, sandbox: Sandbox, env: Mapping[str, str]) -> None:
    if workspace.preset is not None:
        raise InvalidMessage(f"there is no preset {workspace.preset!r}", errors=[])
    if workspace.git is not None:
        await _check_out(workspace.git, sandbox, env)
    if workspace.archive_b64 is not None:
        await sandbox.files.archive_in(base64.b64decode(workspace.archive_b64))
    await _write(sandbox, workspace.files)
    for argv in workspace.setup:
        await _run(argv, sandbox, env)


async def _write(sandbox: Sandbox, files: Files) -> None:
    for path, spec in files.items():
        if isinstance(spec, str):
            await sandbox.files.write(path, spec.encode())
        elif spec.symlink_to is not None:
            await sandbox.files.symlink(path, spec.symlink_to)
        else:
            data = (
                spec.content.encode()
                if spec.content is not None
                else base64.b64decode(spec.content_b64 or "")
            )
            await sandbox.files.write(path, data, mode=int(spec.mode, 8))


async def _check_out(git: GitSource, sandbox: Sandbox, env: Mapping[str, str]) -> None:
    """Have git do it inside the sandbox: repositories are no more to be trusted than programs."""
    source = git.path or git.url or str(sandbox.workspace / BUNDLE)
    if git.bundle_b64 is not None:
        await sandbox.files.write(BUNDLE, base64.b64decode(git.bundle_b64))
    # A repository of the image is another user's, which git asks to be told is all right.
    trust = {"KEY_0": "safe.directory", "VALUE_0": "*", "COUNT": "1"}
    more = {f"GIT_CONFIG_{name}": value for name, value in trust.items()}
    await _run(["sh", "-c", _FETCH, "sh", source, git.ref], sandbox, {**env, **more})
    if git.bundle_b64 is not None:
        await sandbox.files.remove(BUNDLE)


async def _run(argv: list[str], sandbox: Sandbox, env: Mapping[str, str]) -> None:
    said = bytearray()

    def add(data: bytes) -> None:
        said.extend(data)
        del said[:-SAID]

    try:
        # The deadline is that of the whole; a command that outlives it is killed with the sandbox.
        code = await capture(sandbox, argv, add, limit_s=float("inf"), env=env)
    except OSError as exc:
        raise StepFailed(f"setup: {argv[0]} cannot be started: {exc}") from exc
    if code != 0:
        text = said.decode(errors="replace").strip()
        raise StepFailed(f"setup: {' '.join(argv)[:200]} ended with {code}: {text}")
