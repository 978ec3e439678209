"""Tasks: an instruction, the files it starts from, and the check that says whether it was done.

A set of tasks has splits, and each split is a directory of task directories in Harbor's convention,
a JSON Lines file, or something in Python. Listing reads nothing but names; a task is read when it
is asked for, and nothing is written before an episode begins with it.
"""

from paddock.tasks.loading import load_tasks
from paddock.tasks.rows import TaskRow
from paddock.tasks.selection import resolution, select
from paddock.tasks.sources import HarborFolder, JsonLines, Rows, Source
from paddock.tasks.task import Task
from paddock.tasks.taskset import TaskSet

__all__ = [
    "HarborFolder",
    "JsonLines",
    "Rows",
    "Source",
    "Task",
    "TaskRow",
    "TaskSet",
    "load_tasks",
    "resolution",
    "select",
]
