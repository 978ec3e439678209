"""Requests that go through the proxy, and what comes back."""

from typing import Any

import anyio
import h11
import pytest

from egress import ALLOWED, Host, egress, request
from paddock.sandbox.egress import EgressLimits

pytestmark = pytest.mark.root

# -- what goes through ---------------------------------------------------------------------------


async def test_requests_and_answers_are_written_anew_for_each_hop():
    said = request(
        "Connection: close, x-private, Content-Length", "X-Private: 1", "Keep-Alive: 5",
        "Proxy-Authorization: Basic c2VjcmV0", "Upgrade: h2c", "TE: trailers",
        "X-Kept: Yes", "content-length: 2", method="POST", body="hi",
    )  # fmt: skip
    async with egress() as world:
        host = Host(
            b"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\nConnection: x-hop\r\nX-Hop: 1\r\n"
            b"Proxy-Authenticate: Basic\r\nX-Kept: yes\r\n\r\n"
            b"3;ext=1\r\nabc\r\n0\r\nTrailer: t\r\n\r\n"
        )
        await world.host(host)
        answer = await world.ask(said)
    assert host.heard == (
        b"POST /a?b HTTP/1.1\r\nHost: allowed.example\r\nX-Kept: Yes\r\ncontent-length: 2\r\n"
        b"Connection: close\r\n\r\nhi"
    )
    assert (answer.status, answer.reason, answer.body) == (201, "Made", b"abc")
    assert answer.headers == {
        "x-kept": "yes",
        "transfer-encoding": "chunked",
        "connection": "close",
    }


async def test_one_connection_carries_many_requests_also_when_they_come_at_once():
    async with egress() as world:
        host = Host()
        await world.host(host)
        async with world.client() as client:
            for _ in range(3):
                await client.send(request())
                assert (await client.answer()).body == b"hello"
            # In one piece, and the last one says that it is the last.
            last = request("Connection: close")
            await client.send(request() + request(target=f"http://{ALLOWED}/z") + last)
            assert (await client.rest()).count(b"\r\n\r\nhello") == 3
        assert host.connections == 6
        assert b"GET /z HTTP/1.1" in host.heard


async def test_a_chunked_body_keeps_its_bytes_and_loses_its_form():
    async with egress() as world:
        host = Host()
        await world.host(host)
        body = "5;x=y\r\nhello\r\n00001\r\n!\r\n0\r\nContent-Length: 9\r\n\r\n"
        said = request("Transfer-Encoding: Chunked", method="POST", body=body)
        assert (await world.ask(said)).status == 200
    _, _, sent = host.heard.partition(b"\r\n\r\n")
    assert sent.replace(b"5\r\nhello\r\n", b"").replace(b"1\r\n!\r\n", b"") == b"0\r\n\r\n"


async def test_a_client_may_wait_to_be_told_to_go_on():
    async def host(stream: Any) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        assert await stream.receive() == b"hello"
        await stream.send(b"HTTP/1.1 204 Heard\r\n\r\n")

    async with egress() as world:
        await world.host(host)
        async with world.client() as client:
            said = request("Content-Length: 5", "Expect: 100-continue", method="PUT")
            await client.send(said)
            assert (await client.head()).startswith(b"HTTP/1.1 100 Continue\r\n")
            await client.send(b"hello")
            assert (await client.head()).startswith(b"HTTP/1.1 204 Heard\r\n")


async def test_a_host_may_answer_before_it_was_told_all():
    async def host(stream: Any) -> None:
        await stream.receive()
        await stream.send(b"HTTP/1.1 413 Too much\r\nContent-Length: 2\r\n\r\nno")

    async with egress() as world:
        await world.host(host)
        async with world.client() as client:
            await client.send(request("Content-Length: 100000", method="PUT") + b"x" * 1000)
            answer = await client.answer()
            assert (answer.status, answer.body) == (413, b"no")
            assert await client.rest() == b""


async def test_an_answer_to_head_and_an_answer_to_an_old_client():
    async with egress() as world:
        await world.host(
            Host(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n")
        )
        async with world.client() as client:
            await client.send(request(version="1.0"))
            head, _, body = (await client.rest()).partition(b"\r\n\r\n")
            assert (b"transfer-encoding" in head.lower(), body) == (False, b"x")
        await world.host(Host(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"), 443)
        said = request(method="HEAD", target=f"http://{ALLOWED}:443/", host=f"{ALLOWED}:443")
        answer = await world.ask(said, "HEAD")
        assert (answer.status, answer.headers["content-length"]) == (200, "50")


async def test_a_connection_that_is_kept_and_not_used_is_closed():
    async with egress(limits=EgressLimits(keep_alive_s=0.1)) as world:
        await world.host(Host())
        async with world.client() as client:
            await client.send(request())
            assert (await client.answer()).status == 200
            assert await client.rest() == b""


# -- hosts that misbehave ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (b"", "the host's answer is no HTTP"),
        (b"SSH-2.0-host\r\n\r\n", "the host's answer is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200_000, "the host's answer is no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
         "the host's answer is no HTTP"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n", "the host's answer is no HTTP"),
    ],
    ids=["nothing", "SSH", "a long header", "two lengths", "another protocol"],
)  # fmt: skip
async def test_an_answer_that_is_none_is_told(says: bytes, why: str):
    async with egress() as world:
        await world.host(Host(says))
        answer = await world.ask(request("Upgrade: websocket", "Connection: upgrade"))
    assert answer.status == 502
    assert answer.reason.startswith(why)
    assert answer.headers["proxy-status"] == "paddock; error=destination_unavailable"


async def test_an_answer_that_breaks_off_is_not_taken_for_a_whole_one():
    async with egress() as world:
        await world.host(Host(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"))
        with pytest.raises(h11.RemoteProtocolError):
            await world.ask(request())


async def test_a_host_that_says_nothing_is_not_waited_for():
    async def silent(stream: Any) -> None:
        await anyio.sleep_forever()

    async with egress(limits=EgressLimits(first_byte_s=0.1)) as world:
        await world.host(silent)
        answer = await world.ask(request())
    assert (answer.status, answer.reason) == (504, "the host sent nothing for 0.1 s")


async def test_a_host_that_stops_in_its_answer_is_not_waited_for():
    async def stuck(stream: Any) -> None:
        await stream.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf")
        await anyio.sleep_forever()

    async with egress(limits=EgressLimits(idle_s=0.1)) as world:
        await world.host(stuck)
        async with world.client() as client:
            await client.send(request())
            assert (await client.rest()).endswith(b"\r\n\r\nhalf")
