"""The frames of ``/ws``, and the episodes they make."""

import json
import uuid
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from paddock.conformance import expect
from paddock.conformance.requirements import requirement
from paddock.conformance.sampling import Misfit
from paddock.conformance.wire import MIB, Socket

Frame = dict[str, Any]

RESET: Frame = {"type": "reset", "data": {}}
STATE: Frame = {"type": "state"}
CLOSE: Frame = {"type": "close"}

UNFIT: dict[str, Frame] = {
    "reset with another key": {"type": "reset", "extra": 1},
    "reset with an array": {"type": "reset", "data": [1]},
    "reset with a number as id": {"type": "reset", "data": {"episode_id": 7}},
    "step without data": {"type": "step"},
    "step with text": {"type": "step", "data": "x"},
    "state with data": {"type": "state", "data": {}},
    "close with data": {"type": "close", "data": {}},
    "mcp without data": {"type": "mcp"},
    "mcp with an array": {"type": "mcp", "data": []},
}


def step(action: Frame) -> Frame:
    return {"type": "step", "data": action}


def steps(ws: Socket) -> int:
    return expect.state(ws.ask(STATE))["step_count"]


def validation_errors(answer: Frame) -> list[Frame]:
    """Expect a VALIDATION_ERROR that says what is wrong and where."""
    errors = expect.error(answer, "VALIDATION_ERROR").get("errors")
    assert isinstance(errors, list), f"no list of errors: {errors!r}"
    assert errors, "the list of errors is empty"
    for error in errors:  # pyright: ignore[reportUnknownVariableType]
        for key in ("type", "loc", "msg"):
            assert key in error, f"an error without {key!r}: {error}"
    return errors  # pyright: ignore[reportUnknownVariableType]


# -- requests and answers -------------------------------------------------------------------------


@requirement("ws.silent")
def test_nothing_comes_unasked(
    simulation: None, connect: Callable[..., Socket], ws: Socket
) -> None:
    expect.observation(ws.ask(RESET))
    assert ws.unasked() == [], "something came after the answer to a reset"
    ws.close()
    frames = connect().unasked()
    # A server with one place may still be about to free it, and a refusal is no greeting.
    frames = [f for f in frames if f.get("data", {}).get("code") != "CAPACITY_REACHED"]
    assert frames == [], "something came right after connecting"


@requirement("ws.reset")
@pytest.mark.parametrize(
    "frame",
    [
        {"type": "reset"},
        {"type": "reset", "data": {}},
        {"type": "reset", "data": {"seed": 42, "episode_id": "conformance"}},
        {"type": "reset", "data": {"no_such_option": [1, {"two": None}]}},
    ],
    ids=["no data", "nothing", "seed and id", "unknown option"],
)
def test_a_reset_is_answered(ws: Socket, frame: Frame) -> None:
    expect.observation(ws.ask(frame))


@requirement("ws.reset")
def test_a_reset_is_possible_again_and_again(ws: Socket, action: Frame) -> None:
    for frame in (RESET, RESET, step(action), RESET):
        expect.observation(ws.ask(frame))


@requirement("ws.step")
def test_an_action_that_fits_is_answered(ws: Socket, sample_action: Frame) -> None:
    ws.ask(RESET)
    answer = ws.ask(step(sample_action))
    if answer["type"] == "error" and answer["data"].get("code") == "EXECUTION_ERROR":
        pytest.skip(f"the sample action {sample_action} fails; give another (--action)")
    expect.observation(answer)


@requirement("ws.state")
def test_the_state_is_answered(ws: Socket) -> None:
    ws.ask(RESET)
    assert isinstance(expect.state(ws.ask(STATE))["step_count"], int)


@requirement("ws.close")
def test_a_close_is_answered_with_a_close(any_ws: Socket) -> None:
    any_ws.send(CLOSE)
    frames, code = any_ws.rest()
    assert frames == [], "a frame came after the close"
    assert code == 1000, f"closed with code {code}"


@requirement("ws.envelope")
def test_reward_and_done_are_lifted_out_of_the_observation(ws: Socket, action: Frame) -> None:
    for frame in (RESET, step(action)):
        envelope = expect.observation(ws.ask(frame))
        assert "reward" not in envelope["observation"]
        assert "done" not in envelope["observation"]


@requirement("ws.envelope")
def test_metadata_is_repeated_in_the_envelope(ws: Socket, action: Frame) -> None:
    for frame in (RESET, step(action)):
        envelope = expect.observation(ws.ask(frame))
        if metadata := envelope["observation"].get("metadata"):
            assert envelope.get("metadata") == metadata


@requirement("ws.observation.schema")
def test_observations_fit_the_schema(ws: Socket, schemas: Frame, action: Frame) -> None:
    expect.fits_schema(expect.observation(ws.ask(RESET)), schemas, reset=True)
    expect.fits_schema(expect.observation(ws.ask(step(action))), schemas)


@requirement("ws.observation.size")
def test_observations_stay_small(ws: Socket, action: Frame) -> None:
    for frame in (RESET, step(action)):
        ws.ask(frame)
        assert ws.size <= MIB, f"the answer to a {frame['type']} has {ws.size} bytes"


@requirement("ws.numbers")
@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_what_is_no_number_in_json_does_not_come_back(ws: Socket, number: str) -> None:
    # `receive` refuses to read such numbers, in an echo as in an error.
    ws.ask(f'{{"type": "reset", "data": {{"no_such_option": {number}}}}}')
    ws.ask(f'{{"type": "step", "data": {{"no_such_field": {number}}}}}')
    ws.ask(STATE)


@requirement("ws.order")
def test_frames_sent_ahead_are_answered_in_order(ws: Socket, action: Frame) -> None:
    for frame in (RESET, step(action), "{bad", STATE, {"type": "bogus"}, step(action), STATE):
        ws.send(frame)
    ws.send(CLOSE)
    frames, _ = ws.rest()
    types = [frame["data"].get("code", frame["type"]) for frame in frames]
    # A second step may be refused: the first one may have ended the episode.
    assert types.pop(5) in ("observation", "EXECUTION_ERROR")
    expected = ["observation", "observation", "INVALID_JSON", "state", "UNKNOWN_TYPE", "state"]
    assert types == expected


@requirement("ws.large")
def test_a_large_frame_is_read(any_ws: Socket) -> None:
    frame = {"type": "bogus", "data": "x" * MIB}
    expect.error(any_ws.ask(frame), "UNKNOWN_TYPE")


@requirement("ws.production")
def test_production_mode_closes_the_control_verbs(
    http: httpx.Client, any_ws: Socket, sample_action: Frame
) -> None:
    if "/reset" in http.get("/openapi.json").json()["paths"]:
        pytest.skip("the server is in simulation mode: it offers reset, step and state")
    for frame in (RESET, step(sample_action), STATE):
        expect.error(any_ws.ask(frame))
    ping = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    assert any_ws.ask({"type": "mcp", "data": ping})["type"] == "mcp"


# -- errors ---------------------------------------------------------------------------------------


@requirement("ws.error.json")
@pytest.mark.parametrize("text", ["{bad", "", '{"type": "state"} x', "{'type': 'state'}"])
def test_what_is_not_json_is_refused(any_ws: Socket, text: str) -> None:
    expect.error(any_ws.ask(text), "INVALID_JSON")


@requirement("ws.error.type")
@pytest.mark.parametrize(
    "frame",
    [{}, {"type": "bogus"}, {"type": None}, {"type": 5}, {"type": ["reset"]}, {"data": {}}],
    ids=json.dumps,
)
def test_an_unknown_type_is_refused(any_ws: Socket, frame: Frame) -> None:
    expect.error(any_ws.ask(frame), "UNKNOWN_TYPE")


@requirement("ws.error.frame")
@pytest.mark.parametrize("frame", UNFIT.values(), ids=UNFIT)
def test_a_frame_that_does_not_fit_is_refused(any_ws: Socket, frame: Frame) -> None:
    validation_errors(any_ws.ask(frame))


@requirement("ws.error.frame")
def test_a_time_limit_beside_the_action_is_refused(any_ws: Socket, sample_action: Frame) -> None:
    validation_errors(any_ws.ask({**step(sample_action), "timeout_s": 5}))


@requirement("ws.error.action")
def test_an_action_that_does_not_fit_is_refused(ws: Socket, bad_action: Misfit) -> None:
    ws.ask(RESET)
    errors = validation_errors(ws.ask(step(bad_action.value)))
    named = [error for error in errors if bad_action.field in error["loc"]]
    assert named, f"{bad_action.value}: no error names {bad_action.field!r}: {errors}"


@requirement("ws.error.message")
def test_the_message_names_the_field(ws: Socket, bad_action: Misfit) -> None:
    ws.ask(RESET)
    message = expect.error(ws.ask(step(bad_action.value)), "VALIDATION_ERROR")["message"]
    assert bad_action.field in message, f"{bad_action.field!r} is wrong and it says {message!r}"


@requirement("ws.error.survives")
def test_errors_leave_the_episode_alone(ws: Socket, action: Frame, bad_action: Misfit) -> None:
    ws.ask(RESET)
    expect.observation(ws.ask(step(action)))
    before = expect.state(ws.ask(STATE))
    for bad in ("{bad", {"type": "bogus"}, *UNFIT.values(), step(bad_action.value)):
        expect.error(ws.ask(bad))
    after = expect.state(ws.ask(STATE))
    for key in ("episode_id", "step_count"):
        assert after[key] == before[key], f"{key} changed"


@requirement("ws.reset.validates")
@pytest.mark.parametrize(
    "data",
    [{"seed": "abc"}, {"seed": 1.5}, {"seed": []}, {"episode_id": "x" * 256}],
    ids=["text", "fraction", "array", "long id"],
)
def test_a_bad_reset_is_refused(ws: Socket, data: Frame) -> None:
    validation_errors(ws.ask({"type": "reset", "data": data}))


# -- episodes -------------------------------------------------------------------------------------


@requirement("episode.id")
def test_the_episode_has_the_id_that_was_asked_for(ws: Socket, action: Frame) -> None:
    for wanted in (str(uuid.uuid4()), "a name/with: ümläuts"):
        ws.ask({"type": "reset", "data": {"episode_id": wanted}})
        first = expect.state(ws.ask(STATE))["episode_id"]
        ws.ask(step(action))
        then = expect.state(ws.ask(STATE))["episode_id"]
        assert first == then == wanted, f"asked for {wanted!r}, got {first!r}, then {then!r}"


@requirement("episode.id.new")
def test_episodes_without_an_id_get_one(ws: Socket) -> None:
    seen: set[str] = set()
    for _ in range(3):
        ws.ask(RESET)
        seen.add(expect.state(ws.ask(STATE))["episode_id"])
    assert None not in seen, "an episode has no id"
    assert len(seen) == 3, "two episodes have the same id"


@requirement("episode.steps")
def test_steps_are_counted_from_the_reset(ws: Socket, action: Frame) -> None:
    for _ in range(2):
        ws.ask(RESET)
        assert steps(ws) == 0, f"{steps(ws)} steps right after a reset"
        for count in (1, 2, 3):
            envelope = expect.observation(ws.ask(step(action)))
            assert steps(ws) == count, f"{steps(ws)} steps after {count}"
            if envelope["done"]:
                break


@requirement("episode.steps.refused")
def test_refused_actions_do_not_count(ws: Socket, action: Frame, bad_action: Misfit) -> None:
    ws.ask(RESET)
    expect.observation(ws.ask(step(action)))
    expect.error(ws.ask(step(bad_action.value)))
    assert steps(ws) == 1, f"{steps(ws)} steps after one and a refused one"
