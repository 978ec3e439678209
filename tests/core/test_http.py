"""The HTTP doors: bound sessions, throw-away sessions, errors as JSON."""

import time
from collections.abc import AsyncGenerator

import anyio
import httpx
import pytest

import probe
from serving import Served, serving


@pytest.fixture
async def server() -> AsyncGenerator[Served]:
    async with serving(probe.SPEC, queue_s=0.2, step_s=2) as server:
        yield server


@pytest.fixture
async def http(server: Served) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as client:
        yield client


def echo(message: str, **more: object) -> dict[str, object]:
    return {"action": {"message": message, **more}}


async def test_a_request_without_a_session_gets_one_and_leaves_nothing(
    server: Served, http: httpx.AsyncClient
):
    answer = await http.post("/reset")
    assert answer.json() == {
        "observation": {
            "metadata": {},
            "echoed": "ready",
            "length": 0,
            "saw_timeout_s": None,
            "extra": {"seed": None, "kw": {}},
        },
        "reward": None,
        "done": False,
        "metadata": None,
    }
    answer = await http.post("/step", json=echo("hi"))
    assert answer.json()["observation"]["echoed"] == "hi"
    assert (await http.get("/state")).json() == {
        "episode_id": None, "step_count": 0, "last": "", "closed": False,
    }  # fmt: skip
    assert server.manager.active == 0


async def test_an_episode_id_binds_requests_to_one_session(http: httpx.AsyncClient):
    await http.post("/reset", json={"episode_id": "ep", "seed": 3})
    await http.post("/step", json={**echo("one"), "episode_id": "ep"})
    answer = await http.post("/step", json={**echo("two"), "episode_id": "ep"})
    assert answer.headers["x-session-id"] == "episode:ep"
    state = (await http.get("/state", params={"episode_id": "ep"})).json()
    assert state == {"episode_id": "ep", "step_count": 2, "last": "two", "closed": False}


@pytest.mark.parametrize("how", ["header", "prefix"])
async def test_an_id_binds_requests_to_one_session(
    server: Served, http: httpx.AsyncClient, how: str
):
    base = "/s/mine" if how == "prefix" else ""
    headers = {"X-Session-Id": "mine"} if how == "header" else {}
    await http.post(f"{base}/reset", json={"episode_id": "ep"}, headers=headers)
    await http.post(f"{base}/step", json=echo("one"), headers=headers)
    state = (await http.get(f"{base}/state", headers=headers)).json()
    assert (state["episode_id"], state["step_count"], state["last"]) == ("ep", 1, "one")
    closed = await http.post(f"{base}/close", headers=headers)
    assert closed.json() == {"session_id": "mine", "closed": True}
    assert server.manager.active == 0
    gone = await http.post(f"{base}/step", json=echo("two"), headers=headers)
    assert gone.status_code == 404
    assert gone.json()["code"] == "SESSION_ERROR"


async def test_http_and_the_socket_reach_the_same_session(server: Served, http: httpx.AsyncClient):
    async with server.ws("/s/both/ws") as wire:
        await wire.ask({"type": "reset", "data": {"episode_id": "ep"}})
        await http.post("/s/both/step", json=echo("over http"))
        state = (await wire.ask({"type": "state"}))["data"]
    assert (state["last"], state["step_count"]) == ("over http", 1)


@pytest.mark.parametrize(
    ("path", "body", "status", "loc"),
    [
        ("/reset", {"seed": -1}, 422, ["body", "seed"]),
        ("/reset", {"seed": "x"}, 422, ["body", "seed"]),
        ("/reset", [1], 422, ["body"]),
        ("/reset", {"episode_id": "x" * 256}, 422, ["body", "episode_id"]),
        ("/step", {}, 422, ["body", "action"]),
        ("/step", {"action": "str"}, 422, ["body", "action"]),
        ("/step", {"message": "hi"}, 422, ["body", "action"]),
        ("/step", {"action": {}, "timeout_s": 0}, 422, ["body", "timeout_s"]),
        ("/step", {"action": {"message": ""}}, 422, ["message"]),
        ("/step", {"action": {"message": "x", "bogus": 1}}, 422, ["bogus"]),
    ],
)
async def test_bad_input_is_located(
    http: httpx.AsyncClient, path: str, body: object, status: int, loc: list[str]
):
    answer = await http.post(path, json=body)
    assert answer.status_code == status
    assert answer.json()["detail"][0]["loc"] == loc


async def test_an_environment_that_raises_is_an_answer_in_json(http: httpx.AsyncClient):
    answer = await http.post("/step", json=echo("x", op="raise"))
    assert answer.status_code == 500
    assert answer.json() == {
        "detail": "boom: x", "code": "EXECUTION_ERROR", "error": "StepFailed",
    }  # fmt: skip


async def test_a_step_has_the_limit_its_request_asks_for(http: httpx.AsyncClient):
    slow = {**echo("x", op="sleep", arg=30), "timeout_s": 0.2}
    started = time.monotonic()
    answer = await http.post("/step", json=slow)
    assert time.monotonic() - started < 1
    assert answer.status_code == 504
    assert answer.json()["error"] == "StepTimeout"


async def test_a_full_server_says_when_to_come_back(server: Served, http: httpx.AsyncClient):
    for number in range(8):
        await http.post("/reset", json={"episode_id": f"ep{number}"})
    answer = await http.post("/reset")
    assert answer.status_code == 503
    assert int(answer.headers["retry-after"]) >= 1
    assert answer.json()["code"] == "CAPACITY_REACHED"


async def test_a_client_that_hangs_up_has_its_step_cancelled(
    server: Served, http: httpx.AsyncClient
):
    probe.LOG.clear()
    with anyio.move_on_after(0.3):
        await http.post("/step", json=echo("x", op="sleep", arg=1.5))
    await server.until(lambda m: m.active == 0, limit_s=1)
    assert any(line.startswith("cancelled") for line in probe.LOG)


async def test_a_failing_factory_is_json_too():
    async with serving(probe.FAILING) as server, httpx.AsyncClient(base_url=server.url) as http:
        assert (await http.get("/health")).json() == {"status": "healthy"}
        assert (await http.get("/metadata")).status_code == 200
        answer = await http.post("/reset")
        assert answer.status_code == 500
        assert answer.json()["code"] == "FACTORY_ERROR"


async def test_health_answers_while_a_step_runs(server: Served, http: httpx.AsyncClient):
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(lambda: http.post("/step", json=echo("x", op="sleep", arg=0.8)))
        await server.until(lambda m: m.active == 1)
        started = time.monotonic()
        assert (await http.get("/health")).json() == {"status": "healthy"}
        assert time.monotonic() - started < 0.4


async def test_the_server_describes_itself(http: httpx.AsyncClient):
    metadata = (await http.get("/metadata")).json()
    assert (metadata["name"], metadata["version"]) == ("echo_probe", "0.1.0")
    schema = (await http.get("/schema")).json()
    assert schema["action"]["title"] == "Echo"
    assert set(schema) == {"action", "observation", "state", "reset_observation"}
    openapi = (await http.get("/openapi.json")).json()
    assert openapi["info"]["version"].startswith("1.")
    assert {"/reset", "/step", "/state"} <= set(openapi["paths"])
    metrics = (await http.get("/metrics")).text
    assert "paddock_sessions_max 8" in metrics


async def test_production_mode_closes_the_control_verbs_on_every_door():
    async with serving(probe.SPEC, mode="production") as server:
        async with httpx.AsyncClient(base_url=server.url) as http:
            for path in ("/reset", "/step", "/evaluate", "/close"):
                assert (await http.post(path)).status_code == 404
            assert (await http.get("/state")).status_code == 404
            openapi = (await http.get("/openapi.json")).json()
            assert not {"/reset", "/step", "/state"} & set(openapi["paths"])
        async with server.ws() as wire:
            for frame in ({"type": "reset"}, {"type": "state"}):
                assert (await wire.ask(frame))["data"]["error"] == "NotAvailable"
            assert (await wire.step(message="x"))["data"]["error"] == "NotAvailable"
            call = {"name": "echo", "arguments": {"message": "tools stay"}}
            rpc = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": call}
            answer = await wire.ask({"type": "mcp", "data": rpc})
        assert answer["data"]["result"]["data"]["echoed"] == "tools stay"
