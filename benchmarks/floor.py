"""The floor: what answering a step costs when there is nothing but uvicorn and pydantic.

The same frames as ours, validated in one pass from the text and serialised once, by an ASGI
application without a framework, without sessions, without anything that a real server needs.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

Message = dict[str, Any]


class Noop(BaseModel):
    """The action."""

    model_config = ConfigDict(extra="forbid")
    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
    type: Literal["noop"] = "noop"
    text: str = ""


class Step(BaseModel):
    """A step frame."""

    type: Literal["step"]
    data: Noop


class Reset(BaseModel):
    """A reset frame."""

    type: Literal["reset"]
    data: dict[str, Any] = Field(default_factory=dict[str, Any])


class Seen(BaseModel):
    """The observation."""

    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])
    text: str


class Data(BaseModel):
    """The envelope."""

    observation: Seen
    reward: float | None = None
    done: bool = False


class Answer(BaseModel):
    """An observation frame."""

    type: Literal["observation"] = "observation"
    data: Data


frames: TypeAdapter[Step | Reset] = TypeAdapter(
    Annotated[Step | Reset, Field(discriminator="type")]
)


async def app(
    scope: Message,
    receive: Callable[[], Awaitable[Message]],
    send: Callable[[Message], Awaitable[None]],
) -> None:
    """Answer `/health`, and steps and resets on any WebSocket."""
    if scope["type"] == "lifespan":
        for done in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{done}.complete"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"status":"healthy"}'})
    else:
        await receive()
        await send({"type": "websocket.accept"})
        while (event := await receive())["type"] == "websocket.receive":
            frame = frames.validate_json(event["text"])
            text = frame.data.text if isinstance(frame, Step) else "ready"
            answer = Answer(data=Data(observation=Seen(text=text)))
            await send({"type": "websocket.send", "text": answer.model_dump_json()})
