"""Which session a request means: by path prefix, by header, by query or by episode id."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

from paddock.errors import UnknownSession
from paddock.server.guard import Receive, Scope, Send

__all__ = ["HEADER", "Address", "SessionPrefix", "address_of"]

HEADER = "x-session-id"
_ID = re.compile(r"[A-Za-z0-9_.~-]{1,128}")
_PREFIX = re.compile(r"/s/([^/]+)(/.*)")


@dataclass(frozen=True, slots=True)
class Address:
    """How a connection names its session.

    Attributes:
        session_id: The id, or ``None`` for a session of the connection's own.
        existing: Only an existing session is meant; it is not created (``?session_id=``).
        owner: The connection proves with the header that the id is its own, so that it takes the
            session over from an older connection of the same client.
    """

    session_id: str | None
    existing: bool = False
    owner: bool = False


class SessionPrefix:
    """ASGI middleware: ``/s/<id>/ws`` is ``/ws`` of session ``<id>``, and so on for every route.

    A client that knows nothing of sessions gets a session it can come back to by using
    ``http://host:port/s/<id>`` as its base URL: OpenEnv's clients keep a path prefix.
    """

    def __init__(self, app: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "lifespan" and (match := _PREFIX.fullmatch(scope["path"])):
            scope = {**scope, "path": match[2], "paddock.session_id": match[1]}
        await self._app(scope, receive, send)


def address_of(scope: Scope) -> Address:
    """Read the address of a request or a WebSocket connection.

    Raises:
        UnknownSession: The id is not one that a session can have.
    """
    headers = dict(scope["headers"])
    named = headers.get(HEADER.encode(), b"").decode("latin-1") or None
    query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
    asked = query.get("session_id", [None])[0]
    prefix = scope.get("paddock.session_id")
    if asked is not None:
        return Address(asked, existing=True, owner=asked == named)
    session_id = prefix or named
    if session_id is not None and not _ID.fullmatch(session_id):
        raise UnknownSession(
            f"Unknown session_id: {session_id[:128]} (1 to 128 of A-Z a-z 0-9 _ . ~ -)"
        )
    return Address(session_id, owner=named is not None and named == session_id)
