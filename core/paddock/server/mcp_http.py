"""Standard MCP over Streamable HTTP, by the official SDK: each of its sessions is one of ours.

``initialize`` begins a session and waits for a place like any other door; its ``Mcp-Session-Id`` is
the session's id, so that a trainer can reset, look at and evaluate over HTTP or ``/ws`` what an
agent plays here. ``DELETE`` ends it. A client whose address names a session (``/s/<id>/mcp``) plays
that one, and its ``DELETE`` leaves it to whoever named it.

Answers are JSON and not event streams: there is nothing a server of ours says unasked, so ``GET``
has nothing to stream, either. The protocol without sessions (2026-07-28) is refused with the
versions that have them, and clients fall back: an episode is a state.
"""

import json
import logging
import uuid
from typing import Any, cast

import anyio
import mcp_types as types
from anyio.abc import TaskGroup, TaskStatus
from mcp.server.runner import serve_loop
from mcp.server.streamable_http import StreamableHTTPServerTransport
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from pydantic import ValidationError
from starlette.requests import Request
from starlette.responses import Response

from paddock import jsonrpc
from paddock.errors import EnvError, UnknownSession
from paddock.jsonrpc import RpcError
from paddock.manager import Lease, Place, SessionManager
from paddock.messages import explain, write_response
from paddock.server.address import Address, address_of
from paddock.server.door import while_connected
from paddock.server.guard import Message, Scope
from paddock.server.mcp import close
from paddock.server.mcp_tools import mcp_server

__all__ = ["StandardSessions"]

JSON = "application/json"
logger = logging.getLogger(__name__)


class StandardSessions:
    """The MCP sessions of one server.

    Args:
        manager: Where their sessions come from.
        tasks: Where each of them is served; they end with it.
    """

    def __init__(self, manager: SessionManager, tasks: TaskGroup) -> None:
        self._manager = manager
        self._server = mcp_server(manager)
        self._transports: dict[str, _Transport] = {}
        self._tasks = tasks

    async def answer(self, request: Request, body: bytes) -> Response:
        """Answer one request.

        Raises:
            Gone: Its client went away.
        """
        headers = request.headers
        version = headers.get("mcp-protocol-version")
        if version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS:
            return _unsupported(version, body)
        named = headers.get("mcp-session-id")
        if named is None:
            return await while_connected(request.receive, lambda: self._open(request, body))
        transport = self._transports.get(named)
        if transport is None:
            error = RpcError(jsonrpc.INVALID_REQUEST, "there is no such session (any more)")
            return _refusal(error, 404)
        return await while_connected(request.receive, lambda: _relay(transport, request, body))

    async def _open(self, request: Request, body: bytes) -> Response:
        """Answer a request that has no session: only `initialize` makes sense, and begins one."""
        rpc_id: str | int | None = None
        try:
            rpc = jsonrpc.parse(body)
            rpc_id = rpc.id
            if rpc.method != "initialize":
                error = RpcError(jsonrpc.INVALID_REQUEST, "send Mcp-Session-Id, or initialize")
                return _refusal(error, 400, rpc_id)
            types.InitializeRequestParams.model_validate(rpc.params, by_name=False)
            return await self._begin(request, body)
        except RpcError as exc:
            return _refusal(exc, 400, rpc_id)
        except ValidationError as exc:
            said = explain(json.loads(exc.json(include_input=False)))
            return _refusal(RpcError(jsonrpc.INVALID_PARAMS, said), 400, rpc_id)
        except EnvError as exc:
            return _refusal(jsonrpc.from_env_error(exc), 200, rpc_id)

    async def _begin(self, request: Request, body: bytes) -> Response:
        address = address_of(request.scope)
        lease = await self._lease(address)
        own = address.session_id is None
        mcp_id = lease.session.id if own else str(uuid.uuid4())
        transport = _Transport(mcp_id)
        began = False
        try:
            await self._tasks.start(self._serve, transport, lease, own)
            self._transports[mcp_id] = transport
            response = await _relay(transport, request, body)
            began = True
            return response
        finally:
            if not began:  # nobody knows its id
                self._transports.pop(mcp_id, None)
                await _terminate(transport)
                if own:
                    close(self._manager, lease)

    async def _lease(self, address: Address) -> Lease:
        if address.session_id is None:
            return await self._manager.begin(place=Place.FREE)
        try:
            return self._manager.find(address.session_id)
        except UnknownSession:
            if address.existing:
                raise
            return await self._manager.begin(session_id=address.session_id, place=Place.FREE)

    async def _serve(
        self,
        transport: "_Transport",
        lease: Lease,
        own: bool,
        *,
        task_status: TaskStatus[None],
    ) -> None:
        """Serve one MCP session until its client or ours ends it."""
        session = lease.session

        async def watch() -> None:
            await session.ended.wait()
            await _terminate(transport)

        try:
            async with transport.connect() as (read, write), anyio.create_task_group() as tasks:
                tasks.start_soon(watch)
                task_status.started()
                await serve_loop(
                    self._server,
                    read,
                    write,
                    lifespan_state=session.id,
                    session_id=transport.mcp_session_id,
                )
                tasks.cancel_scope.cancel()
        except Exception:  # one session's failure must not end the others
            logger.exception("the MCP connection of session %s failed", session.id)
        finally:
            self._transports.pop(cast("str", transport.mcp_session_id), None)
            await _terminate(transport)
            if own:
                close(self._manager, lease)


class _Transport(StreamableHTTPServerTransport):
    """The SDK's transport, with JSON answers, and what it leaves to its clients' good manners."""

    def __init__(self, session_id: str) -> None:
        super().__init__(session_id, is_json_response_enabled=True)
        self.in_flight: set[str] = set()


async def _relay(transport: _Transport, request: Request, body: bytes) -> Response:
    """Let the SDK answer a request, unless it waits for an answer of that id already.

    It would mix the two up, and one would wait for ever.
    """
    rpc_id = _id_of(body)
    if rpc_id is None:
        return await _answer(transport, request, body)
    key = str(rpc_id)  # the SDK takes 1 and "1" for the same, too
    if key in transport.in_flight:
        error = RpcError(jsonrpc.INVALID_REQUEST, f"a request of id {rpc_id!r} is in progress")
        return _refusal(error, 400, rpc_id)
    transport.in_flight.add(key)
    try:
        return await _answer(transport, request, body)
    finally:
        transport.in_flight.discard(key)


def _id_of(body: bytes) -> str | int | None:
    try:
        value: Any = json.loads(body)
    except (ValueError, RecursionError):
        return None
    found = cast("dict[str, Any]", value).get("id") if isinstance(value, dict) else None
    return found if isinstance(found, str | int) else None


async def _answer(transport: _Transport, request: Request, body: bytes) -> Response:
    """Let the SDK answer a request whose body has been read."""
    replay = [{"type": "http.request", "body": body, "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        if not replay:
            await anyio.sleep_forever()  # who looks after the client is `while_connected`
        return replay.pop()

    async def send(message: Message) -> None:
        sent.append(message)

    await transport.handle_request(_lenient(request.scope), receive, send)
    start, *rest = sent
    response = Response(b"".join(m.get("body", b"") for m in rest), start["status"])
    response.raw_headers = list(start["headers"])
    return response


def _lenient(scope: Scope) -> Scope:
    """Say for the client that it takes and sends JSON: curl does not by itself."""
    said = (b"accept", b"content-type")
    headers = [(k, v) for k, v in scope["headers"] if k not in said]
    return {**scope, "headers": [*headers, *((name, JSON.encode()) for name in said)]}


async def _terminate(transport: _Transport) -> None:
    if not transport.is_terminated:
        with anyio.CancelScope(shield=True):
            await transport.terminate()


def _unsupported(version: str, body: bytes) -> Response:
    supported = list(HANDSHAKE_PROTOCOL_VERSIONS)
    data: dict[str, Any] = {"supported": supported, "requested": version}
    said = f"Unsupported protocol version: {version} (there are: {', '.join(supported)})"
    return _refusal(RpcError(types.UNSUPPORTED_PROTOCOL_VERSION, said, data), 400, _id_of(body))


def _refusal(error: RpcError, status: int, rpc_id: str | int | None = None) -> Response:
    return Response(write_response(jsonrpc.error(rpc_id, error)), status, media_type=JSON)
