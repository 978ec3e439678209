"""Load on a server: raw WebSocket frames from an event loop of its own, so that it costs little.

A client library would cost more than the servers that are measured, and with two processors it
would be the client that is measured.
"""

import asyncio
import base64
import json
import os
import struct
import sys
import time
from dataclasses import dataclass
from typing import cast

import uvloop

RESET = b'{"type":"reset","data":{}}'
STEP = b'{"type":"step","data":{"text":"hello"}}'


@dataclass
class Load:
    """What was done, and how fast.

    Attributes:
        count: Steps, or sessions.
        seconds: How long all of them took.
        p50_us: Median of one, in microseconds.
        p99_us: 99th percentile of one, in microseconds.
    """

    count: int
    seconds: float
    p50_us: float
    p99_us: float


def _frame(payload: bytes, opcode: int = 1) -> bytes:
    """Return a client's frame. Its mask is zero, which is a mask like any other."""
    size = len(payload)
    length = bytes([0x80 | size]) if size < 126 else b"\xfe" + struct.pack(">H", size)
    return bytes([0x80 | opcode]) + length + b"\0\0\0\0" + payload


class _Client(asyncio.Protocol):
    """One connection: reset, then as many steps as it was told, one after the other."""

    def __init__(self, steps: int, done: asyncio.Future[None], times: list[float]) -> None:
        self._left = steps
        self._done = done
        self._times = times
        self._buffer = b""
        self._open = False
        self._started = 0.0
        self._step = _frame(STEP)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport = cast("asyncio.Transport", transport)
        key = base64.b64encode(os.urandom(16))
        transport.write(
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            b"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            b"Sec-WebSocket-Key: " + key + b"\r\n\r\n"
        )

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._open:
            head, found, rest = self._buffer.partition(b"\r\n\r\n")
            if not found:
                return
            assert b" 101 " in head[:20], head
            self._buffer, self._open = rest, True
            self._transport.write(_frame(RESET))
        while (frame := self._take()) is not None:
            opcode, payload = frame
            if opcode == 9:
                self._transport.write(_frame(payload, 10))
            elif opcode == 1:
                self._answered(payload)

    def _take(self) -> tuple[int, bytes] | None:
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        size, offset = buffer[1] & 127, 2
        if size == 126:
            if len(buffer) < 4:
                return None
            (size,), offset = struct.unpack(">H", buffer[2:4]), 4
        if len(buffer) < offset + size:
            return None
        self._buffer = buffer[offset + size :]
        return buffer[0] & 15, buffer[offset : offset + size]

    def _answered(self, payload: bytes) -> None:
        assert payload.replace(b" ", b"").startswith(b'{"type":"observation"'), payload
        now = time.perf_counter()
        if self._started:
            self._times.append(now - self._started)
        if self._left == 0:
            self._transport.write(_frame(b'{"type":"close"}'))
            self._transport.close()
            if not self._done.done():
                self._done.set_result(None)
            return
        self._left -= 1
        self._started = time.perf_counter()
        self._transport.write(self._step)


async def _episode(port: int, steps: int, times: list[float]) -> None:
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()
    await loop.create_connection(lambda: _Client(steps, done, times), "127.0.0.1", port)
    await done


async def steps(port: int, sessions: int, total: int) -> Load:
    """Step in so many sessions at once, ``total`` times in all."""
    times: list[float] = []
    started = time.perf_counter()
    await asyncio.gather(*(_episode(port, total // sessions, times) for _ in range(sessions)))
    return _summary(times, time.perf_counter() - started)


async def sessions(port: int, at_once: int, total: int) -> Load:
    """Open a session, reset it and close it, ``total`` times, so many at once."""
    times: list[float] = []

    async def some() -> None:
        for _ in range(total // at_once):
            began = time.perf_counter()
            await _episode(port, 0, [])
            times.append(time.perf_counter() - began)

    started = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(at_once)))
    return _summary(times, time.perf_counter() - started)


def _summary(times: list[float], seconds: float) -> Load:
    times.sort()
    count = len(times)
    p50, p99 = times[count // 2] * 1e6, times[min(count - 1, count * 99 // 100)] * 1e6
    return Load(count, seconds, p50, p99)


if __name__ == "__main__":
    what, port, at_once, total = sys.argv[1], *map(int, sys.argv[2:5])
    work = {"steps": steps, "sessions": sessions}[what](port, at_once, total)
    print(json.dumps(vars(uvloop.run(work))))
