"""What clients say to be misread, to hold the proxy up, or for no reason at all."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import anyio
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from egress import ALLOWED, PATIENCE_S, Client, Host, egress, request
from paddock.sandbox.egress import EgressLimits

pytestmark = pytest.mark.root

# -- what is made to be misread ------------------------------------------------------------------

MISREAD: dict[str, tuple[int, bytes]] = {
    "two lengths": (400, request("Content-Length: 1", "Content-Length: 2", body="ab")),
    "two lengths in one": (400, request("Content-Length: 1, 2", body="ab")),
    "a length that is none": (400, request("Content-Length: +1", body="a")),
    "a hexadecimal length": (400, request("Content-Length: 0x1", body="a")),
    "length and chunks": (
        400, request("Content-Length: 4", "Transfer-Encoding: chunked", body="0\r\n\r\nGET /")),
    "chunks and length": (
        400, request("Transfer-Encoding: chunked", "Content-Length: 4", body="0\r\n\r\n")),
    "two encodings": (501, request("Transfer-Encoding: gzip, chunked", body="0\r\n\r\n")),
    "the encoding twice": (
        501, request("Transfer-Encoding: chunked", "Transfer-Encoding: identity", body="0\r\n")),
    "a strange encoding": (501, request("Transfer-Encoding: xchunked", body="0\r\n\r\n")),
    "a control character": (400, request("Transfer-Encoding: \x0bchunked", body="0\r\n\r\n")),
    "chunks of old": (400, request("Transfer-Encoding: chunked", body="0\r\n\r\n", version="1.0")),
    "a space before the colon": (400, request("Content-Length : 1", body="a")),
    "a header without a name": (400, request(": x")),
    "a line feed in a header": (400, request("X: a\rY: b")),
    "a zero byte": (400, request("X: a\x00b")),
    "two hosts": (400, request("Host: evil.example")),
    "another host": (400, request(host="evil.example")),
    "another port": (400, request(host=f"{ALLOWED}:81")),
    "a user in the URL": (400, request(target=f"http://{ALLOWED}@evil.example/")),
    "a backslash in the URL": (400, request(target=f"http://evil.example\\@{ALLOWED}/")),
    "a fragment": (400, request(target=f"http://{ALLOWED}/#x")),
    "no host": (400, request(target="http:///x")),
    "a path": (400, request(target="/")),
    "another scheme": (400, request(target=f"https://{ALLOWED}/")),
    "no port in CONNECT": (400, request(method="CONNECT", target=ALLOWED)),
    "a URL in CONNECT": (400, request(method="CONNECT", target=f"http://{ALLOWED}/")),
    "a body in CONNECT": (
        400, request("Content-Length: 1", method="CONNECT", target=f"{ALLOWED}:443", body="x")),
    "port 0": (400, request(target=f"http://{ALLOWED}:0/")),
    "port 65616": (400, request(target=f"http://{ALLOWED}:65616/")),
    "HTTP/2": (505, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "HTTP/0.9": (400, b"GET /\r\n\r\n"),
    "TLS": (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    "a long header": (431, request("X: " + "x" * 40_000)),
    "many headers": (431, request(*(f"X{n}: {n}" for n in range(5000)))),
    "a long URL": (431, request(target=f"http://{ALLOWED}/" + "x" * 40_000)),
}  # fmt: skip


@pytest.mark.parametrize("name", MISREAD)
async def test_what_can_be_read_in_two_ways_goes_nowhere(name: str):
    status, said = MISREAD[name]
    async with egress() as world:
        host = Host()
        await world.host(host)
        answer = await world.ask(said)
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert answer.text.startswith(f"{status} ")
        assert host.connections == 0
        assert [d.session for d in world.decisions] == ["me"]
        assert world.refusals() == [answer.text[4:].removesuffix("\n")]


async def test_a_second_request_does_not_hide_in_the_body_of_the_first():
    async with egress() as world:
        host = Host()
        await world.host(host)
        hidden = request(target="http://evil.example/", host="evil.example")
        async with world.client() as client:
            await client.send(request("Content-Length: 3", method="POST", body="abc") + hidden)
            first, second = (await client.rest()).split(b"hello")
        assert b"200 OK" in first
        assert second.startswith(b"HTTP/1.1 403 host 'evil.example' is not on")
        assert host.connections == 1
        assert b"evil" not in host.heard


# -- clients that misbehave ----------------------------------------------------------------------


async def drip(client: Client, said: bytes) -> None:
    with anyio.move_on_after(PATIENCE_S):
        for byte in said:
            await client.send(bytes([byte]))
            await anyio.sleep(0.02)


async def silent(client: Client) -> None:
    await anyio.sleep_forever()


@pytest.mark.parametrize(
    ("behave", "answered"),
    [
        (silent, b""),
        (partial(drip, said=b"GET http://allowed.example/" + b"a" * 10_000),
         b"HTTP/1.1 408 no whole request came in 0.2 s\r\n"),
    ],
    ids=["silent", "slow"],
)  # fmt: skip
async def test_who_takes_too_long_is_cut(behave: Callable[[Client], Any], answered: bytes):
    async with egress(limits=EgressLimits(header_s=0.2)) as world:
        async with world.client() as client, anyio.create_task_group() as tasks:
            tasks.start_soon(behave, client)
            if answered:
                assert (await client.head()).startswith(answered)
            else:
                assert await client.rest() == b""
            tasks.cancel_scope.cancel()


# -- anything at all -----------------------------------------------------------------------------

VALID = [
    request(),
    request("Content-Length: 3", method="POST", body="abc"),
    request("Transfer-Encoding: chunked", method="POST", body="3\r\nabc\r\n0\r\n\r\n"),
    request(method="CONNECT", target=f"{ALLOWED}:443"),
    request(method="CONNECT", target=f"{ALLOWED}:80") + b"GET / HTTP/1.1\r\n\r\n",
]
EDITS = st.tuples(st.integers(0, 150), st.binary(max_size=4), st.integers(0, 6))


def edited(said: bytes, edits: list[tuple[int, bytes, int]]) -> bytes:
    for at, new, old in edits:
        said = said[:at] + new + said[at + old :]
    return said


@given(
    st.binary(max_size=200)
    | st.builds(edited, st.sampled_from(VALID), st.lists(EDITS, max_size=3))
    | st.lists(st.sampled_from(VALID), min_size=2, max_size=3).map(b"".join)
)
@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_nothing_is_too_strange(caplog: pytest.LogCaptureFixture, said: bytes):
    async with egress(limits=EgressLimits(header_s=2.0, half_closed_s=2.0)) as world:
        await world.host(Host())
        async with world.client() as client:
            await client.send(said)
            await client.stream.send_eof()
            answered = await client.rest()
    assert answered == b"" or answered.startswith(b"HTTP/1.1 ")
    assert [r for r in caplog.records if r.levelno >= logging.WARNING] == []
    assert all(d.host in (ALLOWED, "") or not d.allowed for d in world.decisions)
