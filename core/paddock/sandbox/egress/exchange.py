"""One plain HTTP request and its answer, both parsed on one side and written anew on the other."""

import anyio
import h11

from paddock.sandbox.egress.http import answer_head
from paddock.sandbox.egress.policy import EgressLimits, Refused
from paddock.sandbox.egress.stream import Meter, Stream

__all__ = ["ClientLost", "Exchange", "Wire"]


_TOO_LARGE = 431


class ClientLost(Exception):
    """There is nobody to answer any more."""


class Wire:
    """HTTP/1.1 on a stream.

    Args:
        stream: The stream.
        role: ``h11.SERVER`` towards a client, ``h11.CLIENT`` towards a host.
        meter: Counts what is received.
        limits: How long a head may be.
    """

    def __init__(
        self,
        stream: Stream,
        role: type[h11.SERVER | h11.CLIENT],
        meter: Meter,
        limits: EgressLimits,
    ) -> None:
        self.stream = stream
        self.http = h11.Connection(role, max_incomplete_event_size=limits.header_bytes)
        self._meter = meter
        self._limit = limits.header_bytes

    async def next_event(self) -> h11.Event:
        """Wait for the next event.

        Raises:
            Refused: The other side does not speak HTTP, or a host is lost.
            ClientLost: A client is lost.
        """
        while True:
            try:
                event = self.http.next_event()
                # h11 measures what is not whole yet; this one may have come all at once.
                if _head_size(event) > self._limit:
                    raise h11.RemoteProtocolError("", error_status_hint=_TOO_LARGE)
            except h11.RemoteProtocolError as exc:
                raise self._misspoken(exc) from exc
            if isinstance(event, h11.Event):
                return event
            try:
                data = await self.stream.receive()
            except OSError as exc:
                raise self._lost(exc) from exc
            self._meter.count(len(data))
            self.http.receive_data(data)

    async def send(self, event: h11.Event) -> None:
        """Send an event.

        Raises:
            Refused: A host is lost, or this is not what may be said now.
            ClientLost: A client is lost.
        """
        try:
            data = self.http.send(event)
            if data:
                await self.stream.send(data)
        except h11.LocalProtocolError as exc:
            raise Refused(502, f"this cannot be passed on: {exc}") from exc
        except OSError as exc:
            raise self._lost(exc) from exc

    def _misspoken(self, exc: h11.RemoteProtocolError) -> Refused:
        status = exc.error_status_hint
        why = f"a head of more than {self._limit} bytes" if status == _TOO_LARGE else exc
        if self.http.our_role is h11.SERVER:
            return Refused(status, f"this is no HTTP request: {why}")
        return Refused(502, f"the host's answer is no HTTP: {why}")

    def _lost(self, exc: OSError) -> Exception:
        if self.http.our_role is h11.SERVER:
            return ClientLost()
        return Refused(502, f"the connection to the host is lost: {exc.strerror}")


def _head_size(event: object) -> int:
    if not isinstance(event, h11.Request | h11.Response | h11.InformationalResponse):
        return 0
    target = len(event.target) if isinstance(event, h11.Request) else len(event.reason)
    return target + sum(len(name) + len(value) + 4 for name, value in event.headers)


class Exchange:
    """One request, whose head has been read, and its answer.

    Both directions go on at once: a host may answer before it has the whole request, and a client
    may wait for a ``100 Continue`` before it sends the rest.

    Args:
        client: The session's side.
        upstream: The host's side.
        meter: Counts for both sides.
        limits: How long things may take.
    """

    def __init__(self, client: Wire, upstream: Wire, meter: Meter, limits: EgressLimits) -> None:
        self._client = client
        self._upstream = upstream
        self._meter = meter
        self._limits = limits
        self._failed: Refused | ClientLost | None = None

    async def run(self, head: h11.Request) -> None:
        """Send the request and relay the answer.

        Args:
            head: The request's head, as the host is to get it.

        Raises:
            Refused: It did not work.
            ClientLost: There is nobody to answer any more.
        """
        with self._meter.patience(self._limits.first_byte_s) as scope:
            async with anyio.create_task_group() as sides:
                sides.start_soon(self._outwards, head, sides.cancel_scope, name="request")
                await self._inwards(sides.cancel_scope)
        if self._failed is not None:
            raise self._failed
        if scope.cancelled_caught:
            raise Refused(504, f"the host sent nothing for {self._meter.idle_s:g} s")

    async def _outwards(self, head: h11.Request, scope: anyio.CancelScope) -> None:
        event: h11.Event = head
        try:
            while await self._passed_on(event):
                if isinstance(event, h11.EndOfMessage):
                    return
                event = await self._client.next_event()
                if isinstance(event, h11.EndOfMessage):
                    event = h11.EndOfMessage()  # without trailers, which are headers unread
        except (Refused, ClientLost) as exc:
            self._failed = exc
            scope.cancel()

    async def _passed_on(self, event: h11.Event) -> bool:
        try:
            await self._upstream.send(event)
        except Refused:
            return False  # why it wants no more is in its answer, if there is one
        return True

    async def _inwards(self, scope: anyio.CancelScope) -> None:
        try:
            done = False
            while not done:
                event = await self._upstream.next_event()
                match event:
                    case h11.Response():
                        self._meter.idle_s = self._limits.idle_s
                        self._meter.count(0)
                        await self._client.send(answer_head(event))
                    case h11.InformationalResponse():
                        if self._client.http.their_http_version == b"1.1":
                            await self._client.send(answer_head(event))
                    case h11.Data():
                        await self._client.send(event)
                    case _:
                        await self._client.send(h11.EndOfMessage())
                        done = True
        except (Refused, ClientLost) as exc:
            self._failed = self._failed or exc
        scope.cancel()
