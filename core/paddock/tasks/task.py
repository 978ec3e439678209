"""One task, whatever it came from."""

import base64
import hashlib
import json
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from paddock.errors import ConfigurationError
from paddock.inline import InlineTask, TestPlan
from paddock.tasks.hashing import hash_of_folder
from paddock.tasks.rows import TaskRow
from paddock.workspace import Files, FileSpec, Workspace

__all__ = ["CHECK_TIMEOUT_S", "Task"]

CHECK_TIMEOUT_S = 45.0  # below the ceiling of a step, within which a check must end


@dataclass(frozen=True)
class Task:
    """One task: a directory in Harbor's convention, or a row.

    A row becomes such a directory, where only the server sees it, when an episode begins with it;
    then ``path`` names it. So whatever plays and checks a task knows directories only.

    Attributes:
        id: Its durable name.
        split: The split it belongs to; ``None`` for one that came by value.
        index: Its place in the split.
        instruction: What the agent is told.
        path: The directory; ``None`` for a row that has not been written yet.
        row: The row it came from, if it did.
        check_timeout_s: Seconds its check may take.
        metadata: The author's remarks, from ``task.toml``; public.
        max_steps: Steps after which the episode ends.
        min_reward: What doing nothing earns.
        max_reward: What solving it earns.
        answers: Texts that would give it away.
    """

    id: str
    split: str | None
    index: int | None
    instruction: str
    path: Path | None = None
    row: TaskRow | None = None
    check_timeout_s: float = CHECK_TIMEOUT_S
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    max_steps: int | None = None
    min_reward: float = 0.0
    max_reward: float = 1.0
    answers: tuple[str, ...] = ()

    @classmethod
    def from_folder(cls, path: Path, split: str | None, index: int | None) -> "Task":
        """Read a task directory.

        Raises:
            ConfigurationError: A file of it is missing or cannot be understood.
        """
        try:
            settings = tomllib.loads((path / "task.toml").read_text(encoding="utf-8"))
            instruction = (path / "instruction.md").read_text(encoding="utf-8").strip()
            verifier = cast("dict[str, Any]", settings.get("verifier", {}))
            agent = cast("dict[str, Any]", settings.get("agent", {}))
            return cls(
                id=path.name,
                split=split,
                index=index,
                path=path,
                instruction=instruction,
                check_timeout_s=float(verifier.get("timeout_sec", CHECK_TIMEOUT_S)),
                metadata=settings.get("metadata", {}),
                max_steps=agent.get("max_steps"),
                min_reward=float(verifier.get("min_reward", 0.0)),
                max_reward=float(verifier.get("max_reward", 1.0)),
                answers=tuple(str(text) for text in verifier.get("answers", ())),
            )
        except (OSError, ValueError, TypeError) as exc:
            raise ConfigurationError(f"task {path}: {exc}") from exc

    @classmethod
    def from_row(cls, row: TaskRow, split: str | None = None, index: int | None = None) -> "Task":
        """Return the task that a row describes."""
        return cls(
            id=row.id,
            split=split,
            index=index,
            row=row,
            instruction=row.instruction,
            check_timeout_s=row.tests.timeout_s if row.tests else CHECK_TIMEOUT_S,
            metadata=row.metadata,
            max_steps=row.max_steps,
            min_reward=row.min_reward,
            max_reward=row.max_reward,
            answers=tuple(row.answers),
        )

    @classmethod
    def from_value(cls, task: InlineTask) -> "Task":
        """Return the task that came with a reset."""
        return cls.from_row(TaskRow.model_construct(**dict(task)))

    @property
    def folder(self) -> Path:
        """The directory; there is one from the beginning of an episode on."""
        assert self.path is not None, "a row is written when an episode begins"
        return self.path

    @property
    def environment(self) -> Path:
        """The files the workspace starts with; may be missing."""
        return self.folder / "environment"

    @property
    def tests(self) -> Path:
        """The check's files; ``test.sh`` is run."""
        return self.folder / "tests"

    @property
    def solution(self) -> Path:
        """The script that solves the task."""
        return self.folder / "solution" / "solve.sh"

    @property
    def scored(self) -> bool:
        """Whether it has a check."""
        return (self.row is None) or (self.row.tests is not None)

    def public(self) -> dict[str, Any]:
        """Return what a trainer may know of it: never the check, never the solution."""
        return {
            "id": self.id,
            "split": self.split,
            "index": self.index,
            "instruction": self.instruction,
            "metadata": self.metadata,
        }

    def content_hash(self) -> str:
        """Return the hash of all that is in it: another check is another task."""
        if self.row is None:
            return hash_of_folder(self.folder)
        text = json.dumps(self.row.model_dump(mode="json", exclude_defaults=True), sort_keys=True)
        return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"

    def by_value(self) -> dict[str, Any]:
        """Return the reset options that play it on a server that does not have it.

        Raises:
            OSError: A file of it cannot be read.
        """
        if self.row is not None:
            options: dict[str, Any] = {"task": self.row.inline().model_dump(mode="json")}
            if self.row.workspace is not None:
                options["workspace"] = self.row.workspace.model_dump(mode="json")
            return options
        tests = TestPlan(
            files={f"tests/{name}": spec for name, spec in _files(self.tests).items()},
            timeout_s=self.check_timeout_s,
        )
        task = InlineTask(
            id=self.id, instruction=self.instruction, tests=tests, max_steps=self.max_steps
        )
        workspace = Workspace(files=_files(self.environment))
        return {
            "task": task.model_dump(mode="json"),
            "workspace": workspace.model_dump(mode="json"),
        }


def _files(folder: Path) -> Files:
    found: Files = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if "__pycache__" in path.parts or (path.is_dir() and not path.is_symlink()):
            continue
        if path.is_symlink():
            found[name] = FileSpec(symlink_to=str(path.readlink()))
            continue
        content = base64.b64encode(path.read_bytes()).decode()
        found[name] = FileSpec(content_b64=content, mode=f"{path.stat().st_mode & 0o777:o}")
    return found
