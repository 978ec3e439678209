"""Sessions: created, attached to, closed, lost and found again; and what a full server says."""

import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from paddock.conformance import expect
from paddock.conformance.requirements import requirement
from paddock.conformance.wire import Server, Socket

Frame = dict[str, Any]
Open = Callable[..., Socket]

STATE: Frame = {"type": "state"}
CREATE: Frame = {"jsonrpc": "2.0", "id": 1, "method": "openenv/session/create"}


def attached(session_id: str) -> str:
    return f"/ws?session_id={session_id}"


def play(socket: Socket, action: Frame) -> tuple[str, int]:
    """Begin an episode, take a step, and return the episode's id and steps."""
    expect.observation(socket.ask({"type": "reset", "data": {"episode_id": str(uuid.uuid4())}}))
    expect.observation(socket.ask({"type": "step", "data": action}))
    return where(socket)


def where(socket: Socket) -> tuple[str, int]:
    """Return the id of the episode and its steps so far."""
    state = expect.state(socket.ask(STATE))
    return state["episode_id"], state["step_count"]


def refused(socket: Socket) -> Frame:
    """Expect that the server has refused a connection, and return the error's data."""
    frames, code = socket.rest()
    assert len(frames) == 1, f"expected one frame, got {frames}"
    assert code == 1000, f"closed with code {code}"
    return expect.error(frames[0])


# -- by id ----------------------------------------------------------------------------------------


@requirement("session.create")
def test_a_session_is_created(session_id: str) -> None:
    assert session_id


@requirement("session.attach")
def test_a_created_session_waits_for_its_client(
    simulation: None, connect: Open, session_id: str, action: Frame
) -> None:
    first = connect(attached(session_id))
    before = play(first, action)
    first.close()
    assert where(connect(attached(session_id))) == before


@requirement("session.attach.one")
def test_a_session_is_attached_once(simulation: None, connect: Open, session_id: str) -> None:
    first = connect(attached(session_id))
    expect.state(first.ask(STATE))
    assert refused(connect(attached(session_id)))["code"] == "SESSION_ERROR"
    expect.state(first.ask(STATE))


@requirement("session.attach.unknown")
def test_an_unknown_session_cannot_be_attached(connect: Open) -> None:
    assert refused(connect(attached("no-such-session")))["code"] == "SESSION_ERROR"


@requirement("session.close")
def test_a_closed_session_is_unknown(server: Server, connect: Open, session_id: str) -> None:
    closed = expect.rpc_result(server.rpc("openenv/session/close", session_id=session_id))
    assert closed["session_id"] == session_id
    assert closed["closed"] is True
    assert refused(connect(attached(session_id)))["code"] == "SESSION_ERROR"
    expect.rpc_error(server.rpc("openenv/session/close", session_id=session_id), -32602)


@requirement("session.close.attached")
def test_an_attached_session_is_closed_when_it_is_let_go(
    simulation: None, server: Server, connect: Open, session_id: str
) -> None:
    socket = connect(attached(session_id))
    expect.state(socket.ask(STATE))
    closed = expect.rpc_result(server.rpc("openenv/session/close", session_id=session_id))
    assert (closed["closed"], closed["closing"]) == (False, True)
    expect.state(socket.ask(STATE))
    socket.close()
    assert refused(connect(attached(session_id)))["code"] == "SESSION_ERROR"


@requirement("session.close.invalid")
def test_what_is_no_session_cannot_be_closed(server: Server) -> None:
    expect.rpc_error(server.rpc("openenv/session/close"), -32602)
    expect.rpc_error(server.rpc("openenv/session/close", session_id="no-such-session"), -32602)


# -- at the same time -----------------------------------------------------------------------------


@requirement("session.several")
def test_there_is_more_than_one_place(ws: Socket, open_socket: Open) -> None:
    refusal = open_socket(patience_s=1).refusal
    assert refusal is None, expect.error(refusal)["message"]


@requirement("session.apart")
def test_sessions_do_not_share_an_episode(several: None, ws: Socket, open_socket: Open) -> None:
    other = open_socket()
    for number, socket in enumerate((ws, other)):
        expect.observation(
            socket.ask({"type": "reset", "data": {"seed": number, "episode_id": f"e{number}"}})
        )
    ids = [where(socket)[0] for socket in (ws, other)]
    assert ids[0] != ids[1], "both are in the same episode"


# -- places ---------------------------------------------------------------------------------------


@requirement("session.place.closed")
def test_a_closed_connection_gives_its_place_back(full: list[Socket], open_socket: Open) -> None:
    full[-1].close()
    assert open_socket().refusal is None


@requirement("session.place.lost")
def test_a_lost_connection_gives_its_place_back(full: list[Socket], open_socket: Open) -> None:
    full[-1].vanish()
    assert open_socket().refusal is None


@requirement("session.full.queue")
def test_whoever_waits_gets_the_place_that_becomes_free(full: list[Socket], connect: Open) -> None:
    late = connect()
    late.send(STATE)
    early = late.unasked()
    assert not early, f"refused at once: {early[0]['data'].get('message')}"
    full[-1].close()
    assert late.receive()["data"].get("code") != "CAPACITY_REACHED"


@dataclass(frozen=True)
class Refusals:
    """What a full server says at each door that takes a place."""

    ws: Frame
    mcp_socket: Frame
    create: Frame


@pytest.fixture(scope="module")
def refusals_seen() -> list[Refusals]:
    """Keeps what was seen: a server that queues takes its time to refuse."""
    return []


@pytest.fixture
def refusals(
    request: pytest.FixtureRequest, refusals_seen: list[Refusals], server: Server, connect: Open
) -> Refusals:
    """What a full server says."""
    if not refusals_seen:
        request.getfixturevalue("full")
        ws, mcp = connect("/ws"), connect("/mcp")  # both wait, if they do, while the third asks
        create = server.post_mcp(json.dumps(CREATE))
        frames, code = mcp.rest()
        assert len(frames) == 1, f"expected one frame, got {frames}"
        assert code == 1000, f"closed with code {code}"
        refusals_seen.append(Refusals(refused(ws), frames[0], create))
    return refusals_seen[0]


@requirement("session.full")
def test_a_full_server_refuses_with_its_numbers(refusals: Refusals) -> None:
    data = refusals.ws
    assert data["code"] == "CAPACITY_REACHED", data
    assert data["active_sessions"] >= data["max_sessions"] > 0


@requirement("session.full.mcp")
def test_a_full_server_refuses_in_json_rpc_with_its_numbers(refusals: Refusals) -> None:
    for response in (refusals.mcp_socket, refusals.create):
        data = expect.rpc_error(response, -32000)["data"]
        assert data["active_sessions"] >= data["max_sessions"] > 0


@requirement("session.full.retry")
def test_a_refusal_says_when_to_try_again(refusals: Refusals) -> None:
    for data in (refusals.ws, expect.rpc_error(refusals.mcp_socket, -32000)["data"]):
        assert data.get("retry_after_s", 0) > 0, f"no retry_after_s: {data}"


# -- lost and found -------------------------------------------------------------------------------


@requirement("session.return")
def test_a_client_finds_its_session_again(simulation: None, connect: Open, action: Frame) -> None:
    session = str(uuid.uuid4())
    named = {"X-Session-Id": session}
    first = connect(headers=named)
    before = play(first, action)
    first.vanish()
    assert where(connect(attached(session), headers=named)) == before


@requirement("session.prefix")
def test_a_prefix_leads_to_the_same_session(
    simulation: None, connect: Open, action: Frame, server: Server
) -> None:
    prefix = f"/s/{uuid.uuid4()}"
    first = connect(f"{prefix}/ws")
    before = play(first, action)
    first.vanish()
    assert where(connect(f"{prefix}/ws")) == before
    state = server.http.get(f"{prefix}/state").json()
    assert (state["episode_id"], state["step_count"]) == before
