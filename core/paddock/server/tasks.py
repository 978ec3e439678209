"""The task routes: which tasks an environment ships, in the shape OpenEnv and ORS agreed on."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, HTTPException, Request
from pydantic import BaseModel, ConfigDict

from paddock.catalog import EnvSpec, load
from paddock.errors import ConfigurationError
from paddock.server.body import documented, reader
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


SplitBody = Annotated[SplitRequest, Depends(reader(SplitRequest))]
TaskBody = Annotated[TaskRequest, Depends(reader(TaskRequest))]
RangeBody = Annotated[RangeRequest, Depends(reader(RangeRequest))]


def task_routes(spec: EnvSpec) -> APIRouter:
    """Return the task routes. Without tasks they answer 501, as OpenEnv's do."""
    router = APIRouter(tags=["tasks"])

    def tasks(request: Request, method: str) -> TaskSet:
        env_name: str = request.path_params["env_name"]
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
        except ConfigurationError as exc:
            raise HTTPException(500, str(exc)) from exc
        except ValueError as exc:
            raise HTTPException(400, str(exc)) from None

    @router.get("/list_environments", response_model=None)
    async def list_environments() -> list[str]:
        return [spec.name]

    @router.get("/{env_name}/splits", response_model=None)
    def splits(request: Request) -> list[dict[str, str]]:
        kinds = ("train", "validation", "test")
        return [
            {"name": name, "type": name if name in kinds else "validation"}
            for name in tasks(request, "list_splits").splits
        ]

    @router.post("/{env_name}/tasks", **_takes(SplitRequest))
    def list_tasks(request: Request, body: SplitBody) -> dict[str, Any]:
        found = tasks(request, "list_tasks")
        public = checked(lambda: [t.public() for t in found.range(body.split)])
        return {"tasks": public, "env_name": spec.name}

    @router.post("/{env_name}/num_tasks", **_takes(SplitRequest))
    def num_tasks(request: Request, body: SplitBody) -> dict[str, int | None]:
        found = tasks(request, "num_tasks")
        return {"num_tasks": checked(lambda: found.count(body.split))}

    @router.post("/{env_name}/task", **_takes(TaskRequest))
    def get_task(request: Request, body: TaskBody) -> dict[str, Any]:
        found = tasks(request, "get_task")
        return {"task": checked(lambda: found.get(body.split, body.index).public())}

    @router.post("/{env_name}/task_range", **_takes(RangeRequest))
    def task_range(request: Request, body: RangeBody) -> dict[str, Any]:
        found = tasks(request, "list_tasks")
        some = checked(lambda: [t.public() for t in found.range(body.split, body.start, body.stop)])
        return {"tasks": some}

    return router


def _takes(model: type[BaseModel]) -> dict[str, Any]:
    return {"response_model": None, "openapi_extra": documented(model)}
