"""The ways out to the network: which ports a session may connect to, and the proxy behind them.

==============  ===========================  ==========================  =======================
mode            level `namespaces`           level `uid`                 level `landlock`
==============  ===========================  ==========================  =======================
``off``         no sockets but UNIX ones     the same                    the same
``allowlist``   a port on its own loopback,  the proxy's port; it knows  a port of its own, the
                which is the proxy's         sessions by their user id   only one it can reach
``loopback``    a network of its own         not to be had               not to be had
``full``        the machine's network, without the TCP ports that this server listens on
==============  ===========================  ==========================  =======================
"""

import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import anyio
from anyio import to_thread

from paddock.errors import ConfigurationError
from paddock.limits import Limits
from paddock.sandbox.confinement import Level
from paddock.sandbox.egress import EgressProxy, Policy
from paddock.sandbox.egress.proxy import Door
from paddock.sandbox.forks import Forks

__all__ = ["Exits", "WayOut", "listening_ports"]

START_S = 5.0
_LISTENING = "0A"  # in the state column of /proc/net/tcp


@dataclass
class WayOut:
    """What leads out of one sandbox.

    Attributes:
        session: Whose it is.
        ports: The TCP ports it may connect to, with the mode ``allowlist``.
        closed_ports: Those it may not connect to, with the mode ``full``.
        proxy: The URL of its proxy.
        door: What listens for it alone.
    """

    session: str
    ports: tuple[int, ...] = ()
    closed_ports: tuple[int, ...] = ()
    proxy: str | None = None
    door: Door | None = None

    async def close(self) -> None:
        """Shut what listens for it alone."""
        door, self.door = self.door, None
        if door is not None:
            await door.aclose()


class Exits:
    """Makes ways out; the proxy starts with the first session that needs it.

    Args:
        level: What separates the sessions.
        session_of_uid: Whose processes run as a user.
        limits_of: What a session may use; nothing when it is gone.
    """

    def __init__(
        self,
        level: Level,
        session_of_uid: Callable[[int], str | None],
        limits_of: Callable[[str], Limits | None],
    ) -> None:
        self._level = level
        self._limits_of = limits_of
        self._proxy = EgressProxy(policy_of=self._policy_of, session_of_uid=session_of_uid)
        self._wanted = anyio.Event()
        self._serving = anyio.Event()

    async def run(self) -> None:
        """Serve the proxy once somebody wants it."""
        await self._wanted.wait()
        async with self._proxy.serving():
            self._serving.set()
            await anyio.sleep_forever()

    async def prepare(self, session: str, limits: Limits) -> WayOut:
        """Return a session's way out, before it is confined to it.

        Raises:
            ConfigurationError: A host that is allowed is none.
            OSError: The proxy cannot be started.
        """
        if limits.network == "full":
            return WayOut(session, closed_ports=await to_thread.run_sync(listening_ports))
        if limits.network != "allowlist":
            return WayOut(session)
        Policy(limits.allow_hosts)  # says now, and not at the first request, what is wrong with it
        self._wanted.set()
        with anyio.fail_after(START_S):
            await self._serving.wait()
        if self._level is Level.NAMESPACES:
            return WayOut(session)
        if self._level is Level.UID:
            port, door = self._proxy.port, None
        else:
            listener = socket.create_server(("127.0.0.1", 0))
            port = listener.getsockname()[1]
            door = await self._proxy.serve_on(listener, session)
        return WayOut(session, ports=(port,), proxy=f"http://127.0.0.1:{port}", door=door)

    async def enter(self, way: WayOut, forks: Forks) -> None:
        """Open a way out of the namespaces that have just been made for a session.

        Raises:
            OSError: No socket can be had in them.
        """
        await way.close()
        listener = await forks.listen(way.session)
        port = listener.getsockname()[1]
        way.door = await self._proxy.serve_on(listener, way.session)
        way.proxy = f"http://127.0.0.1:{port}"

    def drop(self, session: str) -> None:
        """End the connections of a session that is being closed."""
        self._proxy.drop(session)

    def _policy_of(self, session: str) -> Policy | None:
        limits = self._limits_of(session)
        if limits is None or limits.network != "allowlist":
            return None
        try:
            return Policy(limits.allow_hosts)
        except ConfigurationError:  # `prepare` has told whoever asked for it
            return None


def listening_ports() -> tuple[int, ...]:
    """Return the TCP ports that this process listens on, whoever opened them."""
    own: set[str] = set()
    for entry in os.scandir("/proc/self/fd"):
        try:
            target = str(Path(entry.path).readlink())
        except OSError:  # closed meanwhile
            continue
        if target.startswith("socket:["):
            own.add(target[8:-1])
    ports: set[int] = set()
    for table in ("tcp", "tcp6"):
        try:
            lines = Path(f"/proc/self/net/{table}").read_text(encoding="ascii").splitlines()[1:]
        except FileNotFoundError:  # a kernel without IPv6
            continue
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTENING and fields[9] in own:
                ports.add(int(fields[1].rpartition(":")[2], 16))
    return tuple(sorted(ports))
