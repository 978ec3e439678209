"""The HTTP door ``/mcp``: which of the two dialects a request speaks.

Standard MCP shows by its headers, or by being ``initialize``; everything else, ``{}`` included, is
OpenEnv's. The official SDK that answers the former is loaded when the first such request comes.
"""

import json
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

import anyio
import anyio.to_thread
from anyio.abc import TaskGroup
from starlette.requests import Request
from starlette.responses import Response

from paddock.manager import SessionManager
from paddock.server.mcp import answer_request

if TYPE_CHECKING:
    from paddock.server.mcp_http import StandardSessions

__all__ = ["McpDoor"]


class McpDoor:
    """Both dialects of MCP over HTTP. Use `running` for its lifetime.

    Args:
        manager: The sessions.
    """

    def __init__(self, manager: SessionManager) -> None:
        self._manager = manager
        self._tasks: TaskGroup | None = None
        self._standard: StandardSessions | None = None

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Serve for as long as the block lasts; end what is being served after it."""
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            try:
                yield
            finally:
                tasks.cancel_scope.cancel()

    async def answer(self, request: Request) -> Response:
        """Answer one ``POST`` or ``DELETE``.

        Raises:
            Gone: Its client went away.
        """
        body = await request.body()
        if not _is_standard(request, body):
            return await answer_request(self._manager, request)
        return await (await self._loaded()).answer(request, body)

    async def _loaded(self) -> "StandardSessions":
        standard = self._standard
        if standard is None:
            # On a thread: the event loop has other sessions to serve meanwhile.
            module = await anyio.to_thread.run_sync(import_module, "paddock.server.mcp_http")
            standard = self._standard  # another request may have been faster
            if standard is None:
                assert self._tasks is not None, "the application's lifespan did not begin"
                standard = self._standard = module.StandardSessions(self._manager, self._tasks)
        return standard


def _is_standard(request: Request, body: bytes) -> bool:
    headers = request.headers
    if request.method == "DELETE" or "mcp-session-id" in headers:
        return True
    if "mcp-protocol-version" in headers:
        return True
    if b'"initialize"' not in body:  # the rest need not be parsed twice
        return False
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and cast("dict[str, Any]", value).get("method") == "initialize"
