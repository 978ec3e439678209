"""Run a task's check and say what came of it."""

import os
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from paddock.sandbox.capture import capture
from paddock.sandbox.sandbox import Sandbox
from paddock.tasks import Task
from paddock_terminal.output import Output, plain

__all__ = ["Verdict", "run_check"]

OUTPUT_BYTES = 20_000


@dataclass(frozen=True)
class Verdict:
    """What a check said.

    Attributes:
        reward: 1.0 when it ended with status 0, 0.0 with any other; ``None`` when it could not be
            run to its end, which is not the same as a failure.
        exit_code: Its exit status.
        output: What it printed.
        error: Why there is no reward.
    """

    reward: float | None
    exit_code: int | None
    output: str
    error: str | None = None

    def as_metadata(self) -> dict[str, Any]:
        """Return the parts beside the reward."""
        parts = asdict(self)
        del parts["reward"], parts["output"]
        return parts


async def run_check(
    task: Task, sandbox: Sandbox, *, env: Mapping[str, str], limit_s: float
) -> Verdict:
    """Run a task's ``tests/test.sh`` in the workspace, once nothing else runs in the sandbox.

    Its files appear only then, where the session can read and not change them.

    Args:
        task: The task.
        sandbox: What the agent leaves behind.
        env: The check's whole environment.
        limit_s: Seconds it may take.
    """
    place = sandbox.control / f"check-{secrets.token_hex(8)}"
    printed = Output(OUTPUT_BYTES)
    try:
        await to_thread.run_sync(_put, task, place)
        argv = ["bash", str(place / "test.sh")]
        code = await capture(sandbox, argv, printed.add, limit_s=limit_s, env=env)
    except OSError as exc:
        return Verdict(None, None, "", f"the check could not be started: {exc}")
    finally:
        with anyio.CancelScope(shield=True):
            await sandbox.kill()
            await to_thread.run_sync(lambda: shutil.rmtree(place, ignore_errors=True))
    head, tail, _ = printed.take(OUTPUT_BYTES)
    output = plain(head + tail)
    if (what := sandbox.take_exceeded()) is not None:
        return Verdict(None, None, output, f"the check was ended by a limit: {what}")
    if code is None:
        return Verdict(None, None, output, f"the check did not end within {limit_s:g} s")
    return Verdict(1.0 if code == 0 else 0.0, code, output)


def _put(task: Task, place: Path) -> None:
    shutil.copytree(task.tests, place)
    group = place.parent.stat().st_gid
    for folder, _, names in os.walk(place):
        for path in (Path(folder), *(Path(folder) / name for name in names)):
            os.chown(path, -1, group, follow_symlinks=False)
            if not path.is_symlink():
                path.chmod((path.stat().st_mode | 0o440) & ~0o7022)
