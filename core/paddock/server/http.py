"""The HTTP doors: reset, step, state, evaluate and close, and what a server says of itself.

A request means a session by path prefix (``/s/<id>``), header (``X-Session-Id``) or episode id; a
reset begins it, and ``POST /close`` ends it. Without any of them a request gets a throw-away
session, as with OpenEnv, so that ``/reset`` and then ``/step`` are two unrelated episodes.
"""

from typing import Any

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter
from starlette.responses import PlainTextResponse, Response

from paddock.catalog import EnvSpec
from paddock.errors import UnknownSession
from paddock.manager import Lease, Place, SessionManager
from paddock.messages import Codec, ResetData
from paddock.server.address import HEADER, address_of
from paddock.server.door import use, while_connected
from paddock.server.mcp import answer_request
from paddock.types import Observation

__all__ = ["control_routes", "info_routes"]

JSON = "application/json"
EPISODE = "episode:"


class ResetRequest(BaseModel):
    """The body of ``POST /reset``; further keys are the environment's options."""

    model_config = ConfigDict(extra="allow")

    seed: int | None = Field(default=None, ge=0, description="Seed of the episode.")
    episode_id: str | None = Field(
        default=None, max_length=255, description="Names the episode, and binds it to a session."
    )


class StepRequest(BaseModel):
    """The body of ``POST /step``; further keys are ignored."""

    model_config = ConfigDict(extra="allow")

    action: dict[str, Any] = Field(description="The action, as the action schema describes it.")
    timeout_s: float | None = Field(default=None, gt=0, description="Seconds for this step.")
    request_id: str | None = Field(default=None, max_length=255, description="Not interpreted.")
    episode_id: str | None = Field(default=None, max_length=255, description="Whose step it is.")


class EpisodeRequest(BaseModel):
    """A body that only says which episode is meant."""

    episode_id: str | None = Field(default=None, max_length=255, description="Which episode.")


class EpisodeResponse(BaseModel):
    """What reset, step and evaluate answer."""

    observation: dict[str, Any]
    reward: float | None = None
    done: bool = False
    metadata: dict[str, Any] | None = None


def control_routes(manager: SessionManager) -> APIRouter:
    """Return reset, step, state, evaluate and close: the routes that production mode drops."""
    router = APIRouter(tags=["episode"])
    codec = manager.codec

    @router.post("/reset", response_model=EpisodeResponse)
    async def reset(request: Request, body: ResetRequest | None = None) -> Response:
        """Begin an episode."""
        body = body or ResetRequest()
        data = ResetData(seed=body.seed, episode_id=body.episode_id, **(body.model_extra or {}))
        session_id = _session_id(request, body.episode_id)
        if session_id is not None:
            await _ensure(manager, session_id)
        async with use(manager, session_id) as lease:
            observation = await while_connected(request.receive, lambda: lease.session.reset(data))
            return _answer(codec, observation, lease)

    @router.post("/step", response_model=EpisodeResponse)
    async def step(request: Request, body: StepRequest) -> Response:
        """Carry out an action."""
        action = codec.action(body.action)
        async with use(manager, _session_id(request, body.episode_id)) as lease:
            observation = await while_connected(
                request.receive, lambda: lease.session.step(action, limit_s=body.timeout_s)
            )
            return _answer(codec, observation, lease)

    @router.get("/state", response_model=None)
    async def state(request: Request, episode_id: str | None = None) -> Response:
        """Return what a trainer may inspect."""
        async with use(manager, _session_id(request, episode_id)) as lease:
            found = await while_connected(request.receive, lease.session.state)
            return Response(codec.state_body(found), media_type=JSON, headers=_headers(lease))

    @router.post("/evaluate", response_model=EpisodeResponse)
    async def evaluate(request: Request, body: EpisodeRequest | None = None) -> Response:
        """End the episode with the task's own check."""
        episode_id = body.episode_id if body else None
        async with use(manager, _session_id(request, episode_id)) as lease:
            observation = await while_connected(request.receive, lease.session.evaluate)
            return _answer(codec, observation, lease)

    @router.post("/close", response_model=None)
    async def close(request: Request, body: EpisodeRequest | None = None) -> dict[str, Any]:
        """End a session that an id or an episode is bound to."""
        session_id = _session_id(request, body.episode_id if body else None)
        if session_id is None:
            raise UnknownSession("Unknown session_id: name the session to close")
        manager.end(manager.find(session_id), "its client closed it")
        return {"session_id": session_id, "closed": True}

    return router


def info_routes(manager: SessionManager, about: dict[str, Any]) -> APIRouter:
    """Return health, metadata, schema, metrics and ``POST /mcp``: there in every mode.

    Args:
        manager: The sessions.
        about: Further keys of ``/metadata``.
    """
    router = APIRouter(tags=["server"])
    spec = manager.spec
    schema = schemas(spec)

    @router.get("/health")
    async def health() -> dict[str, str]:
        """Say that the server answers. Does no work."""
        return {"status": "healthy"}

    @router.get("/metadata")
    async def metadata() -> dict[str, Any]:
        """Describe the environment."""
        return {
            "name": spec.name,
            "description": spec.description,
            "readme_content": None,
            "version": spec.version,
            "author": None,
            "documentation_url": None,
            "max_sessions": manager.limits.capacity,
            **about,
        }

    @router.get("/schema")
    async def schema_() -> dict[str, Any]:
        """Return the JSON schemas of action, observation and state."""
        return schema

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> str:
        """Return counters in Prometheus' text format."""
        places = (f'paddock_sessions{{place="{p.value}"}} {manager.count(p)}' for p in Place)
        return "\n".join(
            [
                *places,
                f"paddock_sessions_max {manager.limits.capacity}",
                f"paddock_sessions_waiting {manager.waiting}",
                f"paddock_sessions_started_total {manager.started}",
                f"paddock_steps_total {manager.steps}",
                "",
            ]
        )

    @router.post("/mcp", response_model=None)
    async def mcp(request: Request) -> Response:
        """Answer one JSON-RPC request: OpenEnv's dialect of MCP."""
        return await answer_request(manager, request)

    return router


def schemas(spec: EnvSpec) -> dict[str, Any]:
    """Return the body of ``/schema``."""
    observation = spec.observation.model_json_schema()
    return {
        "action": action_schema(spec),
        "observation": observation,
        "state": spec.state.model_json_schema(),
        "reset_observation": observation,
    }


def action_schema(spec: EnvSpec) -> dict[str, Any]:
    """Return the JSON schema of an environment's actions.

    Its title is never one of the three by which trainers recognise OpenEnv's generic MCP actions
    (``Action``, ``CallToolAction``, ``ListToolsAction``).
    """
    schema = TypeAdapter(spec.action).json_schema()
    # A union's default action may leave `type` out, so exactly-one-of would be wrong.
    if "oneOf" in schema:
        schema["anyOf"] = schema.pop("oneOf")
        schema.pop("discriminator", None)
    if "anyOf" in schema:
        schema["type"] = "object"
        schema["title"] = f"{spec.name.title()}Action"
    return schema


async def _ensure(manager: SessionManager, session_id: str) -> None:
    try:
        manager.find(session_id)
    except UnknownSession:
        await manager.begin(session_id=session_id, place=Place.FREE)


def _session_id(request: Request, episode_id: str | None) -> str | None:
    session_id = address_of(request.scope).session_id
    if session_id is None and episode_id:
        return EPISODE + episode_id
    return session_id


def _headers(lease: Lease) -> dict[str, str] | None:
    return {HEADER: lease.session.id} if lease.named and lease.session.id.isascii() else None


def _answer(codec: Codec, observation: Observation, lease: Lease) -> Response:
    body = codec.envelope(observation, metadata=True)
    return Response(body, media_type=JSON, headers=_headers(lease))
