"""``paddock tasks list | show | try | verify``: an environment's tasks, or those at a path."""

import argparse
import json
from pathlib import Path
from typing import Any

import anyio

from paddock.catalog import Catalog, EnvSpec, load
from paddock.cli import run_command
from paddock.errors import ConfigurationError
from paddock.sandbox.confinement import Level
from paddock.tasks import Task, TaskSet, load_tasks

__all__ = ["add_arguments", "run"]

MOST = 20  # of a split without end that are listed or verified
VERBS = {
    "list": "list them",
    "show": "show what a trainer may know of one",
    "try": "play one yourself at a prompt",
    "verify": "play solution and nothing, and look for leaks",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for verb, what in VERBS.items():
        sub = verbs.add_parser(verb, help=what, description=f"{what.capitalize()}.")
        sub.add_argument("env", help="name, name@version or module:SPEC")
        several = verb in ("list", "verify")
        name = "task_ids" if several else "task_id"
        sub.add_argument(name, nargs="*" if several else None, metavar="TASK", help="a task's id")
        sub.add_argument("--tasks", type=Path, metavar="PATH", help="tasks at a path, not its own")
        if several:
            sub.add_argument("--split", help="only those of a split")
            sub.add_argument("--json", action="store_true", help="print JSON")
        if verb == "verify":
            sub.add_argument(
                "--times", type=int, default=2, help="how often each is played; 2 by default"
            )


def run(args: argparse.Namespace) -> int:
    """Do what is asked for; 1 when a task is not sound."""
    spec = Catalog()[args.env]
    tasks = _tasks_of(spec, args.tasks)
    match args.verb:
        case "list":
            return _list(_chosen(tasks, args), as_json=args.json)
        case "show":
            print(json.dumps(_find(tasks, args.task_id).public(), indent=2, ensure_ascii=False))
            return 0
        case "try":
            return _try(args, _find(tasks, args.task_id))
        case _:
            return _verify(spec, _chosen(tasks, args), args)


def _list(tasks: list[Task], *, as_json: bool) -> int:
    if as_json:
        print(json.dumps([task.public() for task in tasks], indent=2, ensure_ascii=False))
        return 0
    width = max((len(task.id) for task in tasks), default=0)
    for task in tasks:
        first = next(iter(task.instruction.splitlines()), "")
        print(f"{task.split}[{task.index}]  {task.id:{width}}  {first}"[:100])
    return 0


def _try(args: argparse.Namespace, task: Task) -> int:
    options: dict[str, Any] = task.by_value() if args.tasks else {"task_id": task.id}
    words = [f"{name}={json.dumps(value)}" for name, value in options.items()]
    return run_command.run(argparse.Namespace(env=args.env, url=None, token=None, options=words))


def _verify(spec: EnvSpec, tasks: list[Task], args: argparse.Namespace) -> int:
    from paddock.sandbox.levels import survey  # noqa: PLC0415 - needs what the server needs
    from paddock.verification import Finding, verify  # noqa: PLC0415

    if args.times < 2:
        raise ConfigurationError("--times: at least 2, or no check is seen to change its mind")

    async def play() -> tuple[list[Level], list[Finding]]:
        levels = [level for level, why in (await survey()).items() if why is None]
        by_value = args.tasks is not None
        return levels, await verify(spec, tasks, levels, by_value=by_value, times=args.times)

    levels, findings = anyio.run(play)
    if args.json:
        rows = [{"task_id": f.task_id, "kind": f.kind, "said": f.said} for f in findings]
        print(json.dumps(rows, indent=2))
        return 1 if findings else 0
    for task in tasks:
        own = [finding for finding in findings if finding.task_id == task.id]
        print(f"{'FAILED' if own else 'ok':6}  {task.id}")
        for finding in own:
            print(f"        {finding.kind}: {finding.said}")
    print(f"{len(tasks)} tasks, {len(findings)} findings; levels: {', '.join(levels)}")
    return 1 if findings else 0


def _tasks_of(spec: EnvSpec, path: Path | None) -> TaskSet:
    if path is not None:
        return load_tasks(path)
    if spec.tasks is None:
        raise ConfigurationError(f"{spec.name} has no tasks of its own: name some with --tasks")
    tasks = load(spec.tasks)
    if not isinstance(tasks, TaskSet):
        raise ConfigurationError(f"{spec.tasks} is no TaskSet")
    return tasks


def _chosen(tasks: TaskSet, args: argparse.Namespace) -> list[Task]:
    if args.task_ids:
        return [_find(tasks, task_id) for task_id in args.task_ids]
    found: list[Task] = []
    for split in tasks.splits if args.split is None else [args.split]:
        try:
            stop = MOST if tasks.count(split) is None else None
            found += tasks.range(split, 0, stop)
        except KeyError:
            raise ConfigurationError(f"there is no split {split!r}") from None
    return found


def _find(tasks: TaskSet, task_id: str) -> Task:
    try:
        return tasks.find(task_id)
    except KeyError:
        raise ConfigurationError(f"there is no task {task_id!r}") from None
