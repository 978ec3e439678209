"""The task routes, as OpenEnv and ORS shaped them."""

from collections.abc import AsyncGenerator

import httpx
import pytest

import probe
from paddock_terminal import SPEC
from serving import serving

TASK = {"id": "fix-the-median", "split": "train", "index": 1}


@pytest.fixture
async def http() -> AsyncGenerator[httpx.AsyncClient]:
    async with serving(SPEC) as server:
        async with httpx.AsyncClient(base_url=server.url) as client:
            yield client


async def test_tasks_are_listed_and_never_their_checks(http: httpx.AsyncClient):
    assert (await http.get("/list_environments")).json() == ["terminal"]
    splits = (await http.get("/TERMINAL/splits")).json()
    assert splits == [{"name": "train", "type": "train"}]
    body = {"split": "train"}
    count = (await http.post("/terminal/num_tasks", json=body)).json()["num_tasks"]
    listed = (await http.post("/terminal/tasks", json=body)).json()
    assert listed["env_name"] == "terminal"
    assert len(listed["tasks"]) == count
    one = (await http.post("/terminal/task", json={**body, "index": 1})).json()["task"]
    some = (await http.post("/terminal/task_range", json={**body, "start": 1, "stop": 2})).json()[
        "tasks"
    ]
    assert some == [one] == listed["tasks"][1:2]
    assert one | TASK == one
    assert set(one) == {"id", "split", "index", "instruction", "metadata"}


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "detail"),
    [
        ("GET", "/other/splits", None, 404, "unknown environment 'other'"),
        ("POST", "/terminal/task", {"split": "train", "index": 99}, 400, "Invalid task index"),
        ("POST", "/terminal/task", {"split": "nope", "index": 0}, 400, "unknown split 'nope'"),
    ],
)
async def test_what_is_not_there_is_said(
    http: httpx.AsyncClient, method: str, path: str, body: object, status: int, detail: str
):
    answer = await http.request(method, path, json=body)
    assert (answer.status_code, answer.json()["detail"]) == (status, detail)


@pytest.mark.parametrize("body", [{}, {"split": "train", "x": 1}])
async def test_a_body_that_does_not_fit_is_422(http: httpx.AsyncClient, body: object):
    assert (await http.post("/terminal/tasks", json=body)).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("GET", "splits", "list_splits"),
        ("POST", "tasks", "list_tasks"),
        ("POST", "num_tasks", "num_tasks"),
        ("POST", "task", "get_task"),
    ],
)
async def test_without_tasks_the_routes_are_not_implemented(method: str, path: str, name: str):
    async with serving(probe.NO_TASKS) as server, httpx.AsyncClient(base_url=server.url) as http:
        body = {"split": "train", "index": 0} if path == "task" else {"split": "train"}
        answer = await http.request(method, f"/echo_probe/{path}", json=body)
    assert answer.status_code == 501
    assert answer.json()["detail"] == f"{name} is not supported for this environment"
