"""The ASGI application of one environment: all doors in front of one session manager."""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import WebSocketRoute

from paddock.catalog import EnvSpec
from paddock.errors import (
    CapacityReached,
    EnvError,
    EnvironmentFailure,
    InvalidMessage,
    NotAvailable,
    SessionAttached,
    SessionClosed,
    StepTimeout,
    UnknownSession,
)
from paddock.manager import SessionManager
from paddock.messages import error_data
from paddock.sandbox.levels import Chosen
from paddock.server.address import SessionPrefix
from paddock.server.door import Gone
from paddock.server.guard import Guard, Receive, Scope, Send
from paddock.server.http import control_routes, info_routes
from paddock.server.mcp import McpDialect
from paddock.server.mcp_door import McpDoor
from paddock.server.settings import Settings
from paddock.server.tasks import task_routes
from paddock.server.websocket import Connection, OpenEnvDialect

__all__ = ["create_app"]

STATUS: list[tuple[type[EnvError], int]] = [
    (UnknownSession, 404),
    (SessionAttached, 409),
    (SessionClosed, 410),
    (NotAvailable, 501),
    (CapacityReached, 503),
    (StepTimeout, 504),
    (EnvironmentFailure, 500),
    (EnvError, 400),
]


def create_app(
    spec: EnvSpec, settings: Settings | None = None, isolation: Chosen | None = None
) -> FastAPI:
    """Return the server of one environment as an ASGI application.

    It needs nothing of whoever runs it: ``python -m uvicorn`` serves it as well as ours.

    Args:
        spec: The environment.
        settings: What it is told; read from the process's environment by default.
        isolation: What is to separate the sessions; found out at the start by default.

    Raises:
        CatalogError: The environment cannot be imported.
        ConfigurationError: The settings make no sense.
    """
    settings = settings or Settings.from_environment()
    _ = spec.factory  # a missing library should stop the server, not the first session

    async def isolate() -> Chosen:
        return isolation or await settings.isolate()

    manager = SessionManager(spec, settings.limits(spec), isolate)
    mcp = McpDoor(manager)
    production = settings.mode == "production"

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncGenerator[None]:
        async with manager.running(), mcp.running():
            yield

    app = FastAPI(
        title=f"Paddock: {spec.name}",
        description=spec.description,
        version="1.0.0",  # of the HTTP API; OpenEnv's validator reads its profile from it
        lifespan=lifespan,
    )
    app.state.manager = manager
    about: dict[str, Any] = {"mode": settings.mode}
    if spec.divergences:
        about["divergences"] = dict(spec.divergences)
    app.include_router(info_routes(manager, mcp, about))
    if not production:
        app.include_router(control_routes(manager))
    app.include_router(task_routes(spec))
    openenv = OpenEnvDialect(manager.codec, production=production)
    app.router.routes.append(WebSocketRoute("/ws", _Door(manager, openenv)))
    app.router.routes.append(WebSocketRoute("/mcp", _Door(manager, McpDialect())))
    app.add_exception_handler(EnvError, _env_error)
    app.add_exception_handler(Gone, _gone)
    app.add_exception_handler(Exception, _bug)
    app.add_middleware(SessionPrefix)
    app.add_middleware(Guard, settings=settings)  # pyright: ignore[reportArgumentType]
    return app


class _Door:
    """A WebSocket endpoint, as plain ASGI: Starlette's own wrapper costs a quick step a third."""

    def __init__(self, manager: SessionManager, dialect: OpenEnvDialect | McpDialect) -> None:
        self._manager = manager
        self._dialect = dialect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await Connection(self._manager, self._dialect, receive, send).run(scope)


async def _env_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, EnvError)
    if isinstance(exc, InvalidMessage):
        return _Json({"detail": exc.details.get("errors") or exc.message}, 422)
    status = next(status for cls, status in STATUS if isinstance(exc, cls))
    data = error_data(exc)
    body: dict[str, Any] = {"detail": data.pop("message"), **data}
    retry = exc.details.get("retry_after_s")
    headers = {"retry-after": str(max(1, round(retry)))} if retry is not None else None
    return _Json(body, status, headers=headers)


class _Json(JSONResponse):
    """JSON in ASCII: what it quotes of a request may hold lone surrogates."""

    def render(self, content: Any) -> bytes:
        return json.dumps(content, default=str).encode()


async def _gone(request: Request, exc: Exception) -> Response:
    return Response(status_code=499)  # nginx's code for it; nobody reads the answer


async def _bug(request: Request, exc: Exception) -> Response:
    return JSONResponse({"detail": "internal server error; the server's log says more"}, 500)
