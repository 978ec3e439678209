"""Run a task's check and say what came of it."""

import shutil
import signal
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

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
    task: Task, *, workspace: Path, env: Mapping[str, str], limit_s: float
) -> Verdict:
    """Run a task's ``tests/test.sh`` in the workspace.

    Its files stand in a folder of their own that exists only meanwhile.

    Args:
        task: The task.
        workspace: What the agent left behind.
        env: The check's whole environment.
        limit_s: Seconds it may take.
    """
    place = Path(await to_thread.run_sync(tempfile.mkdtemp))
    try:
        tests = place / "tests"
        await to_thread.run_sync(lambda: shutil.copytree(task.tests, tests))
        return await _run(["bash", str(tests / "test.sh")], workspace, env, limit_s)
    except OSError as exc:
        return Verdict(None, None, "", f"the check could not be started: {exc}")
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(lambda: shutil.rmtree(place, ignore_errors=True))


async def _run(argv: list[str], cwd: Path, env: Mapping[str, str], limit_s: float) -> Verdict:
    printed = Output(OUTPUT_BYTES)
    async with await anyio.open_process(
        argv, stdin=-3, stderr=-2, cwd=cwd, env=dict(env), start_new_session=True
    ) as process:
        assert process.stdout is not None
        with anyio.move_on_after(limit_s) as scope:
            async for data in process.stdout:
                printed.add(data)
            await process.wait()
        if process.returncode is None:
            process.send_signal(signal.SIGKILL)
    head, tail, _ = printed.take(OUTPUT_BYTES)
    output = plain(head + tail)
    if scope.cancelled_caught:
        return Verdict(None, None, output, f"the check did not end within {limit_s:g} s")
    code = process.returncode
    return Verdict(1.0 if code == 0 else 0.0, code, output)
