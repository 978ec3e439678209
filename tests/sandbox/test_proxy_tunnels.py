"""What a CONNECT opens, and what closes it again."""

import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import lowlevel

from egress import ALLOWED, PATIENCE_S, Client, Egress, Host, certificate, egress, server_tls
from paddock.sandbox.egress import EgressLimits, Policy

pytestmark = pytest.mark.root

HANDSHAKE_FAILED = (ssl.SSLError, anyio.BrokenResourceError, anyio.EndOfStream)


@pytest.fixture(params=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    # Servers run on uvloop, whose socket calls are its own.
    return "asyncio", {"use_uvloop": request.param == "uvloop"}


@pytest.fixture(scope="module")
def pem(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return certificate(tmp_path_factory.mktemp("tls"), ALLOWED, "also.example", "evil.example")


@asynccontextmanager
async def tunnel(world: Egress, port: int = 443, host: str = ALLOWED) -> AsyncGenerator[Client]:
    async with world.client() as client:
        await client.send(f"CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
        assert await client.head() == b"HTTP/1.1 200 Connection established\r\n\r\n"
        yield client


async def echo(stream: Any) -> None:
    async for chunk in stream:
        await stream.send(chunk)
    await stream.send_eof()


def greeting(name: str | None = ALLOWED) -> bytes:
    """Return what a TLS client says first."""
    context, out = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.MemoryBIO()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


# -- TLS -----------------------------------------------------------------------------------------


async def test_a_tunnel_carries_tls_to_an_allowed_host(pem: Path):
    async with egress() as world:
        host = Host(b"HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" + b"x" * 300_000)
        await world.host(host, 443, server_tls(pem))
        async with tunnel(world) as client:
            secure = await client.tls(ALLOWED, pem)
            await secure.send(f"GET /secret HTTP/1.1\r\nHost: {ALLOWED}\r\n\r\n".encode())
            answer = b""
            with anyio.fail_after(PATIENCE_S), pytest.raises(anyio.EndOfStream):
                while True:
                    answer += await secure.receive()
    assert answer == host.says
    assert host.heard.startswith(b"GET /secret HTTP/1.1\r\n")
    assert [(d.method, d.host, d.port, d.allowed, d.address) for d in world.decisions] == [
        ("CONNECT", ALLOWED, 443, True, str(world.address))
    ]


async def test_another_name_that_is_listed_may_be_asked_for(pem: Path):
    async with egress() as world:
        world.policies["me"] = Policy((ALLOWED, "also.example"))
        await world.host(echo, 443, server_tls(pem))
        async with tunnel(world) as client:
            secure = await client.tls("also.example", pem)
            await secure.send(b"hello")
            assert await secure.receive() == b"hello"


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("evil.example",
         "host 'evil.example' is not on this session's list (allowed: allowed.example)"),
        (None, "the TLS client in the tunnel to 'allowed.example' names no host (SNI)"),
    ],
    ids=["not listed", "none"],
)  # fmt: skip
async def test_tls_that_asks_for_another_name_is_cut_before_the_host_hears_of_it(
    name: str | None, why: str, pem: Path
):
    async with egress() as world:
        host = Host()
        await world.host(host, 443)
        async with tunnel(world) as client:
            with pytest.raises(HANDSHAKE_FAILED) as failed:
                await client.tls(name, pem)
    assert "ACCESS_DENIED" in f"{failed.value!r} {failed.value.__cause__!r}"
    assert host.heard == b""
    assert [(d.method, d.allowed) for d in world.decisions] == [
        ("CONNECT", True),
        ("CONNECT", False),
    ]
    assert world.refusals() == [why]


async def test_an_address_needs_no_name():
    hello = greeting(None)
    async with egress() as world:
        literal = str(world.address)
        world.policies["me"] = Policy((literal,))
        await world.host(echo, 443)
        async with tunnel(world, host=literal) as client:
            await client.send(hello)
            await client.stream.send_eof()
            assert await client.rest() == hello
    assert world.lookups == world.refusals() == []


async def test_a_greeting_may_come_in_pieces_and_with_the_request():
    hello = greeting()
    async with egress() as world:
        await world.host(echo, 443)
        async with world.client() as client:
            said = f"CONNECT {ALLOWED}:443 HTTP/1.1\r\nHost: {ALLOWED}\r\n\r\n".encode()
            await client.send(said + hello[:20])
            await client.head()
            for at in range(20, len(hello), 100):
                await client.send(hello[at : at + 100])
                await lowlevel.checkpoint()
            await client.send(b"more")
            await client.stream.send_eof()
            assert await client.rest() == hello + b"more"


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n", "port 443 is for TLS, and this is none"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "port 443 is for TLS, and this is none"),
        (b"\x16GET /", "this TLS client is not understood: not a TLS handshake"),
        (b"\x16\x03\x01\x00\x05\x02aaaa", "this TLS client is not understood: not a ClientHello"),
        (greeting()[:50], "no whole TLS greeting came in 0.2 s"),
        (b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + b"\x00" * 9000,
         "this TLS client is not understood: its greeting is longer than 8192 bytes"),
    ],
    ids=["HTTP", "SSH", "garbage", "ServerHello", "half", "endless"],
)  # fmt: skip
async def test_what_is_no_tls_does_not_reach_port_443(said: bytes, why: str):
    async with egress(limits=EgressLimits(header_s=0.2, header_bytes=8192)) as world:
        host = Host()
        await world.host(host, 443)
        async with tunnel(world) as client:
            await client.send(said)
            with suppress(anyio.BrokenResourceError):  # what it said was not read to its end
                assert await client.rest() in (b"", b"\x15\x03\x03\x00\x02\x02\x31")
    assert host.heard == b""
    assert world.refusals() == [why]


# -- other ports ---------------------------------------------------------------------------------


async def test_on_another_port_a_host_may_speak_first_and_in_its_own_words():
    async def banner(stream: Any) -> None:
        await stream.send(b"SSH-2.0-host\r\n")
        await echo(stream)

    async with egress() as world:
        world.policies["me"] = Policy((ALLOWED,), ports=(22,))
        await world.host(banner, 22)
        async with tunnel(world, 22) as client:
            assert await client.stream.receive() == b"SSH-2.0-host\r\n"
            await client.send(b"SSH-2.0-client\r\n")
            assert await client.stream.receive() == b"SSH-2.0-client\r\n"
            await client.send(b"bye")
            await client.stream.send_eof()
            assert await client.rest() == b"bye"


async def test_tls_on_another_port_has_to_name_a_listed_host_too(pem: Path):
    async with egress() as world:
        world.policies["me"] = Policy((ALLOWED,), ports=(8443,))
        host = Host()
        await world.host(host, 8443)
        async with tunnel(world, 8443) as client:
            with pytest.raises(HANDSHAKE_FAILED):
                await client.tls("evil.example", pem)
    assert host.heard == b""


# -- limits --------------------------------------------------------------------------------------


async def test_a_tunnel_ends_when_nothing_moves_in_it():
    async with egress(limits=EgressLimits(idle_s=0.1)) as world:
        await world.host(echo)
        async with tunnel(world, 80) as client:
            assert await client.rest() == b""


async def test_a_tunnel_ends_when_one_side_is_done_and_the_other_says_nothing():
    async def silent(stream: Any) -> None:
        await anyio.sleep_forever()

    async with egress(limits=EgressLimits(half_closed_s=0.1)) as world:
        await world.host(silent)
        async with tunnel(world, 80) as client:
            await client.stream.send_eof()
            assert await client.rest() == b""


async def test_a_tunnel_ends_with_its_connections_lifetime_however_busy_it_is():
    async with egress(limits=EgressLimits(lifetime_s=0.3)) as world:
        await world.host(echo)
        with anyio.fail_after(PATIENCE_S):
            async with tunnel(world, 80) as client:
                with pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                    while True:
                        await client.send(b"x")
                        await client.stream.receive()


async def test_a_tunnel_moves_no_more_than_it_may():
    async with egress(limits=EgressLimits(bytes=100_000)) as world:
        await world.host(echo)
        async with tunnel(world, 80) as client:
            with (
                anyio.fail_after(PATIENCE_S),
                pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)),
            ):
                while True:
                    await client.send(b"x" * 10_000)
                    await client.stream.receive()
    assert world.refusals() == ["more than 100000 bytes on one connection"]
