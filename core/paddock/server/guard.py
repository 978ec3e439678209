"""Who may come in: the checks that stand before every door, HTTP and WebSocket alike.

Nothing is checked on loopback unless it is asked for. On any other address a connection needs the
token, whatever started the server, unless the operator said ``insecure``. `/health` alone answers
without a token: it tells nothing, and orchestrators probe it before they have one.
"""

import hmac
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import urlsplit

from paddock.server.settings import Settings, is_loopback

__all__ = ["MAX_BODY_BYTES", "Guard", "Receive", "Scope", "Send"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY_BYTES = 16 << 20
"""As much as uvicorn takes in one WebSocket frame."""


class _Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class Guard:
    """ASGI middleware: lets a request through, or answers it with 401, 403 or 413.

    Args:
        app: What it guards.
        settings: Token, allowed origins and hosts.
    """

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        try:
            self._check(scope, headers)
        except _Refused as refusal:
            await _refuse(scope, refusal, send)
            return
        if scope["type"] == "http":
            receive = _limited(receive)
        await self._app(scope, receive, send)

    def _check(self, scope: Scope, headers: dict[str, str]) -> None:
        settings = self._settings
        if scope["path"] != "/health":
            self._check_token(scope, headers.get("authorization", ""))
        if settings.allowed_hosts:
            host = urlsplit(f"//{headers.get('host', '')}").hostname or ""
            if host not in settings.allowed_hosts:
                raise _Refused(403, f"host {host!r} is not served here (--allowed-host)")
        origin = headers.get("origin")
        if origin and (settings.token or settings.allowed_origins or settings.allowed_hosts):
            own = urlsplit(origin).netloc == headers.get("host")
            if not own and origin not in settings.allowed_origins:
                raise _Refused(403, f"origin {origin!r} is not allowed here (--allowed-origin)")
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > MAX_BODY_BYTES:
            raise _Refused(413, f"the body has {length} bytes; at most {MAX_BODY_BYTES} are read")

    def _check_token(self, scope: Scope, authorization: str) -> None:
        token = self._settings.token
        if token is None:
            server = scope.get("server")
            if not self._settings.insecure and server and server[1] and not is_loopback(server[0]):
                raise _Refused(
                    403,
                    "this server has no token and is reachable from outside: set PADDOCK_TOKEN,"
                    " or PADDOCK_INSECURE=1 if that is meant",
                )
            return
        scheme, _, given = authorization.partition(" ")
        if scheme.lower() != "bearer" or not hmac.compare_digest(given.encode(), token.encode()):
            raise _Refused(401, "a bearer token is needed: send `Authorization: Bearer <token>`")


def _limited(receive: Receive) -> Receive:
    """Count a body that came without a length: too long a one ends as a disconnect."""
    total = 0

    async def counted() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        return {"type": "http.disconnect"} if total > MAX_BODY_BYTES else message

    return counted


async def _refuse(scope: Scope, refusal: _Refused, send: Send) -> None:
    body = json.dumps({"detail": refusal.message}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    if refusal.status == 401:
        headers.append((b"www-authenticate", b"Bearer"))
    kind = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    await send({"type": f"{kind}.start", "status": refusal.status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body})
