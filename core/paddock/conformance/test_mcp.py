"""Tools: JSON-RPC at ``POST /mcp``, on the WebSocket ``/mcp``, and in frames of ``/ws``."""

import json
from collections.abc import Callable
from typing import Any, cast

import pytest

from paddock.conformance import expect
from paddock.conformance.requirements import requirement
from paddock.conformance.sampling import Unsampleable, sample
from paddock.conformance.wire import Server, Socket

Frame = dict[str, Any]
Open = Callable[..., Socket]

STATE: Frame = {"type": "state"}
RESET: Frame = {"type": "reset"}


def rpc(method: str, request_id: int | str = 1, **params: Any) -> Frame:
    return {"jsonrpc": "2.0", "id": request_id, "method": method, "params": params}


def schema_of(tool: Frame) -> Any:
    return tool.get("inputSchema", tool.get("input_schema"))


@pytest.fixture(scope="module")
def tools(server: Server) -> list[Frame]:
    """The tools of the environment."""
    response = server.rpc("tools/list")
    if "error" in response:
        pytest.skip(f"the environment has no tools: {response['error'].get('message')}")
    return response["result"]["tools"]


@pytest.fixture(scope="module")
def call(tools: list[Frame], sample_action: Frame) -> Frame:
    """The name of a tool and arguments that fit: the sample action, where that is one."""
    by_name = {tool["name"]: tool for tool in tools}
    name = sample_action.get("type")
    if name in by_name:
        arguments = {k: v for k, v in sample_action.items() if k not in ("type", "metadata")}
        return {"name": name, "arguments": arguments}
    if not tools:
        pytest.skip("the environment has no tools")
    try:
        arguments = sample(schema_of(tools[0]))
    except Unsampleable as exc:
        pytest.skip(f"no arguments could be made from the tool's schema: {exc}")
    return {"name": tools[0]["name"], "arguments": arguments}


# -- POST /mcp ------------------------------------------------------------------------------------


@requirement("mcp.parse")
@pytest.mark.parametrize("body", ["", "{bad", "[]", '[{"jsonrpc": "2.0"}]', "null", '"x"'])
def test_what_is_no_object_is_a_parse_error(server: Server, body: str) -> None:
    response = server.post_mcp(body)
    expect.rpc_error(response, -32700)
    assert response["id"] is None


@requirement("mcp.invalid")
@pytest.mark.parametrize(
    "body",
    ["{}", '{"jsonrpc": "2.0", "id": 1}', '{"jsonrpc": "1.0", "id": 1, "method": "tools/list"}'],
)
def test_what_is_no_request_is_invalid(server: Server, body: str) -> None:
    expect.rpc_error(server.post_mcp(body), -32600)


@requirement("mcp.invalid")
def test_params_are_an_object(server: Server) -> None:
    expect.rpc_error(server.post_mcp(json.dumps({**rpc("tools/list"), "params": [1]})), -32600)


@requirement("mcp.method")
def test_an_unknown_method_is_not_found(server: Server) -> None:
    expect.rpc_error(server.rpc("no/such/method"), -32601)


@requirement("mcp.id")
@pytest.mark.parametrize("request_id", [0, 7, "seven", ""])
def test_the_id_comes_back(server: Server, request_id: int | str) -> None:
    for method in ("tools/list", "no/such/method"):
        assert server.rpc(method, request_id)["id"] == request_id


@requirement("mcp.session")
@pytest.mark.parametrize("method", ["tools/list", "tools/call"])
def test_an_unknown_session_is_refused(server: Server, method: str) -> None:
    response = server.rpc(method, session_id="no-such-session", name="no_such_tool")
    expect.rpc_error(response, -32602)


@requirement("mcp.list")
def test_tools_have_a_name_a_description_and_a_schema(server: Server) -> None:
    response = server.rpc("tools/list")
    if "error" in response:
        expect.rpc_error(response, -32603)
        return
    for tool in response["result"]["tools"]:
        assert isinstance(tool["name"], str), tool
        assert isinstance(tool["description"], str), tool
        assert isinstance(schema_of(tool), dict), tool


@requirement("mcp.offered")
def test_the_environment_has_tools(server: Server) -> None:
    assert expect.rpc_result(server.rpc("tools/list"))["tools"]


@requirement("mcp.call")
def test_a_tool_can_be_called(server: Server, session_id: str, call: Frame) -> None:
    result = expect.rpc_result(server.rpc("tools/call", session_id=session_id, **call))
    assert isinstance(result["content"], list)
    assert result.get("is_error", result.get("isError")) is False


@requirement("mcp.call.invalid")
def test_a_call_names_its_tool(server: Server) -> None:
    expect.rpc_error(server.rpc("tools/call"), -32602)


@requirement("mcp.call.invalid")
def test_an_unknown_tool_is_an_error(server: Server, session_id: str) -> None:
    response = server.rpc("tools/call", session_id=session_id, name="no_such_tool", arguments={})
    expect.rpc_error(response, -32603)


# -- in the frames of /ws -------------------------------------------------------------------------


@requirement("mcp.frames")
def test_a_request_in_a_frame_is_answered_in_a_frame(any_ws: Socket) -> None:
    for request, code in ((rpc("no/such/method", "seven"), -32601), ({}, -32600)):
        answer = any_ws.ask({"type": "mcp", "data": request})
        assert answer["type"] == "mcp"
        assert answer["data"]["jsonrpc"] == "2.0"
        assert answer["data"]["id"] == request.get("id")
        expect.rpc_error(answer["data"], code)


@requirement("mcp.call.counts")
def test_a_tool_call_is_a_step(ws: Socket, call: Frame) -> None:
    expect.observation(ws.ask(RESET))
    expect.rpc_result(ws.ask({"type": "mcp", "data": rpc("tools/call", **call)})["data"])
    count = expect.state(ws.ask(STATE))["step_count"]
    assert count == 1, f"{count} steps after a tool call"


@requirement("mcp.call.counts")
def test_a_tool_call_over_http_is_a_step(
    simulation: None, server: Server, connect: Open, session_id: str, call: Frame
) -> None:
    socket = connect(f"/ws?session_id={session_id}")
    expect.observation(socket.ask(RESET))
    expect.rpc_result(server.rpc("tools/call", session_id=session_id, **call))
    count = expect.state(socket.ask(STATE))["step_count"]
    assert count == 1, f"{count} steps after a tool call"


@requirement("mcp.actions")
def test_tools_are_listed_by_an_action(ws: Socket) -> None:
    envelope = expect.observation(ws.ask({"type": "step", "data": {"type": "list_tools"}}))
    tools = cast("list[Frame]", envelope["observation"]["tools"])
    assert tools
    for tool in tools:
        assert isinstance(tool["name"], str)
        assert isinstance(schema_of(tool), dict)


@requirement("mcp.actions")
def test_tools_are_called_by_an_action(ws: Socket, call: Frame) -> None:
    expect.observation(ws.ask(RESET))
    action = {"type": "call_tool", "tool_name": call["name"], "arguments": call["arguments"]}
    envelope = expect.observation(ws.ask({"type": "step", "data": action}))
    assert envelope["observation"]["tool_name"] == call["name"]
    assert envelope["observation"]["error"] is None
    assert envelope["observation"]["result"] is not None


# -- the WebSocket /mcp ---------------------------------------------------------------------------


@pytest.fixture
def mcp_socket(server: Server, connect: Open) -> Socket:
    """A connection to the WebSocket ``/mcp``."""
    server.open("/ws").close()  # waits for a place that the last test is about to give back
    return connect("/mcp")


@requirement("mcp.socket")
def test_requests_are_answered_in_order(mcp_socket: Socket) -> None:
    requests: list[tuple[str, int, int | str | None]] = [
        (json.dumps(rpc("no/such/method", 1)), -32601, 1),
        ("{bad", -32700, None),
        ("{}", -32600, None),
        (json.dumps(rpc("tools/call", "four")), -32602, "four"),
        (json.dumps(rpc("no/such/method", 5)), -32601, 5),
    ]
    for text, _, _ in requests:
        mcp_socket.send(text)
    for _, code, request_id in requests:
        response = mcp_socket.receive()
        expect.rpc_error(response, code)
        assert response["id"] == request_id


@requirement("mcp.socket.session")
def test_a_connection_has_a_session_of_its_own(mcp_socket: Socket) -> None:
    mcp_socket.send(json.dumps(rpc("openenv/session/create")))
    session_id = expect.rpc_result(mcp_socket.receive())["session_id"]
    mcp_socket.send(json.dumps(rpc("openenv/session/close", session_id=session_id)))
    expect.rpc_error(mcp_socket.receive(), -32600)
    mcp_socket.send(json.dumps(rpc("openenv/session/create")))
    assert expect.rpc_result(mcp_socket.receive())["session_id"] == session_id


@requirement("mcp.socket.array")
def test_an_array_does_not_end_the_connection(mcp_socket: Socket) -> None:
    mcp_socket.send("[1]")
    expect.rpc_error(mcp_socket.receive(), -32700, -32600)
    mcp_socket.send(json.dumps(rpc("no/such/method", 2)))
    assert mcp_socket.receive()["id"] == 2
