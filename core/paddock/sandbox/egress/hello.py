"""The first thing a TLS client says, and the one thing in it that matters: the name it asks for.

A tunnel is opened to a host on the list; a client that then names another one in its ClientHello is
out to reach what the same address serves under that name. RFC 8446 section 4.1.2 and RFC 6066
section 3; nothing is skipped that is not understood.
"""

from dataclasses import dataclass

from paddock.sandbox.egress.policy import normalise

__all__ = ["ALERT", "HANDSHAKE", "Hello", "read_hello"]

HANDSHAKE = 22
"""The first byte of a TLS connection."""
ALERT = bytes([21, 3, 3, 0, 2, 2, 49])
"""A fatal ``access_denied``: what a TLS client can tell its user."""

_CLIENT_HELLO = 1
_SERVER_NAME = 0
_HOST_NAME = 0
_MAX_RECORD = 1 << 14


@dataclass(frozen=True)
class Hello:
    """What a ClientHello says.

    Attributes:
        server_name: The host it is meant for, normalised; ``None`` when it does not say.
    """

    server_name: str | None


def read_hello(data: bytes | bytearray) -> Hello | None:
    """Read a ClientHello from the beginning of a connection.

    Returns:
        ``None`` when it is not all there yet. How long to go on is the caller's to say.

    Raises:
        ValueError: This is not a ClientHello, or there is something wrong with it.
    """
    message = bytearray()
    at = 0
    while at < len(data):
        if data[at] != HANDSHAKE or data[at + 1 : at + 2] not in (b"", b"\x03"):
            raise ValueError("not a TLS handshake")
        length = int.from_bytes(data[at + 3 : at + 5], "big")
        if len(data) - at < 5:
            return None
        if not 0 < length <= _MAX_RECORD:
            raise ValueError(f"a TLS record of {length} bytes")
        if len(data) - at - 5 < length:
            return None
        message += data[at + 5 : at + 5 + length]
        at += 5 + length
        if message[0] != _CLIENT_HELLO:
            raise ValueError("not a ClientHello")
        size = 4 + int.from_bytes(message[1:4], "big")
        if len(message) >= 4 and len(message) >= size:
            if len(message) > size:
                raise ValueError("something follows the ClientHello in its record")
            return Hello(_server_name(bytes(message[4:])))
    return None


class _Fields:
    """The fields of a structure, one after the other."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def take(self, size: int) -> bytes:
        taken = self._data[self._at : self._at + size]
        if len(taken) < size:
            raise ValueError("a ClientHello ends in the middle of a field")
        self._at += size
        return taken

    def number(self, size: int) -> int:
        return int.from_bytes(self.take(size), "big")

    def vector(self, size: int, least: int = 0) -> bytes:
        taken = self.take(self.number(size))
        if len(taken) < least:
            raise ValueError("a field of a ClientHello is too short")
        return taken

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def end(self) -> None:
        if self:
            raise ValueError("something follows the last field of a ClientHello")


def _server_name(body: bytes) -> str | None:
    fields = _Fields(body)
    fields.take(2 + 32)  # the version of old, and the random
    if len(fields.vector(1)) > 32:
        raise ValueError("a ClientHello's session id is too long")
    if len(fields.vector(2, least=2)) % 2:
        raise ValueError("half a cipher suite in a ClientHello")
    fields.vector(1, least=1)  # compression methods
    if not fields:
        return None
    extensions = _Fields(fields.vector(2))
    fields.end()
    found: dict[int, bytes] = {}
    while extensions:
        kind = extensions.number(2)
        if kind in found:
            raise ValueError("an extension comes twice in a ClientHello")
        found[kind] = extensions.vector(2)
    return _host_name(found[_SERVER_NAME]) if _SERVER_NAME in found else None


def _host_name(extension: bytes) -> str:
    fields = _Fields(extension)
    names = _Fields(fields.vector(2, least=1))
    fields.end()
    if names.number(1) != _HOST_NAME:
        raise ValueError("a server name that is no host name")
    name = names.vector(2, least=1)
    names.end()  # one name of a kind, and there is only the one kind
    return normalise(name.decode("ascii"))
