"""An environment's actions as tools of the official MCP SDK, for every transport of it.

A tool call is a step of the session that the connection is for. What the agent can do better next
time (arguments that do not fit, a step that failed or took too long) is a result with ``isError``;
everything else is a JSON-RPC error.

The SDK costs 24 MB and 0.3 s: this module is imported when somebody speaks to it.
"""

from typing import Any

import mcp_types as types
from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from pydantic_core import to_json

from paddock import jsonrpc
from paddock.errors import EnvError, InvalidMessage, NotAvailable, StepFailed
from paddock.manager import SessionManager
from paddock.server.door import use
from paddock.server.mcp import tool_list
from paddock.server.mcp_pictures import take_pictures
from paddock.session import Session, observation_data
from paddock.tools import tools_of
from paddock.types import Observation

__all__ = ["mcp_server"]

SessionContext = ServerRequestContext[Any]
"""What a handler is told; its ``lifespan_context`` is the id of our session."""


def mcp_server(manager: SessionManager, instructions: str | None = None) -> Server[Any]:
    """Return the SDK's server of an environment. One serves any number of connections.

    Args:
        manager: Where the sessions are; a connection's ``lifespan_state`` is the id of its own.
        instructions: What a client is told beside the tools; by default what the environment is.
    """
    spec = manager.spec
    listed = types.ListToolsResult(
        tools=[
            types.Tool(
                name=tool["name"],
                description=tool["description"],
                input_schema=tool["inputSchema"],
                output_schema=tool["outputSchema"],
            )
            for tool in tool_list(spec)
        ]
    )

    async def list_tools(
        ctx: SessionContext, params: types.PaginatedRequestParams | None
    ) -> types.ListToolsResult:
        return listed

    async def call_tool(
        ctx: SessionContext, params: types.CallToolRequestParams
    ) -> types.CallToolResult:
        if params.name not in tools_of(manager.codec.actions):
            raise MCPError(types.INVALID_PARAMS, f"Unknown tool: {params.name}")
        try:
            async with use(manager, ctx.lifespan_context) as lease:
                return await _call(lease.session, params.name, params.arguments or {})
        except (InvalidMessage, StepFailed, NotAvailable) as exc:
            said = types.TextContent(text=exc.message)
            return types.CallToolResult(content=[said], is_error=True)
        except EnvError as exc:
            error = jsonrpc.from_env_error(exc)
            raise MCPError(error.code, error.message, error.data) from exc

    return Server(
        spec.name,
        version=spec.version,
        instructions=instructions or spec.description,
        on_list_tools=list_tools,
        on_call_tool=call_tool,
    )


async def _call(session: Session, name: str, arguments: dict[str, Any]) -> types.CallToolResult:
    observation = await session.step(session.tool_action(name, arguments))
    return _result(observation, session)


def _result(observation: Observation, session: Session) -> types.CallToolResult:
    data, text = observation_data(observation)
    session.codec.bounded(text)
    data, pictures = take_pictures(data)
    if pictures:
        text = to_json(data, indent=2).decode()
    images = [types.ImageContent(data=p.data, mime_type=p.mime) for p in pictures]
    reward = observation.reward
    if isinstance(reward, float) and not abs(reward) < float("inf"):
        reward = None  # JSON has no word for it
    return types.CallToolResult(
        content=[types.TextContent(text=text), *images],
        structured_content=data,
        # Not for the model: SDKs hand `_meta` to the program that called.
        _meta={"paddock/done": observation.done, "paddock/reward": reward},
    )
