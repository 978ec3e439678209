"""Where the tasks of a split come from: task directories, JSON Lines, or Python.

Nothing is read before it is asked for, and nothing is ever written.
"""

import json
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import ValidationError

from paddock.errors import ConfigurationError
from paddock.tasks.rows import TaskRow
from paddock.tasks.task import Task

__all__ = ["HarborFolder", "JsonLines", "Rows", "Source"]


class Source(Protocol):
    """One split's tasks."""

    def count(self) -> int | None:
        """Return how many there are; ``None`` when they have no end."""
        ...

    def ids(self) -> list[str]:
        """Return their ids, in order; never asked of one that has no end."""
        ...

    def read(self, split: str, index: int) -> Task:
        """Read one. Raises `IndexError` when there is none at that place."""
        ...

    def place_of(self, task_id: str) -> int | None:
        """Return where a task is, or ``None`` when it is not there."""
        ...


@dataclass(frozen=True)
class HarborFolder:
    """Task directories beside each other, in the order of their names.

    Attributes:
        path: What holds them.
        only: The name of the only one that counts.
    """

    path: Path
    only: str | None = None

    def count(self) -> int:
        """Return how many there are."""
        return len(self.ids())

    def ids(self) -> list[str]:
        """Return the directories' names."""
        if self.only is not None:
            return [self.only]
        with os.scandir(self.path) as entries:
            found = [entry.name for entry in entries]
        return sorted(n for n in found if (self.path / n / "instruction.md").is_file())

    def read(self, split: str, index: int) -> Task:
        """Read a directory."""
        return Task.from_folder(self.path / self.ids()[index], split, index)

    def place_of(self, task_id: str) -> int | None:
        """Return a directory's place."""
        ids = self.ids()
        return ids.index(task_id) if task_id in ids else None


@dataclass(frozen=True)
class _Lines:
    signature: tuple[int, int]
    offsets: list[int]


class JsonLines:
    """A file with one `TaskRow` per line; empty lines do not count.

    Where the lines begin is found once, and again when the file has changed. A line is only
    understood when its task is asked for.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lines: _Lines | None = None
        self._ids: tuple[_Lines, list[str]] | None = None

    def count(self) -> int:
        """Return how many lines there are."""
        return len(self._look().offsets)

    def ids(self) -> list[str]:
        """Return the ids, for which every line has to be looked at."""
        lines = self._look()
        if self._ids is None or self._ids[0] is not lines:
            self._ids = (lines, [self._row(lines, n).id for n in range(len(lines.offsets))])
        return self._ids[1]

    def read(self, split: str, index: int) -> Task:
        """Read a line."""
        return Task.from_row(self._row(self._look(), index), split, index)

    def place_of(self, task_id: str) -> int | None:
        """Return the line of a task."""
        ids = self.ids()
        return ids.index(task_id) if task_id in ids else None

    def _look(self) -> _Lines:
        seen = self.path.stat()
        signature = (seen.st_mtime_ns, seen.st_size)
        if self._lines is None or self._lines.signature != signature:
            offsets: list[int] = []
            with self.path.open("rb") as file:
                at = 0
                for line in file:
                    if line.strip():
                        offsets.append(at)
                    at += len(line)
            self._lines = _Lines(signature, offsets)
        return self._lines

    def _row(self, lines: _Lines, index: int) -> TaskRow:
        with self.path.open("rb") as file:
            file.seek(lines.offsets[index])
            line = file.readline()
        try:
            return TaskRow.model_validate(json.loads(line))
        except ValidationError as exc:
            found = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in exc.errors()]
            raise ConfigurationError(f"{self.path}, task {index}: {'; '.join(found)}") from exc
        except ValueError as exc:
            raise ConfigurationError(f"{self.path}, task {index}: {exc}") from exc


class Rows:
    """Tasks made in Python: a sequence of rows, or a function of the index.

    A function has to return the same row for the same index, for that is what the index is for.

    Args:
        rows: The rows, or what makes them.
        count: How many a function makes; ``None`` for without end.
    """

    def __init__(
        self, rows: Sequence[TaskRow] | Callable[[int], TaskRow], count: int | None = None
    ) -> None:
        self._row = rows if callable(rows) else rows.__getitem__
        self._count = count if callable(rows) else len(rows)

    def count(self) -> int | None:
        """Return how many there are."""
        return self._count

    def ids(self) -> list[str]:
        """Return the ids, for which every row has to be made."""
        assert self._count is not None, "never asked of one that has no end"
        return [self._row(index).id for index in range(self._count)]

    def read(self, split: str, index: int) -> Task:
        """Make a row."""
        return Task.from_row(self._row(index), split, index)

    def place_of(self, task_id: str) -> int | None:
        """Return a row's place: at once where the id ends with it, or else by looking."""
        if (number := re.search(r"(\d{1,18})$", task_id)) is not None:
            index = int(number[1])
            if (self._count is None or index < self._count) and self._row(index).id == task_id:
                return index
        if self._count is None:
            return None
        ids = self.ids()
        return ids.index(task_id) if task_id in ids else None
