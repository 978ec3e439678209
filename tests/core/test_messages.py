"""Frames: what is read, what is refused and how, what is written."""

import json
import math
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import (
    AnswerTooLarge,
    EnvError,
    InvalidJson,
    InvalidMessage,
    SessionError,
    StepFailed,
    UnknownMessageType,
    from_wire,
)
from paddock.messages import Codec, ResetMessage, StepMessage
from paddock.tools import CallTool, Evaluate, ListTools
from paddock.types import Action, Observation
from probe import Echo, EchoObservation


class Other(Action):
    """Do something else."""

    type: Literal["other"] = "other"
    number: int


CODEC = Codec(Echo | Other)

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
frames = st.dictionaries(
    st.sampled_from(["type", "data", "extra"]),
    st.sampled_from(["reset", "step", "state", "close", "mcp"]) | json_values,
)


def step(**data: Any) -> str:
    return json.dumps({"type": "step", "data": data})


def test_the_default_action_may_leave_its_type_out():
    message = CODEC.read(step(message="hi"))
    assert isinstance(message, StepMessage)
    assert message.data == Echo(message="hi")


@pytest.mark.parametrize(
    ("data", "action"),
    [
        ({"type": "echo", "message": "hi"}, Echo(message="hi")),
        ({"type": "other", "number": 3}, Other(number=3)),
        ({"type": "list_tools"}, ListTools()),
        ({"type": "evaluate"}, Evaluate()),
        ({"type": "call_tool", "tool_name": "x"}, CallTool(tool_name="x")),
    ],
    ids=lambda value: value.get("type") if isinstance(value, dict) else "",
)
def test_every_action_is_read_by_its_type(data: dict[str, Any], action: Any):
    message = CODEC.read(step(**data))
    assert isinstance(message, StepMessage)
    assert message.data == action


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("{bad", InvalidJson, "Invalid JSON"),
        ("", InvalidJson, "Invalid JSON"),
        ("[1]", SessionError, "not list"),
        ("null", SessionError, "not NoneType"),
        ("{}", UnknownMessageType, "Unknown message type: "),
        ('{"type": "bogus"}', UnknownMessageType, "bogus"),
        ('{"type": ["step"]}', UnknownMessageType, "step"),
        ('{"type": "step"}', InvalidMessage, "data: Field required"),
        ('{"type": "step", "data": []}', InvalidMessage, "data"),
        ('{"type": "state", "data": {}}', InvalidMessage, "data: Extra inputs"),
        ('{"type": "reset", "data": {"seed": "x"}}', InvalidMessage, "data.seed"),
        (step(), InvalidMessage, "message: Field required"),
        (step(message=""), InvalidMessage, "at least 1 character"),
        (step(message="x", bogus=1), InvalidMessage, "bogus: Extra inputs"),
        (step(type="other", number="x"), InvalidMessage, "number: "),
        (step(type="nope"), InvalidMessage, "'echo', 'other'"),
        (step(type=7), InvalidMessage, "'echo', 'other'"),
    ],
)
def test_what_is_wrong_is_said(text: str, error: type[EnvError], says: str):
    with pytest.raises(error) as raised:
        CODEC.read(text)
    assert type(raised.value) is error
    assert says in raised.value.message


def test_errors_are_located_in_the_action_as_openenv_does():
    with pytest.raises(InvalidMessage) as raised:
        CODEC.read(step(message=""))
    (found,) = raised.value.details["errors"]
    assert found["loc"] == ["message"]
    assert found["type"] == "string_too_short"
    assert found["input"] == ""
    assert found["ctx"] == {"min_length": 1}
    assert found["url"].startswith("https://errors.pydantic.dev/")


def test_huge_bad_input_is_not_sent_back_whole():
    with pytest.raises(InvalidMessage) as raised:
        CODEC.read(step(message=["x" * 100_000]))
    assert len(CODEC.write_error(raised.value)) < 10_000


@pytest.mark.parametrize("text", [r'"\ud800"', "[" * 5000, "1" * 5000, '{"a":' * 3000])
def test_nasty_json_is_an_error_like_any_other(text: str):
    frame = '{"type": "step", "data": {"message": ' + text
    frame += "}}" if text.startswith('"') or text.isdigit() else ""
    with pytest.raises(EnvError) as raised:
        CODEC.read(frame)
    json.loads(CODEC.write_error(raised.value))


@given(st.text() | st.binary())
def test_any_text_is_a_message_or_an_error(text: str | bytes):
    try:
        CODEC.read(text)
    except EnvError as exc:
        assert json.loads(CODEC.write_error(exc))["data"]["code"] == exc.code


@given(frames)
def test_any_object_is_a_message_or_an_error(frame: dict[str, Any]):
    try:
        CODEC.read(json.dumps(frame))
    except EnvError as exc:
        sent = json.loads(CODEC.write_error(exc))["data"]
        assert type(from_wire(sent)) is type(exc)


@given(st.text(min_size=1), st.floats(allow_nan=False, allow_infinity=False))
def test_an_action_comes_out_as_it_went_in(text: str, number: float):
    if any("\ud800" <= c <= "\udfff" for c in text):
        return  # no JSON text can carry it
    message = CODEC.read(step(message=text, arg=number))
    assert isinstance(message, StepMessage)
    assert message.data == Echo(message=text, arg=number)


def test_any_integer_is_a_seed_on_the_socket():
    message = CODEC.read('{"type": "reset", "data": {"seed": -5, "foo": [1]}}')
    assert isinstance(message, ResetMessage)
    assert message.data.seed == -5
    assert message.data.model_extra == {"foo": [1]}


class TestWriting:
    def test_reward_and_done_are_lifted_and_metadata_repeated(self):
        observation = EchoObservation(echoed="x", reward=1.0, done=True, metadata={"why": "asked"})
        assert json.loads(CODEC.write_observation(observation)) == {
            "type": "observation",
            "data": {
                "observation": {
                    "metadata": {"why": "asked"},
                    "echoed": "x",
                    "length": 0,
                    "saw_timeout_s": None,
                    "extra": {},
                },
                "reward": 1.0,
                "done": True,
                "metadata": {"why": "asked"},
            },
        }

    def test_empty_metadata_is_left_out_of_the_envelope(self):
        assert "metadata" not in json.loads(CODEC.write_observation(Observation()))["data"]

    def test_http_always_has_metadata(self):
        assert json.loads(CODEC.envelope(Observation(), metadata=True))["metadata"] is None

    @pytest.mark.parametrize("number", [math.nan, math.inf, -math.inf])
    def test_no_number_that_is_none_reaches_the_wire(self, number: float):
        observation = Observation(reward=number, metadata={"value": number})
        text = CODEC.write_observation(observation)
        data = json.loads(text, parse_constant=pytest.fail)["data"]
        assert data["reward"] is None
        assert data["metadata"] == {"value": None}

    def test_what_is_no_json_is_an_error(self):
        with pytest.raises(StepFailed, match="not JSON"):
            CODEC.write_observation(Observation(metadata={"x": object()}))

    def test_an_answer_over_the_limit_is_an_error_that_says_so(self):
        codec = Codec(Echo, max_answer_bytes=1000)
        codec.write_observation(EchoObservation(echoed="é" * 400))
        with pytest.raises(AnswerTooLarge, match="1,000"):
            codec.write_observation(EchoObservation(echoed="é" * 500))


class TestActionTypes:
    def test_a_model_without_a_literal_type_is_refused(self):
        class Nameless(Action):
            x: int

        with pytest.raises(TypeError, match="Nameless names no tool"):
            Codec(Nameless)

    def test_reserved_names_are_refused(self):
        class Reset(Action):
            type: Literal["reset"] = "reset"

        with pytest.raises(TypeError, match="reserved"):
            Codec(Reset)

    def test_names_are_unique(self):
        class Echo2(Action):
            type: Literal["echo"] = "echo"

        with pytest.raises(TypeError, match="taken"):
            Codec(Echo | Echo2)
