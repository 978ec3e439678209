"""Who is at the other end of a loopback connection: the uid in the kernel's table of sockets.

``/proc/net/tcp`` has a row for either end of a connection. The client's has the proxy as its remote
address, and the uid that made the socket. A session cannot lie about it, and there is no secret
that it could lose.

Reading the table costs 5 ms where the kernel has 262144 buckets to walk, however few sockets there
are. So it is read on a thread, once for all who wait at that moment, and at most half of the time.
"""

import errno
import logging
import re
import socket
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import IPv4Address, IPv6Address
from pathlib import Path

import anyio
from anyio import CapacityLimiter, to_thread

__all__ = ["Endpoint", "Peers", "clients_of"]

Endpoint = tuple[str, int]

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_TRIES = 3

# ESTABLISHED, FIN_WAIT1, FIN_WAIT2: a client may have said all it has to say.
_OPEN = "(?:01|04|05)"
_ADDRESS = re.compile(r"([0-9A-F]{8}|[0-9A-F]{32}):([0-9A-F]{4})", re.ASCII)

logger = logging.getLogger(__name__)


def clients_of(proxy: Endpoint, table: str) -> dict[Endpoint, int]:
    """Return who is connected to an endpoint: the uid of each client, by the client's endpoint.

    Args:
        proxy: What they are connected to.
        table: The text of ``/proc/net/tcp`` or ``tcp6``.
    """
    found: dict[Endpoint, int] = {}
    ambiguous: set[Endpoint] = set()
    # A table can have a row for every connection of the last minute: look at no other rows.
    for row in re.finditer(rf":{proxy[1]:04X} {_OPEN} ", table):
        start, end = table.rfind("\n", 0, row.start()) + 1, table.find("\n", row.end())
        # sl local remote st tx:rx tr:when retransmits uid timeout inode ...
        fields = table[start : end if end >= 0 else None].split()
        # A socket whose owner has closed it has no inode, and counts as uid 0.
        if len(fields) < 10 or fields[9] == "0":
            continue
        client, remote = _endpoint(fields[1]), _endpoint(fields[2])
        if client is None or remote != proxy or not (fields[7].isascii() and fields[7].isdigit()):
            continue
        uid = int(fields[7])
        if found.setdefault(client, uid) != uid:
            ambiguous.add(client)
    return {client: uid for client, uid in found.items() if client not in ambiguous}


def _endpoint(text: str) -> Endpoint | None:
    match = _ADDRESS.fullmatch(text)
    if match is None:
        return None
    digits, port = match.groups()
    # The kernel prints an address as words in its own byte order.
    words = [int(digits[at : at + 8], 16) for at in range(0, len(digits), 8)]
    packed = b"".join(word.to_bytes(4, sys.byteorder) for word in words)
    if len(packed) == 4:
        return str(IPv4Address(packed)), int(port, 16)
    address = IPv6Address(packed)
    # A socket for both families shows an IPv4 address in this form.
    return str(address.ipv4_mapped or address), int(port, 16)


class _Reading:
    """One reading of the tables, for all who asked before it began."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.wanted: set[Endpoint] = set()
        self.clients: dict[Endpoint, int] = {}


class Peers:
    """Finds out who a listener's clients are. `run` does the reading.

    Args:
        proxy: Where the listener listens.
        read: Reads one of the two tables, on a thread.
    """

    def __init__(self, proxy: Endpoint, read: Callable[[Path], str] = Path.read_text) -> None:
        self._proxy = proxy
        self._read_table = read
        self._thread = CapacityLimiter(1)
        self._next = _Reading()
        self._wanted = anyio.Event()

    async def uid(self, sock: socket.socket) -> int | None:
        """Return the uid of who is at the other end of an accepted connection.

        Returns:
            ``None`` when nobody is there any more.
        """
        client = _peer(sock)
        if client is None:
            return None
        for _ in range(_TRIES):
            reading = await self._reading(client)
            # Somebody else may have the client's port by now, and what the client said before it
            # went away can still be read. Only while this end is connected is the row the client's.
            if _peer(sock) != client:
                return None
            if client in reading.clients:
                return reading.clients[client]
            # The table is no snapshot: a row can be missed when others come and go meanwhile.
        return None

    async def _reading(self, client: Endpoint) -> _Reading:
        reading = self._next
        reading.wanted.add(client)
        self._wanted.set()
        await reading.done.wait()
        return reading

    async def run(self) -> None:
        """Read the tables whenever somebody asks, until cancelled."""
        while True:
            await self._wanted.wait()
            reading, self._next, self._wanted = self._next, _Reading(), anyio.Event()
            began = time.monotonic()
            try:
                reading.clients = await to_thread.run_sync(
                    self._read, reading.wanted, limiter=self._thread
                )
            except (OSError, ValueError):
                logger.exception("the kernel's table of sockets cannot be read")
            finally:
                reading.done.set()
            await anyio.sleep(time.monotonic() - began)

    def _read(self, wanted: set[Endpoint]) -> dict[Endpoint, int]:
        found: dict[Endpoint, int] = {}
        for table in _TABLES:
            with suppress(FileNotFoundError):  # a kernel without IPv6
                found |= clients_of(self._proxy, self._read_table(table))
            if wanted <= found.keys():
                break
        return found


def _peer(sock: socket.socket) -> Endpoint | None:
    try:
        host, port = sock.getpeername()[:2]
    except OSError as exc:
        if exc.errno not in (errno.ENOTCONN, errno.EBADF):
            raise
        return None
    return host, port
