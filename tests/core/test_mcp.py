"""OpenEnv's dialect of MCP, over HTTP and over WebSocket."""

from collections.abc import AsyncGenerator
from typing import Any

import httpx
import pytest

import probe
from serving import Served, serving

CREATE, CLOSE = "openenv/session/create", "openenv/session/close"


@pytest.fixture
async def server() -> AsyncGenerator[Served]:
    async with serving(probe.SPEC, capacity=2, queue_s=0.1) as server:
        yield server


def request(method: str, params: dict[str, Any] | None = None, rpc_id: Any = 1) -> dict[str, Any]:
    body = {"jsonrpc": "2.0", "id": rpc_id, "method": method}
    return body if params is None else {**body, "params": params}


async def rpc(server: Served, method: str, params: dict[str, Any] | None = None) -> Any:
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{server.url}/mcp", json=request(method, params))
    assert answer.status_code == 200
    return answer.json()


def echo(message: str, **more: Any) -> dict[str, Any]:
    return {"name": "echo", "arguments": {"message": message, **more}}


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("{}", -32600),
        ("{bad", -32700),
        ("[]", -32700),
        ('{"jsonrpc": "2.0"}', -32600),
        ('{"jsonrpc": "1.0", "method": "x"}', -32600),
        ('{"jsonrpc": "2.0", "method": "tools/list", "params": [1]}', -32600),
        ('{"jsonrpc": "2.0", "method": "resources/list", "id": 1}', -32601),
        ('{"jsonrpc": "2.0", "method": "tools/call", "id": 1}', -32602),
        ('{"jsonrpc": "2.0", "method": "openenv/session/close", "id": 1}', -32602),
    ],
)
async def test_every_error_is_a_json_rpc_error_with_status_200(
    server: Served, body: str, code: int
):
    async with httpx.AsyncClient() as http:
        answer = await http.post(f"{server.url}/mcp", content=body)
    assert answer.status_code == 200
    assert answer.json()["jsonrpc"] == "2.0"
    assert answer.json()["error"]["code"] == code


async def test_tools_are_listed_without_a_session(server: Served):
    answer = await rpc(server, "tools/list")
    (tool,) = answer["result"]["tools"]
    assert tool["name"] == "echo"
    assert tool["description"] == "Say something back."
    assert tool["inputSchema"]["required"] == ["message"]
    assert not {"type", "metadata"} & set(tool["inputSchema"]["properties"])


async def test_a_call_without_a_session_gets_a_throw_away_one(server: Served):
    answer = await rpc(server, "tools/call", echo("hi"))
    result = answer["result"]
    assert result["data"]["echoed"] == "hi"
    assert result["structured_content"] == result["data"]
    assert result["is_error"] is False
    assert result["content"][0]["type"] == "text"
    assert server.manager.active == 0


async def test_calls_in_a_session_are_steps_of_it(server: Served):
    session_id = (await rpc(server, CREATE))["result"]["session_id"]
    await rpc(server, "tools/call", {**echo("one"), "session_id": session_id})
    await rpc(server, "tools/call", {**echo("two"), "session_id": session_id})
    async with server.ws(f"/ws?session_id={session_id}") as wire:
        state = (await wire.ask({"type": "state"}))["data"]
    assert (state["step_count"], state["last"]) == (2, "two")


@pytest.mark.parametrize(
    ("params", "says"),
    [
        ({"name": "nope"}, "Unknown tool: 'nope'"),
        ({"name": "echo", "arguments": {}}, "message: Field required"),
        ({"name": "echo", "arguments": {"type": "echo", "message": "x"}}, "type"),
        ({"name": "echo", "arguments": {"message": "x", "op": "raise"}}, "boom: x"),
        ({"name": "evaluate"}, "Unknown tool: 'evaluate'"),
        ({"name": "call_tool"}, "Unknown tool: 'call_tool'"),
    ],
)
async def test_a_failed_call_is_an_internal_error_as_upstream(
    server: Served, params: dict[str, Any], says: str
):
    error = (await rpc(server, "tools/call", params))["error"]
    assert error["code"] == -32603
    assert says in error["message"]


async def test_a_session_lives_from_create_to_close(server: Served):
    session_id = (await rpc(server, CREATE))["result"]["session_id"]
    async with server.ws(f"/ws?session_id={session_id}") as wire:
        await wire.ask({"type": "reset", "data": {"episode_id": "kept"}})
        await wire.send({"type": "close"})
    async with server.ws(f"/ws?session_id={session_id}") as wire:
        assert (await wire.ask({"type": "state"}))["data"]["episode_id"] == "kept"
    closed = await rpc(server, CLOSE, {"session_id": session_id})
    assert closed["result"] == {"session_id": session_id, "closed": True}
    again = await rpc(server, CLOSE, {"session_id": session_id})
    assert again["error"]["code"] == -32602
    assert "Unknown session_id" in again["error"]["message"]


async def test_closing_an_attached_session_waits_for_its_connection(server: Served):
    session_id = (await rpc(server, CREATE))["result"]["session_id"]
    async with server.ws(f"/ws?session_id={session_id}") as wire:
        await wire.ask({"type": "reset"})
        answer = await rpc(server, CLOSE, {"session_id": session_id})
        assert answer["result"] == {"session_id": session_id, "closed": False, "closing": True}
        assert (await wire.ask({"type": "state"}))["type"] == "state"
    await server.until(lambda m: m.active == 0)


async def test_a_full_server_refuses_to_create(server: Served):
    await rpc(server, CREATE)
    await rpc(server, CREATE)
    error = (await rpc(server, CREATE))["error"]
    assert error["code"] == -32000
    assert error["data"]["max_sessions"] == 2


class TestOnTheSocket:
    async def test_one_session_per_connection(self, server: Served):
        async with server.ws("/mcp") as wire:
            tools = await wire.ask(request("tools/list"))
            assert tools["result"]["tools"][0]["name"] == "echo"
            answer = await wire.ask(request("tools/call", echo("hi"), "a-string"))
            assert answer["id"] == "a-string"
            assert answer["result"]["data"]["echoed"] == "hi"
            own = await wire.ask(request(CREATE))
            session_id = own["result"]["session_id"]
            refused = await wire.ask(request(CLOSE, {"session_id": session_id}))
            assert refused["error"]["code"] == -32600
            closed = await rpc(server, CLOSE, {"session_id": session_id})
            assert closed["result"]["closed"] is True

    @pytest.mark.parametrize("text", ["{bad", "[1]", "{}", "7"])
    async def test_nonsense_is_answered_and_the_connection_goes_on(self, server: Served, text: str):
        async with server.ws("/mcp") as wire:
            assert (await wire.ask(text))["error"]["code"] in (-32600, -32700)
            assert (await wire.ask(request("tools/list")))["result"]

    async def test_a_full_server_says_so_in_json_rpc(self, server: Served):
        async with server.ws("/mcp"), server.ws("/mcp"), server.ws("/mcp") as wire:
            refusal = await wire.receive()
        assert refusal["error"]["code"] == -32000
        assert refusal["error"]["data"]["active_sessions"] == 2

    async def test_mcp_frames_on_ws_reach_the_same_session(self, server: Served):
        async with server.ws() as wire:
            await wire.ask({"type": "reset"})
            answer = await wire.ask({"type": "mcp", "data": request("tools/call", echo("hi"))})
            assert answer["type"] == "mcp"
            assert answer["data"]["result"]["data"]["echoed"] == "hi"
            assert (await wire.ask({"type": "state"}))["data"]["step_count"] == 1
            wrong = await wire.ask({"type": "mcp", "data": {}})
            assert wrong["data"]["error"]["code"] == -32600


class TestToolActions:
    """The same through `step`: OpenEnv's CallToolAction and ListToolsAction."""

    async def test_listing_needs_no_reset(self, server: Served):
        async with server.ws() as wire:
            answer = await wire.step(type="list_tools")
        (tool,) = answer["data"]["observation"]["tools"]
        assert set(tool) == {"name", "description", "input_schema"}

    async def test_a_call_is_a_step(self, server: Served):
        async with server.ws() as wire:
            await wire.ask({"type": "reset"})
            arguments = {"message": "bye", "op": "done"}
            answer = await wire.step(type="call_tool", tool_name="echo", arguments=arguments)
            observation = answer["data"]["observation"]
            assert observation["tool_name"] == "echo"
            assert observation["error"] is None
            assert observation["result"]["data"]["echoed"] == "bye"
            assert (answer["data"]["reward"], answer["data"]["done"]) == (1.0, True)
            assert (await wire.ask({"type": "state"}))["data"]["step_count"] == 1

    @pytest.mark.parametrize(
        ("call", "kind"),
        [
            ({"tool_name": "nope"}, "tool_not_found"),
            ({"tool_name": "echo"}, "invalid_args"),
            (
                {"tool_name": "echo", "arguments": {"message": "x", "op": "raise"}},
                "execution_error",
            ),
        ],
    )
    async def test_what_fails_is_in_the_observation(
        self, server: Served, call: dict[str, Any], kind: str
    ):
        async with server.ws() as wire:
            observation = (await wire.step(type="call_tool", **call))["data"]["observation"]
        assert observation["result"] is None
        assert observation["error"]["error_type"] == kind
        assert observation["error"]["message"]
