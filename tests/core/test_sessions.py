"""How sessions live: capacity, the queue, vanishing clients, idling, coming back."""

import time

import anyio
import pytest
from websockets.exceptions import ConnectionClosed

import probe
from paddock.manager import Place
from serving import serving

RESET = {"type": "reset", "data": {}}
SLOW = {"message": "slow", "op": "sleep", "arg": 30}


async def test_one_too_many_waits_until_a_place_is_free():
    async with serving(probe.SPEC, capacity=1) as server:
        order: list[str] = []

        async def second() -> None:
            async with server.ws() as wire:
                await wire.ask(RESET)
                order.append("second served")

        async with anyio.create_task_group() as tasks:
            async with server.ws() as wire:
                await wire.ask(RESET)
                tasks.start_soon(second)
                await server.until(lambda m: m.waiting == 1)
                order.append("first leaves")
        assert order == ["first leaves", "second served"]


async def test_who_waited_too_long_is_refused_and_told_when_to_come_back():
    async with serving(probe.SPEC, capacity=1, queue_s=0.2) as server:
        async with server.ws() as first, server.ws() as second:
            await first.ask(RESET)
            refusal = await second.receive()
            assert refusal["type"] == "error"
            data = refusal["data"]
            assert data["code"] == "CAPACITY_REACHED"
            assert (data["active_sessions"], data["max_sessions"]) == (1, 1)
            assert data["retry_after_s"] >= 1
            with pytest.raises(ConnectionClosed) as closed:
                await second.receive()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1000


async def test_64_clients_at_a_capacity_of_16_are_all_served():
    async with serving(probe.SPEC, capacity=16) as server:
        served = 0
        most = 0

        async def episode() -> None:
            nonlocal served, most
            async with server.ws() as wire:
                assert (await wire.ask(RESET))["type"] == "observation"
                await wire.step(message="x", op="sleep", arg=0.05)
                most = max(most, server.manager.active)
                served += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(64):
                tasks.start_soon(episode)
        assert served == 64
        assert most == 16


async def test_a_client_that_vanishes_in_mid_step_frees_its_place_at_once():
    probe.LOG.clear()
    async with serving(probe.SPEC, capacity=1) as server:
        async with server.ws() as wire:
            await wire.ask(RESET)
            await wire.send({"type": "step", "data": SLOW})
            await server.until(lambda m: any(x.session.turn.running for x in m._leases.values()))
            wire.socket.transport.abort()
        started = time.monotonic()
        async with server.ws() as other:
            assert (await other.ask(RESET))["type"] == "observation"
        assert time.monotonic() - started < 1
        assert any(line.startswith("cancelled") for line in probe.LOG)


async def test_a_lost_session_that_gave_no_name_is_gone():
    async with serving(probe.SPEC) as server:
        async with server.ws() as wire:
            await wire.ask(RESET)
            wire.socket.transport.abort()
        await server.until(lambda m: m.active == 0)


@pytest.mark.parametrize("path", ["/ws", "/s/mine/ws"], ids=["header", "prefix"])
async def test_a_lost_connection_attaches_again_with_its_state(path: str):
    async with serving(probe.SPEC) as server:
        header = {"x_session_id": "mine"} if path == "/ws" else {}
        async with server.ws(path, **header) as wire:
            await wire.ask({"type": "reset", "data": {"episode_id": "kept"}})
            await wire.step(message="remember")
            wire.socket.transport.abort()
        await server.until(lambda m: m.count(Place.DETACHED) == 1)
        async with server.ws(path, **header) as wire:
            state = await wire.ask({"type": "state"})
        assert state["data"]["last"] == "remember"
        assert state["data"]["episode_id"] == "kept"
        assert state["data"]["step_count"] == 1


async def test_a_named_session_that_was_closed_properly_is_gone():
    async with serving(probe.SPEC) as server:
        async with server.ws(x_session_id="mine") as wire:
            await wire.ask(RESET)
            await wire.send({"type": "close"})
        await server.until(lambda m: m.active == 0)


async def test_nobody_waits_long_for_a_session_whose_client_has_gone():
    async with serving(probe.SPEC, capacity=1, grace_s=60) as server:
        async with server.ws(x_session_id="gone") as wire:
            await wire.ask(RESET)
            wire.socket.transport.abort()
        started = time.monotonic()
        async with server.ws() as other:
            assert (await other.ask(RESET))["type"] == "observation"
        assert time.monotonic() - started < 1.5


async def test_nobody_comes_back_after_the_grace_period():
    async with serving(probe.SPEC, grace_s=0.1) as server:
        async with server.ws(x_session_id="gone") as wire:
            await wire.ask(RESET)
            wire.socket.transport.abort()
        await server.until(lambda m: m.active == 0)
        async with server.ws("/ws?session_id=gone") as wire:
            refusal = await wire.receive()
        assert refusal["data"]["code"] == "SESSION_ERROR"
        assert refusal["data"]["error"] == "UnknownSession"


async def test_an_older_connection_of_the_same_client_makes_way():
    async with serving(probe.SPEC) as server:
        async with server.ws(x_session_id="mine") as old:
            await old.ask(RESET)
            await old.step(message="first")
            async with server.ws(x_session_id="mine") as new:
                state = await new.ask({"type": "state"})
                assert state["data"]["last"] == "first"
            farewell = await old.receive()
            assert farewell["data"]["error"] == "SessionClosed"


async def test_a_session_that_somebody_else_holds_is_refused():
    async with serving(probe.SPEC) as server:
        async with server.ws("/s/shared/ws") as one:
            await one.ask(RESET)
            async with server.ws("/s/shared/ws") as two:
                refusal = await two.receive()
            assert refusal["data"]["error"] == "SessionAttached"
            assert (await one.ask({"type": "state"}))["type"] == "state"


async def test_an_idle_client_is_told_before_its_connection_closes():
    async with serving(probe.SPEC, idle_s=0.3) as server:
        async with server.ws() as wire:
            await wire.ask(RESET)
            farewell = await wire.receive()
            assert farewell["data"]["code"] == "SESSION_ERROR"
            assert "idle" in farewell["data"]["message"]
            with pytest.raises(ConnectionClosed) as closed:
                await wire.receive()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001
            assert "idle" in closed.value.rcvd.reason
        await server.until(lambda m: m.active == 0)


async def test_nobody_is_idle_in_mid_step():
    async with serving(probe.SPEC, idle_s=0.3) as server, server.ws() as wire:
        await wire.ask(RESET)
        answer = await wire.step(message="slow", op="sleep", arg=1.2)
        assert answer["data"]["observation"]["echoed"] == "slow"


async def test_a_step_ends_at_the_ceiling_and_the_session_goes_on():
    async with serving(probe.SPEC, step_s=0.3) as server, server.ws() as wire:
        await wire.ask(RESET)
        answer = await wire.step(**SLOW)
        assert answer["data"]["code"] == "EXECUTION_ERROR"
        assert answer["data"]["error"] == "StepTimeout"
        assert (await wire.step(message="next"))["data"]["observation"]["echoed"] == "next"
        assert (await wire.ask({"type": "state"}))["data"]["step_count"] == 2


async def test_a_blocking_environment_blocks_nobody_else():
    async with serving(probe.BLOCKING) as server, server.ws() as slow, server.ws() as quick:
        await slow.ask(RESET)
        await quick.ask(RESET)
        await slow.send({"type": "step", "data": {"message": "x", "op": "sleep", "arg": 0.5}})
        started = time.monotonic()
        await quick.step(message="hello")
        assert time.monotonic() - started < 0.4
        assert (await slow.receive())["data"]["observation"]["echoed"] == "x"


async def test_a_blocking_step_that_was_given_up_on_is_not_run_into():
    async with serving(probe.BLOCKING, step_s=0.2) as server, server.ws() as wire:
        await wire.ask(RESET)
        late = await wire.step(message="x", op="sleep", arg=0.6)
        assert late["data"]["error"] == "StepTimeout"
        busy = await wire.step(message="too early")
        assert "still busy" in busy["data"]["message"]
        await anyio.sleep(0.6)
        assert (await wire.step(message="now"))["data"]["observation"]["echoed"] == "now"


async def test_every_environment_is_closed_once():
    probe.LOG.clear()
    async with serving(probe.SPEC) as server:
        for _ in range(5):
            async with server.ws() as wire:
                await wire.ask(RESET)
        await server.until(lambda m: m.active == 0)
        async with server.ws() as wire:
            await wire.ask(RESET)
    closed = [line for line in probe.LOG if line.startswith("closed")]
    assert len(closed) == len(set(closed)) == 6


async def test_frames_sent_ahead_are_answered_in_order():
    async with serving(probe.SPEC) as server, server.ws() as wire:
        await wire.send(RESET)
        await wire.send({"type": "step", "data": {"message": "a", "op": "sleep", "arg": 0.2}})
        for word in "bcdef":
            await wire.send({"type": "step", "data": {"message": word}})
        await wire.receive()
        said = [(await wire.receive())["data"]["observation"]["echoed"] for _ in range(6)]
        assert said == list("abcdef")


async def test_who_sends_without_end_and_reads_nothing_is_shown_the_door():
    async with serving(probe.SPEC) as server, server.ws() as wire:
        await wire.ask(RESET)
        await wire.send({"type": "step", "data": SLOW})
        with pytest.raises(ConnectionClosed):
            for _ in range(5000):
                await wire.send({"type": "state"})
            while True:
                await wire.receive()
        await server.until(lambda m: m.active == 0)


async def test_a_first_step_without_a_reset_begins_an_episode():
    async with serving(probe.SPEC) as server, server.ws() as wire:
        assert (await wire.step(message="hello"))["data"]["observation"]["echoed"] == "hello"
        state = (await wire.ask({"type": "state"}))["data"]
        assert state["step_count"] == 1
        assert state["episode_id"]


async def test_a_factory_that_fails_is_named_and_its_reason_kept_secret():
    async with serving(probe.FAILING) as server, server.ws() as wire:
        refusal = await wire.receive()
        assert refusal["data"]["code"] == "FACTORY_ERROR"
        assert refusal["data"]["factory_name"] == "FailingEnv"
        assert "secret" not in str(refusal)
        await server.until(lambda m: m.active == 0)


async def test_draining_answers_the_step_in_progress_and_refuses_newcomers():
    async with serving(probe.SPEC) as server, server.ws() as wire:
        await wire.ask(RESET)
        await wire.send({"type": "step", "data": {"message": "x", "op": "sleep", "arg": 0.3}})
        await server.until(lambda m: m.watchdog._turns)
        await server.manager.drain(3)
        assert (await wire.receive())["data"]["observation"]["echoed"] == "x"
        async with server.ws() as newcomer:
            assert (await newcomer.receive())["data"]["error"] == "SessionClosed"
