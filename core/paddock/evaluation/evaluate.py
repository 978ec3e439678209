"""The life of a check: kill, carry, stage, run, read."""

import logging
import secrets
import time
from collections.abc import Mapping
from dataclasses import replace

import anyio
from anyio import to_thread

from paddock.errors import ConfigurationError
from paddock.evaluation.carrying import carry
from paddock.evaluation.check import Check
from paddock.evaluation.rewards import MAX_BYTES, Unreadable, parse
from paddock.evaluation.running import pids_in
from paddock.evaluation.staging import check_environment, stage
from paddock.evaluation.verdict import Verdict
from paddock.sandbox.capture import capture
from paddock.sandbox.files import SandboxFiles
from paddock.sandbox.leftovers import sweep_shared
from paddock.sandbox.sandbox import Sandbox
from paddock.sandbox.sandboxes import Sandboxes

__all__ = ["AROUND_S", "evaluate"]

AROUND_S = 90.0  # for all that is not the check itself; each part of it has a limit of its own
OUTPUT_BYTES = 20_000
LOGS = "logs/verifier"

logger = logging.getLogger(__name__)


async def evaluate(
    check: Check,
    sandbox: Sandbox,
    sandboxes: Sandboxes,
    *,
    env: Mapping[str, str] | None = None,
    limit_s: float | None = None,
) -> Verdict:
    """Judge what an agent leaves behind.

    All processes of the agent are killed. What is in its workspace is copied into a sandbox of
    another identity, which has a home, temporary files and an environment that no agent has seen;
    only then the check's files appear there, to be read and not changed. When the check has ended,
    all that runs there is killed too, before its verdict is read.

    Calling it again does all of it again, with the same files.

    Args:
        check: What is to be run.
        sandbox: The agent's.
        sandboxes: Where the other one comes from.
        env: Variables for the check, beside those of the sandbox.
        limit_s: Seconds the check may take, if that is less than its own ``timeout_s``.

    Returns:
        The verdict. Whatever keeps a check from giving one is in its ``error``; only bugs raise.
    """
    started = time.monotonic()
    limit_s = check.timeout_s if limit_s is None else min(check.timeout_s, limit_s)
    verdict = Verdict(None, error=f"the evaluation was not done within {limit_s + AROUND_S:g} s")
    with anyio.move_on_after(limit_s + AROUND_S):
        verdict = await _evaluate(check, sandbox, sandboxes, dict(env or {}), limit_s)
    return replace(verdict, seconds=time.monotonic() - started)


async def _evaluate(
    check: Check, sandbox: Sandbox, sandboxes: Sandboxes, env: dict[str, str], limit_s: float
) -> Verdict:
    try:
        await sandbox.kill()
    except OSError as exc:
        return Verdict(None, error=f"what the agent left running could not be ended: {exc}")
    # Names in a shared /tmp that a check might use, and would find taken.
    await to_thread.run_sync(sweep_shared, sandbox.identity)
    limits = sandbox.limits.model_copy(
        update={"wall_s": None}
    )  # the episode's time, not the check's
    try:
        target = await sandboxes.take(limits, check.template if check.fresh else None)
    except (OSError, ConfigurationError) as exc:
        return Verdict(None, error=f"there is no sandbox for the check: {exc}")
    try:
        try:
            left_out = await carry(check, sandbox, target)
        except OSError as exc:
            return Verdict(None, error=f"what the agent left could not be copied: {exc}")
        async with SandboxFiles(target.path / "tmp", target.identity) as files:
            verdict = await _judge(check, target, files, env, limit_s)
        return replace(verdict, left_out=left_out)
    finally:
        with anyio.CancelScope(shield=True):
            try:
                await sandboxes.discard(target)
            except OSError as exc:
                logger.error("sandbox %s: %s", target.name, exc)


async def _judge(
    check: Check, target: Sandbox, files: SandboxFiles, env: dict[str, str], limit_s: float
) -> Verdict:
    printed = bytearray()

    def keep(data: bytes) -> None:
        printed.extend(data)
        if len(printed) > 4 * OUTPUT_BYTES:
            del printed[:-OUTPUT_BYTES]

    tests = target.control / f"check-{secrets.token_hex(8)}"
    try:
        await files.mkdir(LOGS, parents=True)
        logs = target.path / "tmp" / LOGS
        staged = await to_thread.run_sync(stage, check, tests, logs)
        await target.prepare()
        before = await to_thread.run_sync(pids_in, target)
        more = await to_thread.run_sync(check_environment, staged)
        variables = target.environment(**(env | more | dict(check.env)))
        code = await capture(target, staged.command, keep, limit_s=limit_s, env=variables)
        still = await to_thread.run_sync(pids_in, target) - before
    except OSError as exc:
        return Verdict(None, output=bytes(printed), error=f"the check could not be started: {exc}")
    verdict = Verdict(None, exit_code=code, output=bytes(printed[-OUTPUT_BYTES:]))
    try:
        await target.kill()
    except OSError as exc:
        return replace(verdict, error=f"what the check left running could not be ended: {exc}")
    if (what := target.take_exceeded()) is not None:
        return replace(verdict, error=f"the check was ended by a limit: {what}")
    if code is None:
        return replace(verdict, error=f"the check did not end within {limit_s:g} s")
    if code < 0:
        return replace(verdict, error=f"the check was ended by signal {-code}")
    if not staged.reads_file:
        reward = 1.0 if code == 0 else 0.0
        return replace(verdict, reward=reward, rewards={"reward": reward})
    if still:
        # One of them may be the agent's, and may have written after the check did.
        return replace(verdict, error="the check ended before all that it had started")
    return await _read(verdict, files)


async def _read(verdict: Verdict, files: SandboxFiles) -> Verdict:
    async def content(name: str) -> bytes | None:
        try:
            found = await files.stat(f"{LOGS}/{name}")
            if found.kind != "file":
                raise Unreadable(f"{name} is not a regular file")
            return await files.read(f"{LOGS}/{name}", limit=MAX_BYTES + 1)
        except FileNotFoundError:
            return None

    try:
        reward, rewards = parse(await content("reward.txt"), await content("reward.json"))
    except (OSError, Unreadable) as exc:
        return replace(verdict, error=str(exc))
    return replace(verdict, reward=reward, rewards=rewards)
