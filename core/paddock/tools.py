"""Tools: the action models of an environment, as MCP and function calling see them.

An action is a tool call and a tool is one pydantic model, so everything here is derived from the
models and nothing is written twice.
"""

from dataclasses import dataclass
from functools import lru_cache
from inspect import cleandoc
from typing import Annotated, Any, Literal, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field

from paddock.types import Action, Observation

__all__ = [
    "RESERVED",
    "CallTool",
    "Evaluate",
    "ListTools",
    "Tool",
    "ToolError",
    "ToolList",
    "ToolResult",
    "action_models",
    "tool_name",
    "tools_of",
]

RESERVED = frozenset({"reset", "step", "state", "close", "evaluate", "call_tool", "list_tools"})
"""Names no tool may have: OpenEnv's (``mcp_types.RESERVED_TOOL_NAMES``), its two MCP action types,
and our ``evaluate``, which must never be in a model's tool list."""


class _CoreAction(BaseModel):
    """What every environment understands beside its own actions."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    metadata: dict[str, Any] = Field(default_factory=dict[str, Any])


class CallTool(_CoreAction):
    """OpenEnv's MCP dialect: call a tool by name. Reaches the same model as the plain action."""

    type: Literal["call_tool"] = "call_tool"
    tool_name: str
    arguments: dict[str, Any] = Field(default_factory=dict[str, Any])


class ListTools(_CoreAction):
    """OpenEnv's MCP dialect: which tools there are. Needs no reset."""

    type: Literal["list_tools"] = "list_tools"


class Evaluate(_CoreAction):
    """End the episode and run the task's own check. For the trainer, never for the model."""

    type: Literal["evaluate"] = "evaluate"


class ToolError(BaseModel):
    """Why a tool call gave no result (OpenEnv's ``ToolError``)."""

    error_type: Literal["execution_error", "invalid_args", "tool_not_found", "timeout"]
    message: str


class ToolResult(Observation):
    """The answer to ``call_tool`` (OpenEnv's ``CallToolObservation``)."""

    tool_name: str
    result: dict[str, Any] | None = None
    error: ToolError | None = None


class ToolList(Observation):
    """The answer to ``list_tools`` (OpenEnv's ``ListToolsObservation``)."""

    tools: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Tool:
    """One tool of an environment.

    Attributes:
        name: The action's ``type``.
        description: The action model's docstring.
        input_schema: JSON Schema of the arguments: an object, without ``type`` and ``metadata``.
        model: The action model the arguments become.
    """

    name: str
    description: str
    input_schema: dict[str, Any]
    model: type[Action]


def action_models(action: Any) -> tuple[type[Action], ...]:
    """Return the models of an action type: one model, or a union of models, annotated or not.

    The first one is the environment's default action, whose ``type`` may be left out on the wire.

    Raises:
        TypeError: Something in the union is not an ``Action`` subclass with a literal ``type``,
            or two share a name, or a name is reserved.
    """
    if get_origin(action) is Annotated:
        action = get_args(action)[0]
    models = cast("tuple[type[Action], ...]", get_args(action) or (action,))
    names: set[str] = set()
    for model in models:
        name = tool_name(model)
        if name in names or name in RESERVED:
            why = "reserved" if name in RESERVED else "taken by another action"
            raise TypeError(f"{model.__name__}: the name {name!r} is {why}; choose another type")
        names.add(name)
    return models


def tool_name(model: type[Action]) -> str:
    """Return the tool name of an action model: the value of its literal ``type`` field."""
    field = model.model_fields.get("type")
    if field is None or get_origin(field.annotation) is not Literal:
        raise TypeError(
            f"{model.__name__} names no tool: give it `type: Literal['<name>'] = '<name>'`"
        )
    return str(get_args(field.annotation)[0])


@lru_cache(maxsize=256)
def tools_of(models: tuple[type[Action], ...]) -> dict[str, Tool]:
    """Return the tools of some action models, by name, in order."""
    return {tool.name: tool for tool in map(_tool, models)}


def _tool(model: type[Action]) -> Tool:
    schema = model.model_json_schema()
    properties = {k: v for k, v in schema["properties"].items() if k not in ("type", "metadata")}
    schema["properties"] = properties
    schema.pop("title", None)
    description = cleandoc(model.__doc__ or schema.get("description", ""))
    schema.pop("description", None)
    if required := [k for k in schema.get("required", ()) if k in properties]:
        schema["required"] = required
    else:
        schema.pop("required", None)
    return Tool(tool_name(model), description, schema, model)
