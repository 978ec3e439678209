"""Which task a reset asks for."""

from typing import Any

from paddock.errors import ConfigurationError, InvalidMessage
from paddock.inline import TaskOptions
from paddock.tasks.task import Task
from paddock.tasks.taskset import TaskSet

__all__ = ["resolution", "select"]


def select(tasks: TaskSet | None, options: TaskOptions) -> Task | None:
    """Return the task that options name, or ``None`` when they name none.

    Reads files: for a worker thread.

    Raises:
        InvalidMessage: There is no such task, it cannot be read, or two different ones are named.
    """
    named = (options.task_id, options.split, options.index)
    if options.task is not None:
        if named != (None, None, None):
            raise _refusal("name a task by task_id, by split and index, or by value: one of them")
        return Task.from_value(options.task)
    if named == (None, None, None):
        return None
    if tasks is None:
        raise _refusal("this environment has no tasks of its own")
    try:
        if options.task_id is not None:
            task = tasks.find(options.task_id)
        else:
            task = tasks.get(options.split or "train", options.index or 0)
    except KeyError as exc:
        raise _refusal(f"there is no task or split {exc.args[0]!r}") from None
    except (IndexError, ConfigurationError) as exc:
        raise _refusal(str(exc)) from None
    if options.split not in (None, task.split) or options.index not in (None, task.index):
        raise _refusal(
            f"task {task.id!r} is {task.split}[{task.index}], not"
            f" {options.split}[{options.index}]: name one of them only"
        )
    return task


def resolution(task: Task | None, env: str, version: str, seed: int | None) -> dict[str, Any]:
    """Return what a reset has come down to: for its observation's metadata and for the state.

    Reads files, once: for a worker thread.

    Args:
        task: What `select` returned.
        env: The environment's name.
        version: The environment's version.
        seed: The reset's.

    Raises:
        InvalidMessage: A file of the task cannot be read.
    """
    try:
        task_hash = task.content_hash() if task is not None else None
    except OSError as exc:
        raise _refusal(f"the task cannot be read: {exc}") from exc
    return {
        "task_id": task.id if task is not None else None,
        "split": task.split if task is not None else None,
        "index": task.index if task is not None else None,
        "seed": seed,
        "task_hash": task_hash,
        "env": env,
        "version": version,
    }


def _refusal(why: str) -> InvalidMessage:
    return InvalidMessage(why, errors=[])
