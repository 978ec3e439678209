"""The frames of ``/ws``: read from text and written to text, without any I/O.

A `Codec` is built once per environment. Reading validates frame and action together in one pass
from the JSON text; only a frame that fails is looked at again, slowly, to say exactly what is
wrong with it in the terms OpenEnv's server uses. Writing serialises an observation once, straight
into its envelope.

The shapes are OpenEnv's (``core/env_server/types.py``, ``serialization.py`` of 0.10.0): ``reward``
and ``done`` are lifted out of the observation, ``metadata`` stays in it and is repeated in the
envelope when there is any.
"""

import functools
import json
from collections.abc import Iterable
from typing import Annotated, Any, Literal, cast

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictInt,
    TypeAdapter,
    ValidationError,
    create_model,
)
from pydantic_core import PydanticSerializationError, to_json

from paddock.errors import (
    AnswerTooLarge,
    EnvError,
    InvalidJson,
    InvalidMessage,
    SessionError,
    StepFailed,
    UnknownMessageType,
)
from paddock.tools import CallTool, Evaluate, ListTools, action_models, tool_name
from paddock.types import Action, Observation, State

__all__ = [
    "AnyAction",
    "ClientMessage",
    "CloseMessage",
    "Codec",
    "McpMessage",
    "ResetData",
    "ResetMessage",
    "StateMessage",
    "StepMessage",
    "error_data",
    "explain",
    "invalid",
    "write_response",
]

MAX_ANSWER_BYTES = 1 << 20
"""1 MiB: OpenEnv's runtime validator refuses larger frames."""

_LIFTED = {"reward", "done"}
_ECHO_LIMIT = 2_000  # characters of bad input that an error gives back


class _Frame(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ResetData(BaseModel):
    """The arguments of a reset. Whatever else the client sends reaches the environment too.

    Any integer is a seed here: OpenEnv's ``/ws`` lets negative ones through, its HTTP route not.
    """

    model_config = ConfigDict(extra="allow", frozen=True)

    seed: StrictInt | None = None
    episode_id: str | None = Field(default=None, max_length=255)


class ResetMessage(_Frame):
    type: Literal["reset"]
    data: ResetData = Field(default_factory=ResetData)


class StepMessage(_Frame):
    type: Literal["step"]
    data: Any
    """An action of the environment, or one of core's own (`AnyAction`)."""


class StateMessage(_Frame):
    type: Literal["state"]


class CloseMessage(_Frame):
    type: Literal["close"]


class McpMessage(_Frame):
    type: Literal["mcp"]
    data: dict[str, Any]


AnyAction = Action | CallTool | ListTools | Evaluate
ClientMessage = ResetMessage | StepMessage | StateMessage | CloseMessage | McpMessage

_FRAMES: dict[str, type[BaseModel]] = {
    "reset": ResetMessage,
    "step": create_model("StepMessage", __base__=StepMessage, data=dict[str, Any]),
    "state": StateMessage,
    "close": CloseMessage,
    "mcp": McpMessage,
}


class Codec:
    """Reads a client's frames and writes a server's, for one environment.

    Args:
        action: The environment's action type: a model or a union of models. The first model is the
            default action: its ``type`` may be left out.
        max_answer_bytes: Frames larger than this are not sent.

    Raises:
        TypeError: The action type is not made of `Action` models (see `action_models`).
    """

    def __init__(self, action: Any, *, max_answer_bytes: int = MAX_ANSWER_BYTES) -> None:
        self.actions = action_models(action)
        self.max_answer_bytes = max_answer_bytes
        self._by_name: dict[str, type[BaseModel]] = {tool_name(m): m for m in self.actions}
        self._by_name |= {"call_tool": CallTool, "list_tools": ListTools, "evaluate": Evaluate}
        self._default = tool_name(self.actions[0])
        tagged = _union(self._by_name.values(), Field(discriminator="type"))
        # The default action comes first: its `type` may be missing, which no tagged union allows.
        data = _union((self.actions[0], tagged), Field(union_mode="left_to_right"))
        step = create_model("StepMessage", __base__=StepMessage, data=(data, ...))
        frames = (step, ResetMessage, StateMessage, CloseMessage, McpMessage)
        self._frames: TypeAdapter[ClientMessage] = TypeAdapter(
            _union(frames, Field(discriminator="type"))
        )

    def read(self, text: str | bytes) -> ClientMessage:
        """Read one frame.

        Raises:
            InvalidJson: The text is not JSON.
            SessionError: It is JSON, but not an object.
            UnknownMessageType: ``type`` is missing or unknown.
            InvalidMessage: The message or the action in it does not fit its model.
        """
        try:
            return self._frames.validate_json(text)
        except ValidationError:
            return self._read_slowly(text)

    def _read_slowly(self, text: str | bytes) -> ClientMessage:
        try:
            value = json.loads(text)
        except (ValueError, RecursionError) as exc:
            raise InvalidJson(f"Invalid JSON: {exc}") from None
        if not isinstance(value, dict):
            kind = type(cast("object", value)).__name__
            raise SessionError(f"Invalid message: a frame is a JSON object, not {kind}")
        frame = cast("dict[str, Any]", value)
        name = frame.get("type", "")
        model = _FRAMES.get(name) if isinstance(name, str) else None
        if model is None:
            known = ", ".join(_FRAMES)
            shown = str(name)[:_ECHO_LIMIT]
            raise UnknownMessageType(f"Unknown message type: {shown} (known types: {known})")
        try:
            message = model.model_validate(frame)
        except ValidationError as exc:
            raise invalid(exc) from None
        if isinstance(message, StepMessage):
            return StepMessage.model_construct(
                type="step", data=self.action(cast("dict[str, Any]", message.data))
            )
        return cast("ClientMessage", message)

    def action(self, data: dict[str, Any]) -> AnyAction:
        """Validate an action that has been parsed already.

        Raises:
            InvalidMessage: It fits no action of the environment.
        """
        name = data.get("type", self._default)
        model = self._by_name.get(name) if isinstance(name, str) else None
        if model is None:
            expected = ", ".join(repr(n) for n in self._by_name)
            error = {
                "type": "union_tag_invalid",
                "loc": ["type"],
                "msg": f"Input should be one of {expected}",
                "input": str(name)[:_ECHO_LIMIT],
                "ctx": {"tag": str(name)[:_ECHO_LIMIT], "expected_tags": expected},
            }
            raise InvalidMessage(f"Invalid message: {explain([error])}", errors=[error])
        try:
            return cast("AnyAction", model.model_validate(data))
        except ValidationError as exc:
            raise invalid(exc) from None

    def write_observation(self, observation: Observation) -> str:
        """Write an observation frame.

        Raises:
            StepFailed: The observation holds something JSON cannot.
            AnswerTooLarge: The frame is longer than ``max_answer_bytes``.
        """
        return f'{{"type":"observation","data":{self.envelope(observation)}}}'

    def envelope(self, observation: Observation, *, metadata: bool = False) -> str:
        """Write an observation's envelope: the ``data`` of a frame and the body of an HTTP answer.

        Args:
            observation: What the environment answered.
            metadata: Write the envelope's ``metadata`` even when empty, as ``null``: HTTP does.
        """
        try:
            body = observation.__pydantic_serializer__.to_json(observation, exclude=_LIFTED)
            reward = observation.reward
            number = "null" if reward is None else _json(reward)
            over = "true" if observation.done else "false"
            text = f'{{"observation":{body.decode()},"reward":{number},"done":{over}'
            if observation.metadata:
                text += f',"metadata":{_json(observation.metadata)}'
            elif metadata:
                text += ',"metadata":null'
        except PydanticSerializationError as exc:
            raise StepFailed(f"the environment's observation is not JSON: {exc}") from exc
        return self.bounded(text + "}")

    def write_state(self, state: State) -> str:
        """Write a state frame. Raises as `write_observation` does."""
        return f'{{"type":"state","data":{self.state_body(state)}}}'

    def state_body(self, state: State) -> str:
        """Write a state: the ``data`` of a frame and the body of an HTTP answer."""
        try:
            return self.bounded(state.__pydantic_serializer__.to_json(state).decode())
        except PydanticSerializationError as exc:
            raise StepFailed(f"the environment's state is not JSON: {exc}") from exc

    def write_mcp(self, response: dict[str, Any]) -> str:
        """Write the answer to an ``mcp`` frame: a JSON-RPC response."""
        return f'{{"type":"mcp","data":{self.bounded(write_response(response))}}}'

    @staticmethod
    def write_error(error: EnvError) -> str:
        """Write an error frame."""
        # Not pydantic's writer: a message may quote lone surrogates, which only escapes can carry.
        return json.dumps({"type": "error", "data": error_data(error)}, default=repr)

    def bounded(self, text: str) -> str:
        """Return a text that is an answer, unless it is too long for one.

        Raises:
            AnswerTooLarge: It is longer than ``max_answer_bytes``.
        """
        # Characters first: counting bytes costs a copy, and one character is at most 4 bytes.
        limit = self.max_answer_bytes
        if len(text) * 4 > limit and (size := len(text.encode())) > limit:
            raise AnswerTooLarge(
                f"the answer has {size:,} bytes and the server's limit is {limit:,}: ask for less,"
                " or start the server with a larger --max-answer-bytes"
            )
        return text


def error_data(error: EnvError) -> dict[str, Any]:
    """Return the ``data`` of an error frame: message, code, the class's name, and its details."""
    data = {"message": error.message, "code": error.code, "error": type(error).__name__}
    return data | error.details


def invalid(exc: ValidationError, within: str | None = None) -> InvalidMessage:
    """Turn pydantic's findings into the error that goes to the client.

    Args:
        exc: What pydantic found.
        within: What the value was part of: put in front of each error's ``loc``.
    """
    errors = json.loads(exc.json(include_input=False))
    for shown, error in zip(errors, exc.errors(include_url=False), strict=True):
        shown["input"] = _short(error["input"])
        if within is not None:
            shown["loc"].insert(0, within)
    return InvalidMessage(f"Invalid message: {explain(errors)}", errors=errors)


def explain(errors: Iterable[dict[str, Any]]) -> str:
    """Say pydantic's findings in one line: ``command: Field required; timeout_s: ...``."""
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'value'}: {e['msg']}" for e in errors)


def write_response(response: dict[str, Any]) -> str:
    """Write a JSON-RPC response, whatever it quotes of its request."""
    try:
        return _json(response)
    except PydanticSerializationError:  # a lone surrogate, which only an escape can carry
        return json.dumps(response, default=repr)


def _json(value: Any) -> str:
    """Write JSON; a number that JSON has no word for becomes null, as in pydantic's models."""
    return to_json(value, inf_nan_mode="null").decode()


def _short(value: Any) -> Any:
    """Return a JSON-safe value to echo: bad input may be huge, or hold lone surrogates."""
    text = to_json(value, fallback=repr, inf_nan_mode="strings") if _encodable(value) else b""
    if text and len(text) <= _ECHO_LIMIT:
        return json.loads(text)
    shown = repr(value).encode("utf-8", "backslashreplace").decode()
    return shown if len(shown) <= _ECHO_LIMIT else f"{shown[:_ECHO_LIMIT]}... (cut)"


def _encodable(value: Any) -> bool:
    try:
        to_json(value, fallback=repr)
    except (PydanticSerializationError, ValueError, RecursionError):
        return False
    return True


def _union(types: Iterable[Any], how: Any) -> Any:
    """Return the annotated union of types that are only known at run time."""
    union: Any = functools.reduce(lambda a, b: a | b, types)
    return Annotated[union, how]
