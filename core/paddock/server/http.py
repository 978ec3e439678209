"""The HTTP doors: reset, step, state, evaluate and close, and what a server says of itself.

A request means a session by path prefix (``/s/<id>``), header (``X-Session-Id``) or episode id; a
reset begins it, and ``POST /close`` ends it. Without any of them a request gets a throw-away
session, as with OpenEnv, so that ``/reset`` and then ``/step`` are two unrelated episodes.
"""

from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict, Field, StrictInt, TypeAdapter
from starlette.responses import PlainTextResponse, Response

from paddock.catalog import EnvSpec
from paddock.errors import UnknownSession
from paddock.manager import Lease, Place, SessionManager
from paddock.messages import ResetData
from paddock.server.address import HEADER, address_of
from paddock.server.body import documented, reader
from paddock.server.door import use, while_connected
from paddock.server.mcp_door import McpDoor
from paddock.session import Session
from paddock.types import Observation, State

__all__ = ["control_routes", "info_routes"]

JSON = "application/json"
EPISODE = "episode:"


class ResetRequest(BaseModel):
    """The body of ``POST /reset``; further keys are the environment's options."""

    model_config = ConfigDict(extra="allow")

    seed: StrictInt | None = Field(default=None, ge=0, description="Seed of the episode.")
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


ResetBody = Annotated[ResetRequest, Depends(reader(ResetRequest))]
StepBody = Annotated[StepRequest, Depends(reader(StepRequest))]
EpisodeBody = Annotated[EpisodeRequest, Depends(reader(EpisodeRequest))]


def control_routes(manager: SessionManager) -> APIRouter:
    """Return reset, step, state, evaluate and close: the routes that production mode drops."""
    router = APIRouter(tags=["episode"])
    codec = manager.codec

    async def answer(
        request: Request,
        session_id: str | None,
        play: Callable[[Session], Awaitable[Observation | State]],
    ) -> Response:
        """Do something in the session that is meant, for as long as its client is there."""

        async def work() -> Response:
            async with use(manager, session_id) as lease:
                found = await play(lease.session)
                if isinstance(found, State):
                    body = codec.state_body(found)
                else:
                    body = codec.envelope(found, metadata=True)
                return Response(body, media_type=JSON, headers=_headers(lease))

        return await while_connected(request.receive, work)

    @router.post(
        "/reset", response_model=None, openapi_extra=documented(ResetRequest, required=False)
    )
    async def reset(request: Request, body: ResetBody) -> Response:
        """Begin an episode."""
        data = ResetData(seed=body.seed, episode_id=body.episode_id, **(body.model_extra or {}))
        session_id = _session_id(request, body.episode_id)
        if session_id is not None:
            await while_connected(request.receive, lambda: _ensure(manager, session_id))
        return await answer(request, session_id, lambda session: session.reset(data))

    @router.post("/step", response_model=None, openapi_extra=documented(StepRequest))
    async def step(request: Request, body: StepBody) -> Response:
        """Carry out an action."""
        action = codec.action(body.action)
        session_id = _session_id(request, body.episode_id)
        return await answer(
            request, session_id, lambda session: session.step(action, limit_s=body.timeout_s)
        )

    @router.get("/state", response_model=None)
    async def state(request: Request) -> Response:
        """Return what a trainer may inspect; ``?episode_id=`` says of which episode."""
        session_id = _session_id(request, request.query_params.get("episode_id"))
        return await answer(request, session_id, lambda session: session.state())

    @router.post(
        "/evaluate", response_model=None, openapi_extra=documented(EpisodeRequest, required=False)
    )
    async def evaluate(request: Request, body: EpisodeBody) -> Response:
        """End the episode with the task's own check."""
        session_id = _session_id(request, body.episode_id)
        return await answer(request, session_id, lambda session: session.evaluate())

    @router.post(
        "/close", response_model=None, openapi_extra=documented(EpisodeRequest, required=False)
    )
    async def close(request: Request, body: EpisodeBody) -> dict[str, Any]:
        """End a session that an id or an episode is bound to."""
        session_id = _session_id(request, body.episode_id)
        if session_id is None:
            raise UnknownSession("Unknown session_id: name the session to close")
        manager.end(manager.find(session_id), "its client closed it")
        return {"session_id": session_id, "closed": True}

    return router


def info_routes(manager: SessionManager, mcp: McpDoor, about: dict[str, Any]) -> APIRouter:
    """Return health, metadata, schema, metrics and ``/mcp``: there in every mode.

    Args:
        manager: The sessions.
        mcp: Answers at ``/mcp``.
        about: Further keys of ``/metadata``.
    """
    router = APIRouter(tags=["server"])
    spec = manager.spec
    schema = schemas(spec)

    @router.get("/health", response_model=None)
    async def health() -> dict[str, str]:
        """Say that the server answers. Does no work."""
        return {"status": "healthy"}

    @router.get("/metadata", response_model=None)
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
            "isolation": manager.isolation and manager.isolation.as_metadata(),
            **about,
        }

    @router.get("/schema", response_model=None)
    async def schema_() -> dict[str, Any]:
        """Return the JSON schemas of action, observation and state."""
        return schema

    @router.get("/metrics", response_model=None, response_class=PlainTextResponse)
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
    async def mcp_post(request: Request) -> Response:
        """Answer one JSON-RPC message: standard MCP, or OpenEnv's dialect of it."""
        return await mcp.answer(request)

    @router.delete("/mcp", response_model=None)
    async def mcp_delete(request: Request) -> Response:
        """End the MCP session that ``Mcp-Session-Id`` names."""
        return await mcp.answer(request)

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
