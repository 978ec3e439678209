"""What is asked of a server, as data: the tests prove it, the report quotes it.

A *must* is the wire contract of OpenEnv 0.10.0: a server without it breaks stock clients, trainers
or validators. A *should* is where Paddock asks for more than OpenEnv's own server delivers; a
server without it is usable, and the report calls it a shortfall.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

__all__ = ["AREAS", "REQUIREMENTS", "Level", "Requirement", "proves", "requirement"]

Level = Literal["must", "should"]
TestT = TypeVar("TestT", bound=Callable[..., Any])

AREAS: Mapping[str, str] = {
    "http": "HTTP routes",
    "ws": "WebSocket frames",
    "episode": "Episodes",
    "session": "Sessions and capacity",
    "mcp": "Tools (MCP)",
    "robust": "Hostile input and lost clients",
}
"""The first part of a requirement's id, and what the report calls it."""


@dataclass(frozen=True)
class Requirement:
    """One thing a server does.

    Attributes:
        id: ``area.subject.aspect``; how reports, divergences and tests name it.
        level: ``must`` or ``should``.
        text: What the server does, as one sentence.
        source: Where it is asked for.
    """

    id: str
    level: Level
    text: str
    source: str

    @property
    def area(self) -> str:
        """The key of its `AREAS` entry."""
        return self.id.partition(".")[0]


REQUIREMENTS: dict[str, Requirement] = {}
"""All of them, by id."""


def requirement(requirement_id: str) -> Callable[[TestT], TestT]:
    """Say which requirement a test proves.

    Raises:
        KeyError: There is no such requirement; raised when the test's module is imported.
    """
    known = REQUIREMENTS[requirement_id]

    def link(test: TestT) -> TestT:
        test.__dict__["requirement"] = known.id
        return test

    return link


def proves(test: object) -> str | None:
    """Return the id of the requirement a test proves."""
    return getattr(test, "__dict__", {}).get("requirement")


def _ask(level: Level, source: str, texts: Mapping[str, str]) -> None:
    for requirement_id, text in texts.items():
        assert requirement_id not in REQUIREMENTS, f"{requirement_id} is listed twice"
        REQUIREMENTS[requirement_id] = Requirement(requirement_id, level, text, source)


_ask(
    "must",
    "OpenEnv 0.10.0 http_server.py",
    {
        "http.health": "GET /health answers 200 with status healthy.",
        "http.metadata": "GET /metadata answers a name and a description.",
        "http.schema": "GET /schema answers JSON Schemas of action, observation and state.",
        "http.openapi": "GET /openapi.json answers an OpenAPI document with a version.",
        "http.mode": "/reset, /step and /state are all there, or (production mode) none of them.",
        "http.reset": "POST /reset answers an envelope, with a body, without, and with any option.",
        "http.reset.validates": "POST /reset answers 422 to a bad seed, episode id or body.",
        "http.step": "POST /step answers an envelope.",
        "http.step.validates": "POST /step answers 422 to a missing action or a bad timeout_s.",
        "http.step.action": "POST /step answers 422 to an action that does not fit.",
        "http.state": "GET /state answers an object with episode_id and step_count.",
        "http.errors": "Unknown paths are answered with 404, wrong methods with 405, in JSON.",
        "http.tasks": "The task routes answer, or say with 501 that there are no tasks.",
    },
)
_ask(
    "should",
    "Paddock docs/protocol.md",
    {
        "http.session.header": "HTTP requests with the same X-Session-Id share a session.",
        "http.session.episode": "HTTP requests with the same episode_id share a session.",
        "http.action.title": "The action schema's title is none that trainers take for MCP.",
        "http.token": "With a token set, every door but /health refuses requests without it.",
    },
)
_ask(
    "must",
    "OpenEnv 0.10.0 http_server.py, types.py",
    {
        "ws.silent": "The server sends nothing that was not asked for.",
        "ws.reset": "A reset is answered with an observation, at any time and with any option.",
        "ws.step": "An action that fits the schema is answered with an observation.",
        "ws.state": "A state request is answered with episode_id, step_count and whatever else.",
        "ws.close": "A close is answered with no frame, only with close code 1000.",
        "ws.envelope": "Reward, done and metadata are in the envelope; a reward may be null.",
        "ws.order": "Frames sent ahead are answered one by one, in order.",
        "ws.error.json": "What is not JSON is answered with INVALID_JSON.",
        "ws.error.type": "A missing or unknown type is answered with UNKNOWN_TYPE.",
        "ws.error.frame": "An unfit frame is answered with VALIDATION_ERROR, errors listed.",
        "ws.error.action": "An unfit action is answered with VALIDATION_ERROR, errors listed.",
        "ws.error.survives": "After an error the session goes on, its episode untouched.",
        "ws.large": "A frame of 1 MiB is read.",
    },
)
_ask(
    "must",
    "OpenEnv 0.10.0 openenv validate, runtime.observation_schema",
    {
        "ws.observation.schema": "Every observation, with reward and done, fits the schema.",
        "ws.observation.size": "The answers to a reset and a step stay below 1 MiB.",
        "ws.numbers": "NaN and Infinity are never on the wire.",
    },
)
_ask(
    "should",
    "Paddock docs/protocol.md",
    {
        "ws.production": "In production mode /ws, too, refuses reset, step and state.",
        "ws.error.message": "A validation error's message names the field.",
        "ws.reset.validates": "A bad seed or an overlong episode id is refused, as over HTTP.",
        "episode.id": "The state's episode_id is the one the reset asked for.",
        "episode.id.new": "A reset without an episode id gets a new one.",
        "episode.steps": "The state's step_count is the number of steps since the reset.",
        "episode.steps.refused": "An action that is refused does not count as a step.",
    },
)
_ask(
    "must",
    "OpenEnv 0.10.0 http_server.py",
    {
        "session.create": "openenv/session/create answers the id of a new session.",
        "session.attach": "A created session keeps its episode while nothing is attached to it.",
        "session.attach.one": "A second connection to a session is refused with SESSION_ERROR.",
        "session.attach.unknown": "A connection to an unknown session is refused: SESSION_ERROR.",
        "session.close": "openenv/session/close ends a session: after it the id is unknown.",
        "session.close.attached": "Closing an attached session waits until its connection lets go.",
        "session.close.invalid": "Closing without an id, or an unknown one, is answered -32602.",
        "session.apart": "Sessions at the same time have episodes of their own.",
        "session.place.closed": "A connection that closes gives its place back.",
        "session.place.lost": "A connection that is lost gives its place back.",
        "session.full": "A full server answers CAPACITY_REACHED with its numbers, and closes.",
        "session.full.mcp": "A full server answers -32000 with its numbers at the doors of MCP.",
    },
)
_ask(
    "should",
    "Paddock docs/protocol.md",
    {
        "session.several": "The server holds more than one session.",
        "session.full.retry": "A refusal says with retry_after_s when to try again.",
        "session.full.queue": "A full server lets a client wait for a place before it refuses.",
        "session.return": "A client that named its session finds it again after a lost connection.",
        "session.prefix": "Under /s/<id> every client finds the same session again.",
    },
)
_ask(
    "must",
    "OpenEnv 0.10.0 http_server.py, mcp_types.py",
    {
        "mcp.parse": "POST /mcp answers what is no JSON object with -32700 and HTTP 200.",
        "mcp.invalid": "POST /mcp answers what is no request, such as {}, with -32600, HTTP 200.",
        "mcp.method": "An unknown method is answered with -32601.",
        "mcp.id": "A response carries the id of its request, text or number.",
        "mcp.list": "tools/list answers tools with name, description and schema, or -32603.",
        "mcp.session": "A request with an unknown session_id is answered with -32602.",
        "mcp.call": "tools/call answers a result with content and is_error.",
        "mcp.call.invalid": "tools/call answers -32602 without a name, -32603 to an unknown tool.",
        "mcp.frames": "On /ws an mcp frame is answered with an mcp frame that holds the response.",
        "mcp.socket": "The WebSocket /mcp answers in order, and goes on after an error.",
        "mcp.socket.session": "The WebSocket /mcp has a session of its own and does not close it.",
    },
)
_ask(
    "should",
    "Paddock docs/protocol.md",
    {
        "mcp.offered": "The environment's actions are listed as tools.",
        "mcp.call.counts": "A tool call through MCP counts as a step.",
        "mcp.actions": "The actions list_tools and call_tool reach the same tools.",
        "mcp.socket.array": "An array on the WebSocket /mcp is answered; the connection goes on.",
        "robust.object": "JSON that is no object is answered, and the session goes on.",
        "robust.binary": "A binary frame is answered, and the session goes on.",
        "robust.parser": "JSON that parsers choke on is answered, and the session goes on.",
        "robust.text": "Text with lone surrogates is answered, and the session goes on.",
        "robust.echo": "An error answer stays below 1 MiB, whatever it quotes.",
        "robust.http": "Hostile HTTP bodies are answered with 4xx in JSON, never with 500.",
        "robust.mcp": "Hostile bodies at /mcp are answered in JSON-RPC with HTTP 200.",
        "robust.midstep.place": "A client that vanishes during a step frees its place at once.",
        "robust.midstep.health": "GET /health is answered while a step runs.",
    },
)
