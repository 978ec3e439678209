"""Hostile input and lost clients: nothing ends a session but its own client."""

import time
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from paddock.conformance import expect
from paddock.conformance.requirements import requirement
from paddock.conformance.sampling import Misfit
from paddock.conformance.wire import MIB, Server, Socket, parse

Frame = dict[str, Any]

STATE: Frame = {"type": "state"}
SURROGATE = "\\ud800"  # JSON text: half of a surrogate pair, which no UTF-8 can hold
DEEP = "[" * 50_000
DIGITS = "9" * 5_000

PARSER = {
    "nested arrays": DEEP,
    "nested data": f'{{"type": "reset", "data": {{"x": {DEEP + DEEP.replace("[", "]")}}}}}',
    "long seed": f'{{"type": "reset", "data": {{"seed": {DIGITS}}}}}',
    "long option": f'{{"type": "reset", "data": {{"no_such_option": {DIGITS}}}}}',
}
TEXT = {
    "type": f'{{"type": "{SURROGATE}"}}',
    "key": f'{{"type": "step", "data": {{"{SURROGATE}": 1}}}}',
    "action": f'{{"type": "step", "data": {{"type": "{SURROGATE}"}}}}',
    "episode": f'{{"type": "reset", "data": {{"episode_id": "{SURROGATE}"}}}}',
    "method": f'{{"type": "mcp", "data": {{"jsonrpc": "2.0", "id": 1, "method": "{SURROGATE}"}}}}',
}
BODIES = {
    "seed that is no number": ("/reset", '{"seed": NaN}'),
    "seed without end": ("/reset", '{"seed": 1e999}'),
    "seed with 5,000 digits": ("/reset", f'{{"seed": {DIGITS}}}'),
    "half a character as id": ("/reset", f'{{"episode_id": "{SURROGATE}"}}'),
    "nested too deeply": ("/reset", DEEP),
    "time that is no number": ("/step", '{"action": {}, "timeout_s": NaN}'),
    "half a character as key": ("/step", f'{{"action": {{"{SURROGATE}": 1}}}}'),
    "half a character as type": ("/step", f'{{"action": {{"type": "{SURROGATE}", "x": 1}}}}'),
}
RPC_BODIES = {
    "nested too deeply": DEEP,
    "not UTF-8": b"\xff\xfe",
    "id that is no number": '{"jsonrpc": "2.0", "id": NaN, "method": "no/such/method"}',
    "half a character as id": f'{{"jsonrpc": "2.0", "id": "{SURROGATE}", "method": "x"}}',
    "half a character as method": f'{{"jsonrpc": "2.0", "id": 1, "method": "{SURROGATE}"}}',
    "array as session": '{"jsonrpc": "2.0", "id": 1, "method": "openenv/session/close",'
    ' "params": {"session_id": ["x"]}}',
    "array as session of a call": '{"jsonrpc": "2.0", "id": 1, "method": "tools/call",'
    ' "params": {"name": "x", "session_id": ["x"]}}',
}


def survives(ws: Socket, hostile: str | bytes) -> None:
    """Expect that a frame is answered and leaves the session and its episode alone."""
    episode = str(uuid.uuid4())
    expect.observation(ws.ask({"type": "reset", "data": {"episode_id": episode}}))
    before = expect.state(ws.ask(STATE))
    answer = ws.ask(hostile)
    after = expect.state(ws.ask(STATE))
    if answer["type"] == "error":
        assert after["episode_id"] == before["episode_id"], "the episode is another one"


@requirement("robust.object")
@pytest.mark.parametrize("text", ["[1, 2]", "null", "7", '"state"', "true"])
def test_json_that_is_no_object_does_not_end_the_session(ws: Socket, text: str) -> None:
    survives(ws, text)


@requirement("robust.binary")
@pytest.mark.parametrize("data", [b'{"type": "bogus"}', b"\xff\xfe\x00"], ids=["JSON", "noise"])
def test_a_binary_frame_does_not_end_the_session(ws: Socket, data: bytes) -> None:
    survives(ws, data)


@requirement("robust.parser")
@pytest.mark.parametrize("text", PARSER.values(), ids=PARSER)
def test_what_parsers_choke_on_does_not_end_the_session(ws: Socket, text: str) -> None:
    survives(ws, text)


@requirement("robust.text")
@pytest.mark.parametrize("text", TEXT.values(), ids=TEXT)
def test_half_a_character_does_not_end_the_session(ws: Socket, text: str) -> None:
    survives(ws, text)


@requirement("robust.echo")
def test_an_error_does_not_quote_without_end(ws: Socket, bad_action: Misfit) -> None:
    ws.ask({"type": "reset"})
    long = {**bad_action.value, bad_action.field: ["x" * 2 * MIB]}
    for frame in ({"type": "step", "data": long}, {"type": "x" * 2 * MIB}):
        expect.error(ws.ask(frame))
        assert ws.size < MIB, f"an answer of {ws.size} bytes"


@requirement("robust.http")
@pytest.mark.parametrize(("path", "content"), BODIES.values(), ids=BODIES)
def test_a_hostile_body_is_refused(
    http: httpx.Client, simulation: None, path: str, content: str
) -> None:
    answer = http.post(path, content=content, headers={"content-type": "application/json"})
    assert 400 <= answer.status_code < 500, f"HTTP {answer.status_code}: {answer.text[:100]}"
    assert "detail" in parse(answer.content)


@requirement("robust.mcp")
@pytest.mark.parametrize("body", RPC_BODIES.values(), ids=RPC_BODIES)
def test_a_hostile_request_is_answered_in_json_rpc(server: Server, body: str | bytes) -> None:
    expect.rpc_error(server.post_mcp(body), -32700, -32600, -32601, -32602)


# -- while a step runs ----------------------------------------------------------------------------


def begin_slow_step(socket: Socket, slow_action: Frame) -> None:
    expect.observation(socket.ask({"type": "reset"}))
    socket.send({"type": "step", "data": slow_action})
    assert socket.unasked() == [], "the slow action was answered at once"


@requirement("robust.midstep.health")
def test_health_is_answered_while_a_step_runs(
    slow_action: Frame, http: httpx.Client, ws: Socket
) -> None:
    begin_slow_step(ws, slow_action)
    asked = time.monotonic()
    assert http.get("/health").status_code == 200
    assert time.monotonic() - asked < 2


@requirement("robust.midstep.place")
def test_a_client_that_vanishes_in_mid_step_frees_its_place(
    slow_action: Frame,
    simulation: None,
    full: list[Socket],
    open_socket: Callable[..., Socket],
) -> None:
    begin_slow_step(full[-1], slow_action)
    full[-1].vanish()
    vanished = time.monotonic()
    refusal = open_socket(patience_s=3).refusal
    assert refusal is None, expect.error(refusal)["message"]
    assert time.monotonic() - vanished < 4
