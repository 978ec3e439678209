"""Tasks: an instruction, the files it starts from, and the check that says whether it was done.

A task is a directory in Harbor's convention, which the trainers read already::

    tasks/<split>/<task id>/
        instruction.md      what the agent is told
        task.toml           [verifier] timeout_sec, [metadata]
        environment/        files that are in the workspace when the episode begins
        tests/test.sh       the check: exit status 0 is done; never in the workspace before it runs
        solution/solve.sh   one way to do it, for verifying the task itself

Listing reads nothing but directory names; a task is read when it is asked for.
"""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

__all__ = ["Task", "TaskSet"]

CHECK_TIMEOUT_S = 45.0  # below the ceiling of a step, within which a check must end


@dataclass(frozen=True)
class Task:
    """One task.

    Attributes:
        id: Its durable name: the directory's.
        split: The split it belongs to.
        index: Its place in the split.
        path: The directory.
        instruction: What the agent is told.
        check_timeout_s: Seconds its check may take.
        metadata: The author's remarks, from ``task.toml``.
    """

    id: str
    split: str
    index: int
    path: Path
    instruction: str
    check_timeout_s: float
    metadata: dict[str, Any]

    @property
    def environment(self) -> Path:
        """The files the workspace starts with; may be missing."""
        return self.path / "environment"

    @property
    def tests(self) -> Path:
        """The check's files; ``test.sh`` is run."""
        return self.path / "tests"

    @property
    def solution(self) -> Path:
        """The script that solves the task."""
        return self.path / "solution" / "solve.sh"

    def public(self) -> dict[str, Any]:
        """Return what a trainer may know of it: never the check, never the solution."""
        return {
            "id": self.id,
            "split": self.split,
            "index": self.index,
            "instruction": self.instruction,
            "metadata": self.metadata,
        }


class TaskSet:
    """The tasks below one directory.

    Args:
        root: Holds one directory per split, and in those one per task.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def splits(self) -> list[str]:
        """The splits' names: train first, test last."""
        names = [p.name for p in self.root.iterdir() if p.is_dir()]
        return sorted(names, key=lambda n: (n == "test", n != "train", n))

    def ids(self, split: str) -> list[str]:
        """Return a split's task ids, in order.

        Raises:
            KeyError: There is no such split.
        """
        if split not in self.splits:
            raise KeyError(split)
        tasks = (self.root / split).iterdir()
        return sorted(p.name for p in tasks if (p / "instruction.md").is_file())

    def count(self, split: str) -> int:
        """Return how many tasks a split has. Raises as `ids` does."""
        return len(self.ids(split))

    def get(self, split: str, index: int) -> Task:
        """Read a task by its place.

        Raises:
            KeyError: There is no such split.
            IndexError: The split has no such place.
        """
        ids = self.ids(split)
        if not 0 <= index < len(ids):
            raise IndexError(f"split {split!r} has {len(ids)} tasks; there is no index {index}")
        path = self.root / split / ids[index]
        settings = tomllib.loads((path / "task.toml").read_text(encoding="utf-8"))
        verifier = cast("dict[str, Any]", settings.get("verifier", {}))
        return Task(
            id=ids[index],
            split=split,
            index=index,
            path=path,
            instruction=(path / "instruction.md").read_text(encoding="utf-8").strip(),
            check_timeout_s=float(verifier.get("timeout_sec", CHECK_TIMEOUT_S)),
            metadata=settings.get("metadata", {}),
        )

    def find(self, task_id: str) -> Task:
        """Read a task by its id, whatever its split.

        Raises:
            KeyError: There is none of that id.
        """
        for split in self.splits:
            ids = self.ids(split)
            if task_id in ids:
                return self.get(split, ids.index(task_id))
        raise KeyError(task_id)

    def range(self, split: str, start: int | None = None, stop: int | None = None) -> list[Task]:
        """Read a slice of a split. Raises `KeyError` when there is no such split."""
        places = range(self.count(split))[slice(start, stop)]
        return [self.get(split, index) for index in places]
