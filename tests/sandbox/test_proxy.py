"""Who comes to the egress proxy, and what it lets them reach."""

import socket
from ipaddress import ip_address

import anyio
import pytest

from egress import ALLOWED, Egress, Host, egress
from paddock.sandbox.egress import Decision, EgressLimits, Policy
from paddock.sandbox.egress.address import Address, is_forbidden

pytestmark = pytest.mark.root

GET = f"GET http://{ALLOWED}/a HTTP/1.1\r\nHost: {ALLOWED}\r\nConnection: close\r\n\r\n".encode()
OTHER = GET.replace(ALLOWED.encode(), b"other.example")


def connect_to(authority: str) -> bytes:
    return f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n\r\n".encode()


# -- who -----------------------------------------------------------------------------------------


async def test_a_session_is_known_by_its_socket_and_each_has_its_own_list():
    async with egress() as world:
        await world.host(Host())
        world.names["other.example"] = [world.address]
        world.uids |= {303201: "first", 303202: "second"}
        world.policies |= {"first": Policy((ALLOWED,)), "second": Policy(("other.example",))}
        for uid, said, status in (
            (303201, GET, "200 OK"),
            (303202, GET, "403 host 'allowed.example' is not on this session's list"),
            (303202, OTHER, "200 OK"),
            (303201, OTHER, "403 host 'other.example' is not on this session's list"),
        ):
            answer = await world.ask_as(uid, said.decode())
            assert answer.startswith(f"HTTP/1.1 {status}"), answer
    assert [(d.session, d.host, d.allowed) for d in world.decisions] == [
        ("first", ALLOWED, True),
        ("second", ALLOWED, False),
        ("second", "other.example", True),
        ("first", "other.example", False),
    ]


async def test_a_user_whose_processes_are_no_sessions_is_refused():
    async with egress() as world:
        answer = await world.ask_as(303203, GET.decode())
    assert answer.startswith("HTTP/1.1 403 ")
    assert "this connection belongs to no session that is known here" in answer
    assert [(d.session, d.method, d.host, d.allowed) for d in world.decisions] == [
        (None, "GET", ALLOWED, False)
    ]
    assert world.lookups == []


@pytest.mark.parametrize("host", ["127.0.0.1", "::ffff:127.0.0.1"], ids=["IPv4", "IPv6"])
async def test_a_socket_of_either_family_has_an_owner(host: str):
    async with egress() as world:
        await world.host(Host())
        async with world.client(host) as client:
            await client.send(GET)
            assert (await client.answer()).body == b"hello"


async def test_a_list_is_looked_at_anew_for_every_request_on_a_connection():
    async with egress() as world:
        await world.host(Host())
        async with world.client() as client:
            for _ in range(2):
                await client.send(GET.replace(b"Connection: close\r\n", b""))
                assert (await client.answer()).status == 200
            del world.policies["me"]
            await client.send(GET)
            answer = await client.answer()
    assert (answer.status, answer.text) == (403, "403 session 'me' has no access to the network\n")


# -- what ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "method", "host", "port", "why"),
    [
        (connect_to("evil.example:443"), "CONNECT", "evil.example", 443,
         "host 'evil.example' is not on this session's list (allowed: allowed.example)"),
        (connect_to(f"{ALLOWED}:22"), "CONNECT", ALLOWED, 22,
         "port 22 of 'allowed.example' is not open to this session (allowed: 80, 443)"),
        (connect_to(f"{ALLOWED}:8080"), "CONNECT", ALLOWED, 8080,
         "port 8080 of 'allowed.example' is not open to this session (allowed: 80, 443)"),
        (GET.replace(b"example/", b"example:8000/").replace(b"example\r", b"example:8000\r"),
         "GET", ALLOWED, 8000,
         "port 8000 of 'allowed.example' is not open to this session (allowed: 80, 443)"),
        (connect_to("allowed.example.net:443"), "CONNECT", "allowed.example.net", 443,
         "host 'allowed.example.net' is not on this session's list (allowed: allowed.example)"),
    ],
    ids=["host", "port of a tunnel", "other port", "port of a URL", "only in the beginning"],
)  # fmt: skip
async def test_who_is_refused_is_told_why(said: bytes, method: str, host: str, port: int, why: str):
    async with egress() as world:
        answer = await world.ask(said)
    assert (answer.status, answer.reason, answer.text) == (403, why, f"403 {why}\n")
    assert answer.headers["proxy-status"] == "paddock; error=http_request_denied"
    assert world.decisions == [Decision("me", method, host, port, False, why)]
    assert world.lookups == []


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.17.0.1", "192.168.1.1", "100.64.0.1",
     "169.254.0.1", "169.254.169.254", "192.0.0.192", "168.63.129.16", "224.0.0.1", "::1", "::",
     "fe80::1", "fd00:ec2::254", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::7f00:1",
     "2002:7f00:1::1"],
)  # fmt: skip
async def test_no_list_opens_the_way_to_an_address_that_is_not_public(address: str):
    literal = str(ip_address(address))
    async with egress(is_forbidden=is_forbidden) as world:
        world.policies["me"] = Policy((ALLOWED, literal))
        world.names[ALLOWED] = [ip_address(address)]
        named = await world.ask(connect_to(f"{ALLOWED}:443"))
        plain = await world.ask(GET)
        bracketed = f"[{literal}]" if ":" in literal else literal
        listed = await world.ask(connect_to(f"{bracketed}:443"))
    assert (named.status, plain.status, listed.status) == (403, 403, 403)
    assert named.body == plain.body
    assert "is not an address of the public Internet" in named.text
    assert "is not an address of the public Internet" in listed.text
    assert [(d.allowed, d.address) for d in world.decisions] == [(False, None)] * 3


async def test_the_servers_own_ports_and_the_proxys_are_not_reached():
    with socket.create_server(("127.0.0.1", 0)) as own:
        own.setblocking(False)
        port = own.getsockname()[1]
        async with egress(is_forbidden=is_forbidden) as world:
            names = ("127.0.0.1", "localhost", "[::1]", "[::ffff:7f00:1]", "0.0.0.0")
            ports = (port, world.proxy.port)
            world.policies["me"] = Policy(names, ports=ports)
            world.names["localhost"] = [ip_address("127.0.0.1")]
            for name in names:
                for wanted in ports:
                    answer = await world.ask(connect_to(f"{name}:{wanted}"))
                    assert answer.status == 403, answer
                    said = f"GET http://{name}:{wanted}/ HTTP/1.0\r\n\r\n"
                    assert (await world.ask(said.encode())).status == 403
        with pytest.raises(BlockingIOError):
            own.accept()


async def test_a_name_that_is_half_public_is_not_public():
    async with egress() as world:
        host = Host()
        await world.host(host)
        for private in ("10.0.0.1", "::1", "169.254.169.254"):
            for addresses in (
                [world.address, ip_address(private)],
                [ip_address(private), world.address],
            ):
                world.names[ALLOWED] = addresses
                assert (await world.ask(GET)).status == 403
        assert host.connections == 0


async def test_the_address_that_was_checked_is_the_one_that_is_connected_to():
    lookups: list[str] = []

    async def rebinding(host: str) -> list[Address]:
        lookups.append(host)
        return [world.address if len(lookups) == 1 else ip_address("127.0.0.1")]

    async with egress(resolve=rebinding) as world:
        await world.host(Host())
        assert (await world.ask(GET)).body == b"hello"
        assert lookups == [ALLOWED]
        assert world.decisions[0].address == str(world.address)
        assert (await world.ask(GET)).status == 403


# -- names that lead nowhere ---------------------------------------------------------------------


async def forever(host: str) -> list[Address]:
    await anyio.sleep_forever()
    raise AssertionError(host)


async def nothing(host: str) -> list[Address]:
    return []


@pytest.mark.parametrize(
    ("resolve", "status", "why"),
    [
        (forever, 504, "'allowed.example' could not be looked up within 0.05 s"),
        (nothing, 502, "'allowed.example' has no address"),
    ],
)
async def test_a_lookup_that_leads_nowhere_is_told(resolve: object, status: int, why: str):
    async with egress(resolve=resolve, limits=EgressLimits(resolve_s=0.05)) as world:
        answer = await world.ask(GET)
    assert (answer.status, answer.reason) == (status, why)
    assert world.refusals() == [why]


async def test_a_name_that_nobody_knows_and_a_host_that_is_not_there():
    async with egress() as world:
        absent = await world.ask(GET)
        del world.names[ALLOWED]
        unknown = await world.ask(connect_to(f"{ALLOWED}:443"))
    assert unknown.reason == "'allowed.example' could not be looked up: no such name"
    where = f"'allowed.example' ({world.address}), port 80"
    assert absent.reason == f"{where}: Connection refused"
    assert (unknown.status, absent.status) == (502, 502)


async def test_the_next_address_is_tried_when_one_does_not_answer():
    async with egress() as world:
        await world.host(Host(), 443)
        away = Egress(world.tasks).address
        world.names[ALLOWED] = [away, world.address]
        world.public.add(away)
        async with world.client() as client:
            await client.send(connect_to(f"{ALLOWED}:443"))
            assert (await client.head()).startswith(b"HTTP/1.1 200 Connection established\r\n")
