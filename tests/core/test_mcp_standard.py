"""Standard MCP over Streamable HTTP: the wire, and what a session of it is."""

import subprocess
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import anyio
import httpx
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError

import probe
from serving import Served, serving

VERSION = "2025-11-25"
INITIALIZE = {
    "protocolVersion": VERSION,
    "capabilities": {},
    "clientInfo": {"name": "a test", "version": "1"},
}


@dataclass
class Spoken:
    """An MCP session, spoken by hand."""

    http: httpx.AsyncClient
    path: str
    headers: dict[str, str]

    @property
    def id(self) -> str:
        return self.headers["Mcp-Session-Id"]

    async def post(self, body: Any) -> httpx.Response:
        return await self.http.post(self.path, json=body, headers=self.headers)

    async def ask(self, method: str, params: Any = None, rpc_id: Any = 2) -> dict[str, Any]:
        answer = await self.post(rpc(method, params, rpc_id))
        assert answer.status_code == 200, answer.text
        assert answer.json()["id"] == rpc_id
        return answer.json()

    async def call(self, op: str = "echo", message: str = "hi", **more: Any) -> dict[str, Any]:
        arguments = {"message": message, "op": op, **more}
        return (await self.ask("tools/call", {"name": "echo", "arguments": arguments}))["result"]

    async def delete(self) -> httpx.Response:
        return await self.http.delete(self.path, headers=self.headers)


def rpc(method: str, params: Any = None, rpc_id: Any = 1) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": rpc_id, "method": method}
    return body if params is None else {**body, "params": params}


async def speak(http: httpx.AsyncClient, path: str = "/mcp") -> Spoken:
    """Begin a session."""
    answer = await http.post(path, json=rpc("initialize", INITIALIZE))
    assert answer.status_code == 200, answer.text
    assert answer.json()["result"]["protocolVersion"] == VERSION
    headers = {
        "Mcp-Session-Id": answer.headers["mcp-session-id"],
        "MCP-Protocol-Version": VERSION,
    }
    spoken = Spoken(http, path, headers)
    initialized = {"jsonrpc": "2.0", "method": "notifications/initialized"}
    accepted = await spoken.post(initialized)
    assert (accepted.status_code, accepted.content) == (202, b"")
    return spoken


@asynccontextmanager
async def client_of(server: Served) -> AsyncGenerator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=server.url, timeout=20) as http:
        yield http


@pytest.fixture
async def server() -> AsyncGenerator[Served]:
    async with serving(probe.SPEC, capacity=2, queue_s=0.1, step_s=1.0) as server:
        yield server


@pytest.fixture
async def http(server: Served) -> AsyncGenerator[httpx.AsyncClient]:
    async with client_of(server) as http:
        yield http


async def test_a_session_lives_from_initialize_to_delete(server: Served, http: httpx.AsyncClient):
    session = await speak(http)
    assert server.manager.find(session.id)
    assert (await session.ask("ping"))["result"] == {}
    assert (await session.delete()).status_code == 200
    await server.until(lambda m: m.active == 0)
    assert (await session.post(rpc("ping"))).status_code == 404
    assert (await session.delete()).status_code == 404


async def test_tools_are_the_actions(http: httpx.AsyncClient):
    session = await speak(http)
    (tool,) = (await session.ask("tools/list"))["result"]["tools"]
    assert (tool["name"], tool["description"]) == ("echo", "Say something back.")
    assert tool["inputSchema"]["required"] == ["message"]
    assert {"echoed", "length"} <= set(tool["outputSchema"]["properties"])
    assert not {"done", "reward", "metadata"} & set(tool["outputSchema"]["properties"])


async def test_a_call_is_a_step_that_a_trainer_sees_by_the_session_s_id(http: httpx.AsyncClient):
    session = await speak(http)
    trainer = {"X-Session-Id": session.id}
    await http.post("/reset", json={"seed": 7}, headers=trainer)
    result = await session.call(message="one")
    assert result["isError"] is False
    assert result["structuredContent"]["echoed"] == "one"
    assert '"echoed": "one"' in result["content"][0]["text"]
    assert result["_meta"] == {"paddock/done": False, "paddock/reward": 0.5}
    await session.call(message="two")
    state = (await http.get("/state", headers=trainer)).json()
    assert (state["step_count"], state["last"]) == (2, "two")


async def test_a_call_can_end_the_episode(http: httpx.AsyncClient):
    session = await speak(http)
    result = await session.call("done")
    assert result["_meta"] == {"paddock/done": True, "paddock/reward": 1.0}
    assert "reward" not in result["structuredContent"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "message: Field required"),
        ({"message": "x", "more": 1}, "more: Extra inputs"),
        ({"message": "x", "type": "echo"}, "no tool has this argument"),
        ({"message": "x", "op": "raise"}, "boom: x"),
        ({"message": "x", "op": "odd"}, "not JSON"),
        ({"message": "x", "op": "big", "arg": 2_000_000}, "server's limit"),
        ({"message": "x", "op": "sleep", "arg": 30}, "1 s"),
    ],
    ids=["missing", "unknown", "type", "raises", "no JSON", "too long", "deadline"],
)
async def test_what_an_agent_can_do_better_is_a_result_with_is_error(
    http: httpx.AsyncClient, arguments: dict[str, Any], says: str
):
    session = await speak(http)
    answer = await session.ask("tools/call", {"name": "echo", "arguments": arguments})
    assert answer["result"]["isError"] is True
    assert says in answer["result"]["content"][0]["text"]
    assert (await session.call())["isError"] is False


@pytest.mark.parametrize("name", ["nope", "evaluate", "call_tool", "reset"])
async def test_there_is_no_tool_but_the_actions(http: httpx.AsyncClient, name: str):
    session = await speak(http)
    error = (await session.ask("tools/call", {"name": name, "arguments": {}}))["error"]
    assert (error["code"], error["message"]) == (-32602, f"Unknown tool: {name}")


async def test_a_picture_is_image_content_and_comes_once(http: httpx.AsyncClient):
    session = await speak(http)
    answer = await session.post(
        rpc("tools/call", {"name": "echo", "arguments": {"message": "x", "op": "picture"}})
    )
    result = answer.json()["result"]
    text, picture = result["content"]
    assert (picture["type"], picture["mimeType"], picture["data"]) == (
        "image",
        "image/png",
        probe.PNG,
    )
    assert answer.text.count(probe.PNG) == 1
    extra = result["structuredContent"]["extra"]
    assert extra["shots"][0]["image/png"] == "(picture 1: image/png, 12 bytes)"
    assert extra["image/svg+xml"] == "<g/>"
    assert "a picture" in text["text"]


async def test_a_cancelled_call_ends_its_step(http: httpx.AsyncClient):
    session = await speak(http)
    await session.call()
    gone = {"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 9}}
    asleep = {"name": "echo", "arguments": {"message": "x", "op": "sleep", "arg": 0.9}}
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(session.post, rpc("tools/call", asleep, 9))
        with anyio.fail_after(5):
            while f"cancelled {session.id}" not in probe.LOG:
                await session.post(gone)
                await anyio.sleep(0.02)
    assert (await session.call())["isError"] is False


async def test_an_id_in_progress_is_refused_and_nobody_waits_for_ever(http: httpx.AsyncClient):
    session = await speak(http)
    await session.call()
    asleep = {"name": "echo", "arguments": {"message": "x", "op": "sleep", "arg": 0.3}}
    statuses: list[int] = []

    async def call(rpc_id: int | str) -> None:
        statuses.append((await session.post(rpc("tools/call", asleep, rpc_id))).status_code)

    with anyio.fail_after(5):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call, 5)
            tasks.start_soon(call, "5")
    assert sorted(statuses) == [200, 400]
    assert (await session.call())["isError"] is False


async def test_a_client_that_hangs_up_costs_no_more_than_its_step(
    server: Served, http: httpx.AsyncClient
):
    session = await speak(http)
    asleep = {"name": "echo", "arguments": {"message": "x", "op": "sleep", "arg": 0.5}}
    with anyio.move_on_after(0.1):
        await session.post(rpc("tools/call", asleep, 5))
    with anyio.fail_after(5):
        assert (await session.call())["isError"] is False
    with anyio.move_on_after(0.1):
        await session.post(rpc("tools/call", asleep, 5))
    await session.delete()
    await server.until(lambda m: m.active == 0)


async def test_a_full_server_says_so_in_json_rpc(server: Served, http: httpx.AsyncClient):
    first = await speak(http)
    await speak(http)
    refused = await http.post("/mcp", json=rpc("initialize", INITIALIZE))
    error = refused.json()["error"]
    assert (error["code"], error["data"]["max_sessions"]) == (-32000, 2)
    assert "mcp-session-id" not in refused.headers
    await first.delete()
    await server.until(lambda m: m.active == 1)
    await speak(http)


async def test_an_address_names_the_session_and_delete_leaves_it(
    server: Served, http: httpx.AsyncClient
):
    one, two = await speak(http, "/s/kept/mcp"), await speak(http, "/s/kept/mcp")
    assert server.manager.active == 1
    assert one.id != two.id
    await one.call(message="from one")
    await one.delete()
    await two.call(message="from two")
    await two.delete()
    state = (await http.get("/s/kept/state")).json()
    assert (state["step_count"], state["last"]) == (2, "from two")
    await http.post("/s/kept/close")
    assert (await two.post(rpc("ping"))).status_code == 404


@pytest.mark.parametrize("door", ["/close", "openenv/session/close"])
async def test_who_ends_the_session_ends_its_mcp_session(
    server: Served, http: httpx.AsyncClient, door: str
):
    session = await speak(http)
    if door == "/close":
        await http.post(door, headers={"X-Session-Id": session.id})
    else:
        await http.post("/mcp", json=rpc(door, {"session_id": session.id}))
    with anyio.fail_after(5):
        while (await session.post(rpc("ping"))).status_code != 404:
            await anyio.sleep(0.01)
    assert server.manager.active == 0


async def test_an_idle_session_is_gone():
    async with serving(probe.SPEC, idle_s=0.3) as server, client_of(server) as http:
        session = await speak(http)
        await server.until(lambda m: m.active == 0)
        assert (await session.post(rpc("ping"))).status_code == 404


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (rpc("tools/list"), 400, -32600),
        (rpc("initialize"), 400, -32602),
        (rpc("initialize", {"protocolVersion": 7}), 400, -32602),
        ({"method": "initialize"}, 400, -32600),
        ([rpc("initialize", INITIALIZE)], 400, -32700),
    ],
    ids=["no session", "no params", "bad params", "no JSON-RPC", "batch"],
)
async def test_what_begins_no_session_leaves_none(
    server: Served, http: httpx.AsyncClient, body: Any, status: int, code: int
):
    headers = {"MCP-Protocol-Version": VERSION}
    answer = await http.post("/mcp", json=body, headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (status, code)
    assert server.manager.active == 0


async def test_the_protocol_without_sessions_is_refused_with_the_versions_that_have_them(
    http: httpx.AsyncClient,
):
    headers = {"MCP-Protocol-Version": "2026-07-28"}
    answer = await http.post("/mcp", json=rpc("server/discover", {}), headers=headers)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (400, -32022)
    assert error["data"]["requested"] == "2026-07-28"
    assert VERSION in error["data"]["supported"]


async def test_there_is_no_stream_to_get(http: httpx.AsyncClient):
    session = await speak(http)
    answer = await http.get("/mcp", headers={**session.headers, "Accept": "text/event-stream"})
    assert answer.status_code == 405


async def test_both_dialects_at_once(http: httpx.AsyncClient):
    session = await speak(http)
    await session.call(message="standard")
    params = {"name": "echo", "arguments": {"message": "theirs"}, "session_id": session.id}
    result = (await http.post("/mcp", json=rpc("tools/call", params))).json()["result"]
    assert (result["is_error"], result["data"]["echoed"]) == (False, "theirs")
    state = (await http.get("/state", headers={"X-Session-Id": session.id})).json()
    assert state["step_count"] == 2
    assert (await http.post("/mcp", json={})).json()["error"]["code"] == -32600


async def test_in_production_the_tools_stay_and_the_rest_is_closed():
    async with serving(probe.SPEC, mode="production") as server, client_of(server) as http:
        session = await speak(http)
        assert (await session.call())["isError"] is False
        mine = {"X-Session-Id": session.id}
        for path in ("/reset", "/step", "/evaluate", "/close"):
            assert (await http.post(path, json={}, headers=mine)).status_code == 404
        assert (await http.get("/state", headers=mine)).status_code == 404
        async with server.ws(f"/ws?session_id={session.id}") as wire:
            for frame in ({"type": "reset"}, {"type": "state"}):
                assert (await wire.ask(frame))["data"]["error"] == "NotAvailable"
            for action in ({"message": "x"}, {"type": "evaluate"}, {"type": "list_tools"}):
                assert (await wire.step(**action))["data"]["error"] == "NotAvailable"
        for verb in ("reset", "step", "state", "evaluate"):
            error = (await session.ask("tools/call", {"name": verb, "arguments": {}}))["error"]
            assert error["code"] == -32602
            assert (await session.ask(verb))["error"]["code"] == -32601


async def test_the_token_guards_it():
    async with serving(probe.SPEC, token="secret") as server, client_of(server) as http:
        assert (await http.post("/mcp", json=rpc("initialize", INITIALIZE))).status_code == 401
        http.headers["Authorization"] = "Bearer secret"
        assert (await (await speak(http)).call())["isError"] is False


async def test_the_official_client_falls_back_to_a_session(server: Served):
    async with Client(f"{server.url}/mcp") as client:
        assert client.protocol_version == VERSION
        await client.call_tool("echo", {"message": "one"})
        result = await client.call_tool("echo", {"message": "two"})
        assert result.structured_content is not None
        assert result.structured_content["echoed"] == "two"
        with pytest.raises(MCPError, match="Unknown tool"):
            await client.call_tool("nope", {})
        (lease,) = server.manager._leases.values()
        assert lease.session.steps == 2
    await server.until(lambda m: m.active == 0)


def test_the_sdk_is_not_loaded_before_somebody_speaks_to_it():
    code = "import sys, paddock.server.run; sys.exit('mcp' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
