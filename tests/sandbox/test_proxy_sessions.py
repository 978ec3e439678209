"""How the sessions share the proxy, come by listeners of their own, and end."""

import logging
import socket
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio import to_thread

from egress import ALLOWED, PATIENCE_S, Client, Egress, Host, egress, request
from paddock.sandbox.egress import Decision, EgressLimits, EgressProxy, Policy

pytestmark = pytest.mark.root

CONNECT = request(method="CONNECT", target=f"{ALLOWED}:80")
GET = request("Connection: close")


async def silent(stream: Any) -> None:
    await anyio.sleep_forever()


@asynccontextmanager
async def door(world: Egress, session: str) -> AsyncGenerator[int]:
    """Give a session a listener of its own."""
    world.policies.setdefault(session, Policy((ALLOWED,)))
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    async with await world.proxy.serve_on(listener, session):
        yield port


@asynccontextmanager
async def by(port: int) -> AsyncGenerator[Client]:
    async with await anyio.connect_tcp("127.0.0.1", port) as stream:
        yield Client(stream)


async def tunnel(client: Client) -> None:
    await client.send(CONNECT)
    assert b" 200 " in await client.head()


# -- shares --------------------------------------------------------------------------------------


async def test_one_connection_too_many_is_refused_until_there_is_room():
    async with egress(limits=EgressLimits(connections_per_session=2, half_closed_s=0.1)) as world:
        await world.host(silent)
        async with AsyncExitStack() as held:
            first = await held.enter_async_context(world.client())
            await tunnel(first)
            await tunnel(await held.enter_async_context(world.client()))
            async with world.client() as third:
                answer = await third.answer()
            why = "this session has 2 connections open: close some first"
            assert (answer.status, answer.text) == (429, f"429 {why}\n")
            assert world.decisions[-1] == Decision("me", "", "", 0, False, why)
            async with door(world, "other") as port, by(port) as other:
                await tunnel(other)
            await first.stream.aclose()
            with anyio.fail_after(PATIENCE_S):
                while not await admitted(world):
                    await anyio.sleep(0.01)


async def admitted(world: Egress) -> bool:
    """Return whether the proxy listens to one more connection: then it says nothing yet."""
    async with world.client() as client:
        with anyio.move_on_after(0.1) as waited:
            await client.answer()
        return waited.cancelled_caught


async def test_however_many_are_greedy_there_is_something_left_for_one_more():
    async with egress(limits=EgressLimits(connections=8)) as world, AsyncExitStack() as held:
        await world.host(silent)
        got: dict[str, int] = {}
        for session in ("first", "second", "third", "fourth"):
            port = await held.enter_async_context(door(world, session))
            got[session] = 0
            while True:
                client = await held.enter_async_context(by(port))
                await client.send(CONNECT)
                if b" 503 the proxy has" in await client.head():
                    break
                got[session] += 1
        assert got == {"first": 4, "second": 2, "third": 1, "fourth": 1}


async def test_a_crowd_is_served_and_everybody_known():
    limits = EgressLimits(connections=2000, connections_per_session=1000)
    async with egress(limits=limits) as world:
        host = Host()
        await world.host(host)
        answers: list[int] = []

        async def one() -> None:
            answers.append((await world.ask(GET)).status)

        with anyio.fail_after(PATIENCE_S):
            async with anyio.create_task_group() as crowd:
                for _ in range(300):
                    crowd.start_soon(one)
        assert answers == [200] * 300
        assert {decision.session for decision in world.decisions} == {"me"}


# -- listeners of their own ----------------------------------------------------------------------


async def test_who_comes_by_a_sessions_listener_is_the_session():
    async with egress() as world:
        await world.host(Host())
        world.policies["other"] = Policy(("other.example",))
        async with door(world, "other") as port, door(world, "third") as third:
            async with by(port) as client:
                await client.send(GET)
                answer = await client.answer()
            assert answer.text.endswith("not on this session's list (allowed: other.example)\n")
            async with by(third) as client:
                await client.send(GET)
                assert (await client.answer()).body == b"hello"
            assert (await world.ask(GET)).body == b"hello"
        assert [(d.session, d.allowed) for d in world.decisions] == [
            ("other", False),
            ("third", True),
            ("me", True),
        ]


async def test_a_closed_door_lets_nobody_in_and_leaves_nobody_inside():
    async with egress() as world:
        await world.host(silent)
        async with AsyncExitStack() as held:
            async with door(world, "other") as port:
                inside = await held.enter_async_context(by(port))
                await tunnel(inside)
                mine = await held.enter_async_context(world.client())
                await tunnel(mine)
            assert await inside.rest() == b""
            with pytest.raises(OSError, match="onnect"):
                await anyio.connect_tcp("127.0.0.1", port)
            with anyio.move_on_after(0.05) as waited:
                await mine.rest()
            assert waited.cancelled_caught


async def test_doors_end_with_the_proxy_and_may_be_closed_after_it():
    async with egress() as world:
        listener = socket.create_server(("127.0.0.1", 0))
        opened = await world.proxy.serve_on(listener, "me")
    assert listener.fileno() == -1
    with anyio.fail_after(PATIENCE_S):
        await opened.aclose()
        await opened.aclose()


async def test_a_proxy_that_does_not_serve_has_no_port_and_takes_no_listener():
    proxy = EgressProxy(policy_of={}.get, session_of_uid={}.get)
    listener = socket.create_server(("127.0.0.1", 0))
    with pytest.raises(RuntimeError, match="needs the proxy to be serving"):
        await proxy.serve_on(listener, "me")
    assert listener.fileno() == -1
    with pytest.raises(RuntimeError, match="has a port inside"):
        assert proxy.port


# -- ends ----------------------------------------------------------------------------------------


async def test_a_dropped_session_loses_its_connections_and_nobody_else_does():
    async with egress() as world, AsyncExitStack() as held:
        await world.host(silent)
        port = await held.enter_async_context(door(world, "other"))
        other = await held.enter_async_context(by(port))
        mine = [await held.enter_async_context(world.client()) for _ in range(3)]
        for client in (other, *mine):
            await tunnel(client)
        world.proxy.drop("me")
        world.proxy.drop("nobody")
        for client in mine:
            assert await client.rest() == b""
        with anyio.move_on_after(0.05) as waited:
            await other.rest()
        assert waited.cancelled_caught
        async with world.client() as client:
            await tunnel(client)


async def scene() -> None:
    """Have the proxy do everything at once, and end it in the middle of that."""
    looked_up = anyio.Event()

    async def hanging(host: str) -> Any:
        if host != ALLOWED:
            looked_up.set()
            await anyio.sleep_forever()
        return world.names[host]

    async with AsyncExitStack() as held, egress(resolve=hanging) as world:
        await world.host(silent)
        world.policies["me"] = Policy((ALLOWED, "slow.example"))
        port = await held.enter_async_context(door(world, "other"))
        for said in (CONNECT, GET, GET.replace(b"allowed", b"slow"), b"GET http://", b""):
            for opened in (by(port), world.client()):
                client = await held.enter_async_context(opened)
                await client.send(said)
        with anyio.fail_after(PATIENCE_S):
            await looked_up.wait()
            while len(world.decisions) < 5:
                await anyio.sleep(0.01)


async def test_no_descriptor_is_left_whatever_was_going_on():
    def descriptors() -> set[str]:
        return {path.name for path in Path("/proc/self/fd").iterdir()}

    await scene()
    before = await to_thread.run_sync(descriptors)
    await scene()
    assert await to_thread.run_sync(descriptors) == before


async def test_a_decision_that_cannot_be_recorded_is_not_acted_on(
    caplog: pytest.LogCaptureFixture,
):
    def full(_: Decision) -> None:
        raise OSError("no space is left")

    async with egress(on_decision=full) as world:
        host = Host()
        await world.host(host)
        async with world.client() as client:
            await client.send(GET)
            assert await client.rest() == b""
        assert host.connections == 0
    assert [r.message for r in caplog.records if r.levelno >= logging.ERROR] == [
        "a connection failed"
    ]


async def test_what_goes_wrong_meanwhile_is_raised_as_it_is():
    proxy = EgressProxy(policy_of={}.get, session_of_uid={}.get)
    with pytest.raises(KeyError, match="its own"):
        async with proxy.serving():
            raise KeyError("its own")
