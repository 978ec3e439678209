"""The task routes: which tasks an environment ships, in the shape OpenEnv and ORS agreed on."""

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, HTTPException
from pydantic import BaseModel, ConfigDict

from paddock.catalog import EnvSpec, load
from paddock.tasks import TaskSet

__all__ = ["task_routes"]

T = TypeVar("T")


class SplitRequest(BaseModel):
    """A body that names a split."""

    model_config = ConfigDict(extra="forbid")

    split: str


class TaskRequest(SplitRequest):
    """A body that names one task of a split."""

    index: int


class RangeRequest(SplitRequest):
    """A body that names a slice of a split, half open."""

    start: int | None = None
    stop: int | None = None


def task_routes(spec: EnvSpec) -> APIRouter:
    """Return the task routes. Without tasks they answer 501, as OpenEnv's do."""
    router = APIRouter(tags=["tasks"])

    def tasks(env_name: str, method: str) -> TaskSet:
        if env_name.lower() != spec.name.lower():
            raise HTTPException(404, f"unknown environment '{env_name}'")
        if spec.tasks is None:
            raise HTTPException(501, f"{method} is not supported for this environment")
        found = load(spec.tasks)
        assert isinstance(found, TaskSet)
        return found

    def checked(look: Callable[[], T]) -> T:
        try:
            return look()
        except IndexError:
            raise HTTPException(400, "Invalid task index") from None
        except KeyError as exc:
            raise HTTPException(400, f"unknown split {exc.args[0]!r}") from None

    @router.get("/list_environments")
    def list_environments() -> list[str]:
        return [spec.name]

    @router.get("/{env_name}/splits")
    def splits(env_name: str) -> list[dict[str, str]]:
        kinds = ("train", "validation", "test")
        return [
            {"name": name, "type": name if name in kinds else "validation"}
            for name in tasks(env_name, "list_splits").splits
        ]

    @router.post("/{env_name}/tasks")
    def list_tasks(env_name: str, body: SplitRequest) -> dict[str, Any]:
        found = tasks(env_name, "list_tasks")
        public = checked(lambda: [t.public() for t in found.range(body.split)])
        return {"tasks": public, "env_name": spec.name}

    @router.post("/{env_name}/num_tasks")
    def num_tasks(env_name: str, body: SplitRequest) -> dict[str, int]:
        found = tasks(env_name, "num_tasks")
        return {"num_tasks": checked(lambda: found.count(body.split))}

    @router.post("/{env_name}/task")
    def get_task(env_name: str, body: TaskRequest) -> dict[str, Any]:
        found = tasks(env_name, "get_task")
        return {"task": checked(lambda: found.get(body.split, body.index).public())}

    @router.post("/{env_name}/task_range")
    def task_range(env_name: str, body: RangeRequest) -> dict[str, Any]:
        found = tasks(env_name, "list_tasks")
        some = checked(lambda: [t.public() for t in found.range(body.split, body.start, body.stop)])
        return {"tasks": some}

    return router
