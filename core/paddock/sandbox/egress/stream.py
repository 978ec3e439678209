"""Sockets on the event loop, and what a client connection may cost.

anyio's streams hide the socket behind a transport, which closes it when the other side resets the
connection, and then there is no asking any more who that was. Here the socket is one's own.
"""

import asyncio
import socket
from collections.abc import Generator
from contextlib import contextmanager

import anyio
from anyio import lowlevel

from paddock.sandbox.egress.address import Address
from paddock.sandbox.egress.policy import Refused

__all__ = ["Meter", "Stream"]

_CHUNK = 64 << 10
_LINGER_S = 1.0
_LINGER_BYTES = 1 << 20


class Stream:
    """A connected socket; closed at the end of a ``with`` block.

    Args:
        sock: The socket, which does not block.
    """

    def __init__(self, sock: socket.socket) -> None:
        self.socket = sock
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    async def receive(self) -> bytes:
        """Return what has come; nothing at the end.

        Raises:
            OSError: The connection is lost.
        """
        # The loop's call takes what is there without a pause: between two sides that are both
        # fast nobody else would get a turn.
        await lowlevel.checkpoint()
        return await self._loop.sock_recv(self.socket, _CHUNK)

    async def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            OSError: The connection is lost.
        """
        await self._loop.sock_sendall(self.socket, data)

    def send_eof(self) -> None:
        """Say that nothing more is coming.

        Raises:
            OSError: The connection is lost.
        """
        self.socket.shutdown(socket.SHUT_WR)

    async def linger(self) -> None:
        """Give the other side time to read what was sent.

        Closing a socket that has unread data resets the connection, and the last answer with it.
        """
        left = _LINGER_BYTES
        with anyio.move_on_after(_LINGER_S):
            try:
                self.send_eof()
                while left > 0 and (data := await self.receive()):
                    left -= len(data)
            except OSError:
                return  # it is gone already


async def connect(address: Address, port: int) -> Stream:
    """Connect to exactly this address.

    Raises:
        OSError: It does not answer, or refuses.
    """
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, (str(address), port))
    except BaseException:
        sock.close()
        raise
    return Stream(sock)


class Meter:
    """What a client connection has moved, and how long it may be silent.

    Args:
        limit: Bytes, both directions together.

    Attributes:
        idle_s: The silence that is borne, inside `patience`.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._left = limit
        self._scope: anyio.CancelScope | None = None
        self.idle_s = 0.0

    @contextmanager
    def patience(self, idle_s: float) -> Generator[anyio.CancelScope]:
        """Cancel the block when nothing has moved for so long."""
        with anyio.CancelScope(deadline=anyio.current_time() + idle_s) as scope:
            self._scope, self.idle_s = scope, idle_s
            try:
                yield scope
            finally:
                self._scope = None

    def count(self, size: int) -> None:
        """Count what moved.

        Raises:
            Refused: It is too much.
        """
        self._left -= size
        if self._left < 0:
            raise Refused(413, f"more than {self._limit} bytes on one connection")
        if self._scope is not None:
            self._scope.deadline = anyio.current_time() + self.idle_s
