"""A set of tasks from a path, for authors who have not packaged theirs."""

from pathlib import Path

from paddock.errors import ConfigurationError
from paddock.tasks.sources import HarborFolder, JsonLines
from paddock.tasks.taskset import TaskSet

__all__ = ["load_tasks"]


def load_tasks(path: Path) -> TaskSet:
    """Return the tasks at a path.

    Args:
        path: A task directory, a directory of them, one of splits, or a JSON Lines file.

    Raises:
        ConfigurationError: There are none.
    """
    path = path.absolute()
    if path.is_file():
        return TaskSet(sources={path.stem: JsonLines(path)})
    if (path / "instruction.md").is_file():
        return TaskSet(sources={path.parent.name: HarborFolder(path.parent, only=path.name)})
    if path.is_dir():
        if any((below / "instruction.md").is_file() for below in path.iterdir()):
            return TaskSet(sources={path.name: HarborFolder(path)})
        tasks = TaskSet(path)
        if any(tasks.count(split) for split in tasks.splits):
            return tasks
    raise ConfigurationError(f"{path}: there are no tasks")
