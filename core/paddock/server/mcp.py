"""OpenEnv's dialect of MCP, over HTTP and over WebSocket; `mcp_door` has the standard one.

Four methods: ``tools/list``, ``tools/call``, ``openenv/session/create``, ``openenv/session/close``.
Every answer is JSON-RPC with HTTP status 200. A tool call is a step of its session: it counts, has
the step's deadline, and can end the episode. Without a session, over HTTP, it gets a throw-away
one.
"""

from typing import Any, cast

from starlette.requests import Request
from starlette.responses import Response

from paddock import jsonrpc
from paddock.catalog import EnvSpec
from paddock.errors import EnvError, SessionError
from paddock.jsonrpc import RpcError
from paddock.manager import Lease, Place, SessionManager
from paddock.messages import write_response
from paddock.server.address import address_of
from paddock.server.door import use
from paddock.session import Session, tool_result
from paddock.tools import tools_of

__all__ = ["McpDialect", "answer_frame", "answer_request", "close", "tool_list"]


async def answer_request(manager: SessionManager, request: Request) -> Response:
    """Answer one ``POST /mcp``."""
    rpc_id: str | int | None = None
    try:
        rpc = jsonrpc.parse(await request.body())
        rpc_id = rpc.id
        answer = jsonrpc.result(rpc_id, await _over_http(manager, request, rpc))
    except RpcError as exc:
        answer = jsonrpc.error(rpc_id, exc)
    except EnvError as exc:
        answer = jsonrpc.error(rpc_id, jsonrpc.from_env_error(exc))
    return Response(write_response(answer), media_type="application/json")


async def _over_http(manager: SessionManager, request: Request, rpc: jsonrpc.Request) -> Any:
    params = rpc.params
    address = address_of(request.scope)
    session_id = params.get("session_id") or address.session_id
    if not isinstance(session_id, str | None):
        raise RpcError(jsonrpc.INVALID_PARAMS, "Unknown session_id: a session_id is text")
    match rpc.method:
        case "openenv/session/create":
            lease = await manager.begin(session_id=address.session_id, place=Place.FREE)
            return {"session_id": lease.session.id}
        case "openenv/session/close":
            if session_id is None:
                raise RpcError(jsonrpc.INVALID_PARAMS, "Invalid params - 'session_id' is required")
            return close(manager, manager.find(session_id))
        case "tools/list":
            if session_id is not None:
                manager.find(session_id)
            return {"tools": tool_list(manager.spec)}
        case "tools/call":
            _tool_name(params)
            async with use(manager, session_id) as lease:
                return await _call(lease.session, params)
        case _:
            raise _not_found(rpc)


def close(manager: SessionManager, lease: Lease) -> dict[str, Any]:
    """End a session that was created to be used by id, or have it end with its connection."""
    session_id = lease.session.id
    if lease.place is Place.ATTACHED and lease.survives_close:
        lease.closing = True
        return {"session_id": session_id, "closed": False, "closing": True}
    manager.end(lease, "its client closed it")
    return {"session_id": session_id, "closed": True}


async def answer_frame(data: dict[str, Any] | jsonrpc.Request, session: Session) -> dict[str, Any]:
    """Answer a JSON-RPC request that came inside a conversation, for its session."""
    rpc_id: str | int | None = None
    try:
        rpc = data if isinstance(data, jsonrpc.Request) else jsonrpc.validate(data)
        rpc_id = rpc.id
        return jsonrpc.result(rpc_id, await _in_conversation(rpc, session))
    except RpcError as exc:
        return jsonrpc.error(rpc_id, exc)
    except EnvError as exc:
        return jsonrpc.error(rpc_id, jsonrpc.from_env_error(exc))


async def _in_conversation(rpc: jsonrpc.Request, session: Session) -> Any:
    match rpc.method:
        case "openenv/session/create":
            return {"session_id": session.id}
        case "openenv/session/close":
            raise SessionError("Cannot close active WebSocket-managed session via MCP method")
        case "tools/list":
            return {"tools": tool_list(session.spec)}
        case "tools/call":
            _tool_name(rpc.params)
            return await _call(session, rpc.params)
        case _:
            raise _not_found(rpc)


async def _call(session: Session, params: dict[str, Any]) -> dict[str, Any]:
    arguments: Any = params.get("arguments")
    if arguments is None:
        arguments = {}
    if not isinstance(arguments, dict):
        raise RpcError(jsonrpc.INVALID_PARAMS, "Invalid params - 'arguments' is an object")
    action = session.tool_action(_tool_name(params), cast("dict[str, Any]", arguments))
    return tool_result(await session.step(action))


def _tool_name(params: dict[str, Any]) -> str:
    name = params.get("name")
    if not isinstance(name, str):
        raise RpcError(jsonrpc.INVALID_PARAMS, "Missing 'name' in params")
    return name


def _not_found(rpc: jsonrpc.Request) -> RpcError:
    return RpcError(jsonrpc.METHOD_NOT_FOUND, f"Method not found: {rpc.method}")


def tool_list(spec: EnvSpec) -> list[dict[str, Any]]:
    """Return an environment's tools as ``tools/list`` gives them."""
    output = spec.observation.model_json_schema()
    for lifted in ("done", "reward", "metadata"):
        output["properties"].pop(lifted, None)
    return [
        {
            "name": tool.name,
            "title": None,
            "description": tool.description,
            "inputSchema": tool.input_schema,
            "outputSchema": output,
            "icons": None,
            "annotations": None,
            "meta": None,
            "execution": None,
        }
        for tool in tools_of(spec.codec().actions).values()
    ]


class McpDialect:
    """JSON-RPC frames on the WebSocket ``/mcp``: one session per connection."""

    async def answer(self, lease: Lease, text: str | bytes) -> str:
        """Answer one frame."""
        try:
            data = jsonrpc.parse(text)
        except RpcError as exc:
            return write_response(jsonrpc.error(None, exc))
        return write_response(await answer_frame(data, lease.session))

    def error(self, exc: EnvError) -> str:
        """Write the refusal or the farewell."""
        return write_response(jsonrpc.error(None, jsonrpc.from_env_error(exc)))
