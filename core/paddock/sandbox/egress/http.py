"""The proxy's rules of HTTP, without I/O: where a request wants to go, and what of it goes there.

What a client sends is parsed (h11) and written anew; no byte of a head is passed on as it came. So
two servers cannot disagree about where a request ends, and what is ambiguous is refused before.
"""

import re
from typing import NamedTuple

import h11

from paddock.sandbox.egress.policy import Refused, normalise

__all__ = ["Target", "answer_head", "proxy_error", "request_head", "target_of"]

_AUTHORITY = re.compile(r"(\[[^\]@/\\]*\]|[^\[\]:@/\\]+)(?::([0-9]{1,5}))?")
_ABSOLUTE = re.compile(r"http://([^/?#]*)([/?][^#]*)?", re.IGNORECASE)

_HOP_BY_HOP = frozenset({b"connection", b"keep-alive", b"te", b"trailer", b"upgrade"})
_FRAMING = frozenset({b"content-length", b"transfer-encoding"})

# RFC 9209: how a client tells the proxy's answers from the host's.
_ERRORS = {
    403: "http_request_denied",
    429: "connection_limit_reached",
    502: "destination_unavailable",
    503: "connection_limit_reached",
    504: "connection_timeout",
}

Headers = list[tuple[bytes, bytes]]


class Target(NamedTuple):
    """Where a request wants to go.

    Attributes:
        host: Normalised.
        port: From the request, or 80.
        path: What to ask for there; empty for a tunnel.
    """

    host: str
    port: int
    path: bytes = b""

    @property
    def authority(self) -> bytes:
        """The value of the Host header."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return (host if self.port == 80 else f"{host}:{self.port}").encode()


def target_of(request: h11.Request) -> Target:
    """Read where a request wants to go.

    Raises:
        Refused: It does not say so, or in more than one way.
    """
    if request.http_version not in (b"1.0", b"1.1"):
        raise Refused(505, f"HTTP/{request.http_version.decode()} is not spoken here, HTTP/1.1 is")
    names = [name for name, _ in request.headers]
    chunked = b"transfer-encoding" in names
    if chunked and (b"content-length" in names or request.http_version == b"1.0"):
        raise Refused(400, "a body has either a Content-Length or, in HTTP/1.1, Transfer-Encoding")
    if request.method == b"CONNECT":
        if chunked or b"content-length" in names:
            raise Refused(400, "a CONNECT request has no body")
        host, port = _authority(request.target)
        if port is None:
            raise Refused(400, f"CONNECT {request.target.decode()!r} names no port")
        return Target(host, port)
    match = _ABSOLUTE.fullmatch(request.target.decode())
    if match is None:
        shown = request.target[:200].decode()
        raise Refused(400, f"{shown!r} is neither an http:// URL nor asked for with CONNECT")
    authority, path = match[1].encode(), (match[2] or "/").encode()
    host, port = _authority(authority)
    target = Target(host, port or 80, path if path.startswith(b"/") else b"/" + path)
    for name, value in request.headers:
        if name == b"host":
            host, port = _authority(value)
            if (host, port or 80) != (target.host, target.port):
                said = value[:200].decode("ascii", "replace")
                raise Refused(400, f"the Host header says {said!r}, the URL {match[1]!r}")
    return target


def _authority(authority: bytes) -> tuple[str, int | None]:
    text = authority.decode("latin-1")
    match = _AUTHORITY.fullmatch(text) if text.isascii() else None
    if match is None:
        raise Refused(400, f"{text[:200]!r} is not host:port")
    port = None if match[2] is None else int(match[2])
    if port is not None and not 0 < port < 65536:
        raise Refused(400, f"{port} is not a TCP port")
    try:
        return normalise(match[1]), port
    except ValueError as exc:
        raise Refused(400, f"{match[1][:200]!r} is not a host ({exc})") from exc


def request_head(request: h11.Request, target: Target) -> h11.Request:
    """Return the head to send to the host: in origin form, of this hop nothing."""
    headers = [(b"Host", target.authority), *_end_to_end(request, also=b"host")]
    headers.append((b"Connection", b"close"))
    return h11.Request(method=request.method, target=target.path, headers=headers)


def answer_head(
    answer: h11.Response | h11.InformationalResponse,
) -> h11.Response | h11.InformationalResponse:
    """Return the head to send to the client: of the other hop nothing."""
    return type(answer)(
        status_code=answer.status_code,
        headers=_end_to_end(answer),
        reason=answer.reason,
    )


def _end_to_end(
    head: h11.Request | h11.Response | h11.InformationalResponse, also: bytes = b""
) -> Headers:
    dropped = {*_HOP_BY_HOP, also}
    for name, value in head.headers:
        if name == b"connection":
            dropped |= {named.strip().lower() for named in value.split(b",")}
    # Whoever names the framing in `Connection` wants its body read as something else.
    dropped -= _FRAMING
    return [
        (raw, value)
        for raw, value in head.headers.raw_items()
        if raw.lower() not in dropped and not raw.lower().startswith(b"proxy-")
    ]


def proxy_error(refused: Refused) -> tuple[h11.Response, bytes]:
    """Return the answer that tells an agent why.

    The reason is in the status line too: of a refused tunnel most clients show nothing else.
    """
    body = f"{refused.status} {refused.why}\n".encode()
    reason = refused.why.encode("ascii", "replace")[:300]
    error = _ERRORS.get(refused.status, "http_request_error")
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", str(len(body))),
        ("Proxy-Status", f"paddock; error={error}"),
        ("Connection", "close"),
    ]
    return h11.Response(status_code=refused.status, headers=headers, reason=reason), body
