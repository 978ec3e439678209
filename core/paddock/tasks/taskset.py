"""The tasks of an environment, by split and index, and by id."""

from collections.abc import Mapping
from pathlib import Path

from paddock.tasks.sources import HarborFolder, JsonLines, Source
from paddock.tasks.task import Task

__all__ = ["TaskSet"]


class TaskSet:
    """Tasks in splits.

    ::

        TaskSet(Path(__file__).parent / "tasks")
        TaskSet(sources={"train": Rows(make_task), "test": JsonLines(path)})

    Args:
        root: Holds one split per directory of task directories, or per JSON Lines file::

                tasks/train/<task id>/instruction.md, task.toml, environment/, tests/, solution/
                tasks/test.jsonl

        sources: Further splits.
    """

    def __init__(
        self, root: Path | None = None, *, sources: Mapping[str, Source] | None = None
    ) -> None:
        self.root = root
        self._sources = dict(sources or {})
        self._files: dict[Path, JsonLines] = {}

    @property
    def splits(self) -> list[str]:
        """The splits' names: train first, test last."""
        return sorted(self._all(), key=lambda n: (n == "test", n != "train", n))

    def ids(self, split: str) -> list[str]:
        """Return a split's task ids, in order.

        Raises:
            KeyError: There is no such split.
            ValueError: It has no end.
        """
        source = self._all()[split]
        if source.count() is None:
            raise ValueError(f"split {split!r} has no end: its tasks are asked for by index")
        return source.ids()

    def count(self, split: str) -> int | None:
        """Return how many tasks a split has, ``None`` when it has no end.

        Raises:
            KeyError: There is no such split.
        """
        return self._all()[split].count()

    def get(self, split: str, index: int) -> Task:
        """Read a task by its place.

        Raises:
            KeyError: There is no such split.
            IndexError: The split has no such place.
            ConfigurationError: The task cannot be understood.
        """
        source = self._all()[split]
        count = source.count()
        if index < 0 or (count is not None and index >= count):
            raise IndexError(f"split {split!r} has {count} tasks; there is no index {index}")
        return source.read(split, index)

    def find(self, task_id: str) -> Task:
        """Read a task by its id, whatever its split.

        Raises:
            KeyError: There is none of that id.
            ConfigurationError: The task cannot be understood.
        """
        sources = self._all()
        for split in self.splits:
            index = sources[split].place_of(task_id)
            if index is not None:
                return sources[split].read(split, index)
        raise KeyError(task_id)

    def range(self, split: str, start: int | None = None, stop: int | None = None) -> list[Task]:
        """Read a slice of a split.

        Raises:
            KeyError: There is no such split.
            ValueError: The split has no end, and the slice has none either.
            ConfigurationError: A task cannot be understood.
        """
        source = self._all()[split]
        count = source.count()
        if count is None:
            if stop is None or stop < 0 or (start or 0) < 0:
                raise ValueError(f"split {split!r} has no end: say where to stop")
            places = range(start or 0, stop)
        else:
            places = range(count)[slice(start, stop)]
        return [source.read(split, index) for index in places]

    def _all(self) -> dict[str, Source]:
        found: dict[str, Source] = {}
        for path in self.root.iterdir() if self.root is not None else ():
            if path.name.startswith((".", "__")):
                continue
            if path.is_dir():
                found[path.name] = HarborFolder(path)
            elif path.suffix == ".jsonl":
                found[path.stem] = self._files.setdefault(path, JsonLines(path))
        return found | self._sources
