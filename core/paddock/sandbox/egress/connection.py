"""One client connection: any number of plain requests, or one tunnel."""

from functools import partial

import anyio
import h11

from paddock.sandbox.egress.exchange import ClientLost, Exchange, Wire
from paddock.sandbox.egress.gate import Account, Gate
from paddock.sandbox.egress.http import Target, proxy_error, request_head, target_of
from paddock.sandbox.egress.policy import EgressLimits, Refused
from paddock.sandbox.egress.stream import Meter, Stream
from paddock.sandbox.egress.tunnel import Tunnel

__all__ = ["Connection"]


class Connection:
    """One client connection.

    Args:
        stream: The client.
        account: Whose it is.
        gate: Decides.
        limits: How long things may take.
    """

    def __init__(self, stream: Stream, account: Account, gate: Gate, limits: EgressLimits) -> None:
        self._stream = stream
        self._account = account
        self._gate = gate
        self._limits = limits
        self._meter = Meter(limits.bytes)
        self._wire = Wire(stream, h11.SERVER, self._meter, limits)
        self._method = b""

    async def run(self) -> None:
        """Serve it until one side closes it."""
        try:
            limit_s = self._limits.header_s
            while (asked := await self._next(limit_s)) is not None:
                request, target = asked
                if request.method == b"CONNECT":
                    await self._tunnel(target)
                    return
                await self._exchange(request, target)
                http = self._wire.http
                if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                    # It was answered before it had said all, or will not ask again.
                    await self._stream.linger()
                    return
                http.start_next_cycle()
                limit_s = self._limits.keep_alive_s
        except Refused as refused:
            await self.refuse(refused)
        except ClientLost:
            pass

    async def refuse(self, refused: Refused, *, linger: bool = True) -> None:
        """Tell the client why, if it can still be told.

        Args:
            refused: What to tell.
            linger: Wait until it was read. Without, that is left to chance.
        """
        if self._wire.http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        answer, body = proxy_error(refused)
        with anyio.move_on_after(self._limits.header_s):
            try:
                await self._wire.send(answer)
                if self._method != b"HEAD":
                    await self._wire.send(h11.Data(data=body))
                await self._wire.send(h11.EndOfMessage())
            except (Refused, ClientLost):
                return
            if linger:
                await self._stream.linger()

    async def _next(self, limit_s: float) -> tuple[h11.Request, Target] | None:
        """Return the next request and where it goes, or ``None`` when there is none.

        Raises:
            Refused: There is one, but not one that could be understood.
            ClientLost: There is nobody any more.
        """
        event = None
        self._method = b""
        try:
            try:
                with anyio.fail_after(limit_s):
                    event = await self._wire.next_event()
            except TimeoutError:
                # Browsers open connections ahead of need: who said nothing needs no answer.
                if self._wire.http.trailing_data[0]:
                    raise Refused(408, f"no whole request came in {limit_s:g} s") from None
            if not isinstance(event, h11.Request):
                return None
            self._method = event.method
            return event, target_of(event)
        except Refused as refused:
            self._gate.refuse(self._account.session, refused, self._method.decode())
            raise

    async def _open(self, target: Target) -> Stream:
        host, port = target.host, target.port
        addresses = await self._gate.permit(self._account, self._method.decode(), host, port)
        return await self._gate.connect(addresses, host, port)

    async def _exchange(self, request: h11.Request, target: Target) -> None:
        with await self._open(target) as stream:
            upstream = Wire(stream, h11.CLIENT, self._meter, self._limits)
            exchange = Exchange(self._wire, upstream, self._meter, self._limits)
            await exchange.run(request_head(request, target))

    async def _tunnel(self, target: Target) -> None:
        host, port = target.host, target.port
        session = self._account.session
        with await self._open(target) as upstream:
            await self._wire.next_event()  # the end of the request
            established = h11.Response(
                status_code=200, headers=[], reason=b"Connection established"
            )
            await self._wire.send(established)
            said, _ = self._wire.http.trailing_data
            tunnel = Tunnel(
                self._stream,
                upstream,
                port,
                partial(self._gate.check_name, session, host, port),
                self._meter,
                self._limits,
            )
            try:
                await tunnel.run(said)
            except Refused as refused:
                self._gate.refuse(session, refused, "CONNECT", host, port)
                await tunnel.alert()
