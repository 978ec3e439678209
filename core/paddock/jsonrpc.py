"""The frames of ``/mcp``: JSON-RPC 2.0 requests and responses, without any I/O."""

import json
from typing import Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from paddock.errors import (
    CapacityReached,
    EnvError,
    FactoryFailed,
    InvalidMessage,
    SessionError,
    UnknownSession,
)
from paddock.messages import explain

__all__ = ["Request", "RpcError", "error", "from_env_error", "parse", "result"]

PARSE_ERROR = -32700
INVALID_REQUEST = -32600
METHOD_NOT_FOUND = -32601
INVALID_PARAMS = -32602
INTERNAL_ERROR = -32603
SERVER_ERROR = -32000


class Request(BaseModel):
    """A JSON-RPC request. Without an ``id`` it is a notification."""

    model_config = ConfigDict(extra="forbid")

    jsonrpc: Literal["2.0"]
    method: str
    params: dict[str, Any] = Field(default_factory=dict[str, Any])
    id: str | int | None = None


class RpcError(Exception):
    """A request that is answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.data = data


def parse(body: bytes | str) -> Request:
    """Read a request.

    Raises:
        RpcError: ``PARSE_ERROR`` for what is not a JSON object, ``INVALID_REQUEST`` for an object
            that is no request (OpenEnv's validator probes with ``{}``).
    """
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise RpcError(PARSE_ERROR, f"Parse error: {exc}") from None
    if not isinstance(value, dict):
        raise RpcError(PARSE_ERROR, "Parse error: a request is a JSON object, not a batch")
    return validate(cast("dict[str, Any]", value))


def validate(value: dict[str, Any]) -> Request:
    """Read a request that has been parsed already.

    Raises:
        RpcError: ``INVALID_REQUEST``.
    """
    try:
        return Request.model_validate(value)
    except ValidationError as exc:
        errors: list[dict[str, Any]] = json.loads(exc.json(include_input=False))
        raise RpcError(INVALID_REQUEST, f"Invalid request: {explain(errors)}") from None


def result(request_id: str | int | None, value: Any) -> dict[str, Any]:
    """Return a response that carries a result."""
    return {"jsonrpc": "2.0", "id": request_id, "result": value}


def error(request_id: str | int | None, exc: RpcError) -> dict[str, Any]:
    """Return a response that carries an error."""
    body = {"code": exc.code, "message": exc.message, "data": exc.data}
    return {"jsonrpc": "2.0", "id": request_id, "error": body}


def from_env_error(exc: EnvError) -> RpcError:
    """Say an environment's or a session's failure in JSON-RPC's codes, as OpenEnv does."""
    match exc:
        case CapacityReached() | FactoryFailed():
            return RpcError(SERVER_ERROR, exc.message, exc.details)
        case UnknownSession():
            return RpcError(INVALID_PARAMS, exc.message)
        case SessionError():
            return RpcError(INVALID_REQUEST, exc.message)
        case InvalidMessage():
            return RpcError(INTERNAL_ERROR, exc.message, {"errors": exc.details.get("errors")})
        case _:
            return RpcError(INTERNAL_ERROR, exc.message)
