"""What a CONNECT opens: bytes in both directions, once the first ones have been looked at."""

from collections.abc import Awaitable, Callable

import anyio

from paddock.sandbox.egress.hello import ALERT, HANDSHAKE, read_hello
from paddock.sandbox.egress.policy import EgressLimits, Refused
from paddock.sandbox.egress.stream import Meter, Stream

__all__ = ["Tunnel"]

_TLS_ONLY = 443


class Tunnel:
    """One tunnel.

    A TLS client has to name a host that it may reach before anything goes out. Port 443 carries
    nothing but TLS; on other ports, where the host may be the one who speaks first, what does not
    begin like TLS is passed on as it is.

    Args:
        client: The session's side.
        upstream: The host's side.
        port: The host's port.
        check_name: Raises `Refused` for a name the client must not ask for.
        meter: Counts for both sides.
        limits: How long things may take.
    """

    def __init__(
        self,
        client: Stream,
        upstream: Stream,
        port: int,
        check_name: Callable[[str | None], None],
        meter: Meter,
        limits: EgressLimits,
    ) -> None:
        self._client = client
        self._upstream = upstream
        self._port = port
        self._check_name = check_name
        self._meter = meter
        self._limits = limits
        self._greeting = False
        self._refused: Refused | None = None

    async def run(self, said: bytes) -> None:
        """Relay until both sides are done, or one is lost, or nothing moves any more.

        Args:
            said: What the client said already.

        Raises:
            Refused: What the client said at first was not let through, or it moved too much.
        """
        with self._meter.patience(self._limits.idle_s):
            async with anyio.create_task_group() as sides:
                scope = sides.cancel_scope
                sides.start_soon(self._relay, self._outwards(said), scope, name="outwards")
                sides.start_soon(self._relay, self._inwards(), scope, name="inwards")
        if self._refused is not None:
            raise self._refused

    async def alert(self) -> None:
        """Tell a TLS client that it was not let through, if it was not."""
        if not self._greeting:
            return
        with anyio.move_on_after(self._limits.header_s):
            try:
                await self._client.send(ALERT)
            except OSError:
                return
            await self._client.linger()

    async def _relay(self, side: Awaitable[None], scope: anyio.CancelScope) -> None:
        try:
            await side
        except Refused as refused:
            self._refused = refused
            scope.cancel()
        except OSError:
            scope.cancel()

    async def _outwards(self, said: bytes) -> None:
        said = said or await self._client.receive()
        if said[:1] == bytes([HANDSHAKE]):
            self._greeting = True
            said = await self._greet(said)
            self._greeting = False
        elif said and self._port == _TLS_ONLY:
            raise Refused(403, f"port {_TLS_ONLY} is for TLS, and this is none")
        await self._pump(self._client, self._upstream, said)

    async def _inwards(self) -> None:
        await self._pump(self._upstream, self._client, await self._upstream.receive())

    async def _pump(self, source: Stream, sink: Stream, chunk: bytes) -> None:
        while chunk:
            self._meter.count(len(chunk))
            await sink.send(chunk)
            chunk = await source.receive()
        sink.send_eof()
        self._meter.idle_s = min(self._meter.idle_s, self._limits.half_closed_s)
        self._meter.count(0)

    async def _greet(self, said: bytes) -> bytes:
        """Hold the ClientHello until all of it is there and its name is found to be right."""
        limits = self._limits
        data = bytearray(said)
        try:
            with anyio.fail_after(limits.header_s):
                while (hello := read_hello(data)) is None:
                    if len(data) > limits.header_bytes:
                        raise ValueError(f"its greeting is longer than {limits.header_bytes} bytes")
                    more = await self._client.receive()
                    if not more:
                        raise ValueError("it ends in the middle of its greeting")
                    data += more
        except TimeoutError:
            raise Refused(408, f"no whole TLS greeting came in {limits.header_s:g} s") from None
        except ValueError as exc:
            raise Refused(403, f"this TLS client is not understood: {exc}") from exc
        self._check_name(hello.server_name)
        return bytes(data)
