"""Episodes of hostile agents, and checks that say whether they have earned anything."""

from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from anyio import to_thread

from paddock.evaluation import Check, Verdict, evaluate
from paddock.limits import Limits
from paddock.sandbox.capture import capture
from paddock.sandbox.confinement import Level, Profile
from paddock.sandbox.sandbox import Sandbox
from paddock.sandbox.sandboxes import Sandboxes

__all__ = ["LEVELS", "Court", "court"]

LEVELS = (Level.NAMESPACES, Level.UID, Level.LANDLOCK)
LIMITS = Limits(memory_mb=256, disk_mb=64, processes=40)


class Court:
    """One agent's sandbox, and a task's directory that it never sees."""

    def __init__(self, sandboxes: Sandboxes, sandbox: Sandbox, task: Path) -> None:
        self.sandboxes = sandboxes
        self.sandbox = sandbox
        self.task = task

    async def act(self, script: str, limit_s: float = 10) -> str:
        """Run a script as the agent, and leave running what it has started."""
        printed = bytearray()
        await capture(self.sandbox, ["bash", "-c", script], printed.extend, limit_s=limit_s)
        return printed.decode(errors="replace")

    async def judge(
        self, files: Mapping[str, str], *, toml: str = "", template: Mapping[str, str] | None = None
    ) -> Verdict:
        """Judge with a task of these tests and settings."""
        for folder, texts in (("tests", files), ("environment", template or {})):
            for name, text in texts.items():
                path = self.task / folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
        (self.task / "task.toml").write_text(f"[verifier]\n{toml}\n")
        check = await to_thread.run_sync(Check.of_task, self.task)
        return await evaluate(check, self.sandbox, self.sandboxes, limit_s=20)


@asynccontextmanager
async def court(level: Level, task: Path, *, tools: tuple[str, ...] = ()) -> AsyncGenerator[Court]:
    """Open one, with what `terminal` asks for."""
    profile = Profile(proc=True, tmp=True, ptmx=True, tools=tools)
    async with Sandboxes.serving(level, profile) as sandboxes:
        yield Court(sandboxes, await sandboxes.take(LIMITS), task)
