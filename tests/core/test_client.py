"""The client: typed and untyped answers, errors by class, and what it makes of broken wires."""

import os
import subprocess
import sys
import threading
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from websockets.asyncio.server import ServerConnection, serve

import paddock
import probe
from paddock import EnvClient, EnvLost, Timeouts
from paddock.errors import (
    AnswerTimeout,
    CapacityReached,
    CatalogError,
    ConfigurationError,
    ConnectionInterrupted,
    FactoryFailed,
    InvalidMessage,
    ProviderError,
    StepFailed,
    StepTimeout,
)
from serving import Served, serving


@pytest.fixture
async def server() -> AsyncGenerator[Served]:
    async with serving(probe.SPEC, capacity=4, queue_s=0.2, step_s=3) as server:
        yield server


async def test_a_typed_client_gets_models(server: Served):
    async with EnvClient(server.url, spec=probe.SPEC) as env:
        first = await env.reset(seed=3, episode_id="ep")
        assert first.observation == probe.EchoObservation(
            echoed="ready", extra={"seed": 3, "kw": {}}
        )
        result = await env.step(probe.Echo(message="bye", op="done"))
        assert (result.reward, result.done, result.metadata) == (1.0, True, {"why": "asked"})
        assert result.observation.reward == 1.0
        state = await env.state()
        assert state == probe.EchoState(episode_id="ep", step_count=1, last="bye")


async def test_an_untyped_client_gets_mappings(server: Served):
    async with EnvClient(server.url) as env:
        await env.reset()
        result = await env.step({"message": "hi"})
        assert result.observation["echoed"] == "hi"
        assert (await env.state())["last"] == "hi"


async def test_options_nobody_knows_are_named_not_swallowed(server: Served):
    async with EnvClient(server.url) as env:
        result = await env.reset(seed=1, prompt="a dataset's column", split="train")
        assert result.metadata["ignored_options"] == ["prompt", "split"]


@pytest.mark.parametrize(
    ("action", "error", "says"),
    [
        ({"message": ""}, InvalidMessage, "message: String should have at least 1"),
        ({"message": "x", "op": "raise"}, StepFailed, "boom: x"),
        ({"message": "x", "op": "odd"}, StepFailed, "not JSON"),
        ({"message": "x", "op": "sleep", "arg": 60}, StepTimeout, "within 3 s"),
    ],
    ids=["invalid", "raised", "not-json", "timeout"],
)
async def test_the_server_s_errors_are_raised_as_their_class(
    server: Served, action: dict[str, object], error: type[Exception], says: str
):
    async with EnvClient(server.url) as env:
        await env.reset()
        with pytest.raises(error, match=says) as raised:
            await env.step(action)
        assert type(raised.value) is error
        assert (await env.step({"message": "goes on"})).observation["echoed"] == "goes on"


async def test_a_full_server_raises_capacity_reached_and_may_be_asked_again(server: Served):
    async with anyio.create_task_group() as tasks:

        async def occupy() -> None:
            async with EnvClient(server.url) as env:
                await env.reset()
                await anyio.sleep_forever()

        for _ in range(4):
            tasks.start_soon(occupy)
        await server.until(lambda m: m.active == 4)
        async with EnvClient(server.url) as env:
            with pytest.raises(CapacityReached) as refused:
                await env.reset()
            assert refused.value.details["max_sessions"] == 4
            tasks.cancel_scope.cancel()
            await server.until(lambda m: m.active < 4)
            assert (await env.reset()).observation["echoed"] == "ready"


async def test_a_factory_failure_is_raised_by_its_class():
    async with serving(probe.FAILING) as server, EnvClient(server.url) as env:
        with pytest.raises(FactoryFailed, match="FailingEnv"):
            await env.reset()


async def test_a_lost_connection_goes_on_in_the_same_session(server: Served):
    async with EnvClient(server.url) as env:
        await env.reset(episode_id="kept")
        await env.step({"message": "before"})
        env._talk._socket.transport.abort()
        await anyio.sleep(0.1)
        state = await env.state()
        assert (state["last"], state["step_count"], state["episode_id"]) == ("before", 1, "kept")


async def test_a_connection_lost_in_mid_step_says_so_and_goes_on(server: Served):
    async with EnvClient(server.url) as env:
        await env.reset()
        async with anyio.create_task_group() as tasks:

            async def cut() -> None:
                await anyio.sleep(0.2)
                env._talk._socket.transport.abort()

            tasks.start_soon(cut)
            with pytest.raises(ConnectionInterrupted, match="step"):
                await env.step({"message": "x", "op": "sleep", "arg": 2})
        assert (await env.step({"message": "again"})).observation["echoed"] == "again"


async def test_a_session_that_is_gone_raises_until_the_next_reset():
    async with serving(probe.SPEC, idle_s=0.3) as server, EnvClient(server.url) as env:
        await env.reset()
        first = env.session_id
        await server.until(lambda m: m.active == 0)
        await anyio.sleep(0.1)
        for _ in range(2):
            with pytest.raises(EnvLost, match="gone"):
                await env.step({"message": "x"})
        assert (await env.reset()).observation["echoed"] == "ready"
        assert env.session_id != first


async def test_a_server_that_is_gone_is_env_lost():
    async with serving(probe.SPEC) as server:
        env = await EnvClient(server.url, timeouts=Timeouts(connect=1)).__aenter__()
        await env.reset()
    with pytest.raises(EnvLost):
        await env.step({"message": "x"})
    with pytest.raises(EnvLost, match="cannot connect"):
        await env.reset()
    await env.__aexit__(None, None, None)


async def test_a_late_answer_is_not_taken_for_the_next_one(server: Served):
    async with EnvClient(server.url, timeouts=Timeouts(step=0.2)) as env:
        await env.reset()
        with pytest.raises(AnswerTimeout):
            await env.step({"message": "late", "op": "sleep", "arg": 0.5})
        with pytest.raises(AnswerTimeout):
            await env.step({"message": "later", "op": "sleep", "arg": 0.1})
        assert (await env.state())["last"] == "later"


async def test_a_cancelled_call_does_not_put_the_answers_out_of_step(server: Served):
    async with EnvClient(server.url) as env:
        await env.reset()
        with anyio.move_on_after(0.1):
            await env.step({"message": "cancelled", "op": "sleep", "arg": 0.3})
        assert (await env.step({"message": "next"})).observation["echoed"] == "next"


async def test_calls_of_several_tasks_take_turns(server: Served):
    said: dict[str, str] = {}
    async with EnvClient(server.url) as env:
        await env.reset()

        async def say(word: str) -> None:
            said[word] = (await env.step({"message": word})).observation["echoed"]

        async with anyio.create_task_group() as tasks:
            for word in "abcdefgh":
                tasks.start_soon(say, word)
    assert said == {word: word for word in "abcdefgh"}


async def test_the_token_goes_along():
    async with serving(probe.SPEC, token="secret") as server:
        async with EnvClient(server.url, token="secret") as env:
            await env.reset()
            assert (await env.describe())["name"] == "echo_probe"
        with pytest.raises(EnvLost, match="401"):
            async with EnvClient(server.url):
                pass


async def test_a_path_prefix_is_kept(server: Served):
    async with EnvClient(server.url + "/s/prefixed/") as env:
        await env.reset()
        assert server.manager.find("prefixed")


async def test_tools_can_be_listed_and_called(server: Served):
    async with EnvClient(server.url) as env:
        (tool,) = await env.list_tools()
        assert tool["name"] == "echo"
        result = await env.call_tool("echo", message="hi")
        assert result.observation["result"]["data"]["echoed"] == "hi"


async def test_a_server_that_answers_out_of_turn_does_not_hang_the_client():
    async def refuse(socket: ServerConnection) -> None:
        await socket.close(1011, "not today")

    async with serve(refuse, "127.0.0.1", 0) as strange:
        port = next(iter(strange.sockets)).getsockname()[1]
        with pytest.raises((EnvLost, ConnectionInterrupted)):
            async with EnvClient(f"http://127.0.0.1:{port}") as env:
                await env.reset()


class TestSync:
    def test_the_blocking_twin_does_the_same(self):
        with paddock.make("probe:SPEC", provider=local()).sync() as env:
            assert env.reset(seed=1).observation.echoed == "ready"
            assert env.step({"message": "hi"}).observation.echoed == "hi"
            assert env.state().last == "hi"
            assert env.list_tools()[0]["name"] == "echo"
            assert env.call_tool("echo", message="x").observation["tool_name"] == "echo"
            assert env.describe("schema")["action"]["title"] == "Echo"
            with pytest.raises(StepFailed, match="boom"):
                env.step({"message": "x", "op": "raise"})

    def test_fifty_of_them_share_one_thread(self):
        with paddock.make("probe:SPEC", provider=local()).sync() as first:
            url = first._client._base_url
            before = threading.active_count()
            clients = [EnvClient(url).sync() for _ in range(50)]
            for client in clients:
                client.__enter__()
                client.reset()
            assert threading.active_count() <= before
            for client in clients:
                client.__exit__(None, None, None)

    def test_a_client_that_is_not_open_says_so(self):
        with pytest.raises(RuntimeError, match="with"):
            EnvClient("http://127.0.0.1:1").sync().reset()

    def test_a_program_that_forgets_to_close_ends_nevertheless(self):
        code = (
            "import paddock\n"
            "env = paddock.make('probe:SPEC').sync().__enter__()\n"
            "print(env.reset().observation.echoed)\n"
        )
        done = subprocess.run(
            [sys.executable, "-c", code], env=support_env(), capture_output=True, timeout=30
        )
        assert done.stdout == b"ready\n", done.stderr
        assert done.returncode == 0


class TestMake:
    async def test_an_environment_by_name(self):
        async with paddock.make("terminal") as env:
            await env.reset()
            assert (await env.step({"command": "echo hello"})).observation.output == "hello\n"

    def test_an_unknown_name_suggests_the_nearest(self):
        with pytest.raises(CatalogError, match="did you mean 'terminal'"):
            paddock.make("terminl")

    def test_an_unknown_version_is_refused(self):
        with pytest.raises(CatalogError, match=r"version 0\.1\.0, not 9"):
            paddock.make("terminal@9")

    def test_an_unknown_provider_is_refused(self):
        with pytest.raises(ConfigurationError, match="local"):
            paddock.make("terminal", provider="moon")

    async def test_a_server_that_does_not_start_says_why(self):
        with pytest.raises(ProviderError, match="No module named"):
            async with paddock.make(
                "probe:SPEC", provider=paddock.LocalProvider(env={"PYTHONPATH": "/nowhere"})
            ):
                pass


def support_env() -> dict[str, str]:
    support = str(Path(probe.__file__).parent)
    return {**os.environ, "PYTHONPATH": support}


def local() -> paddock.LocalProvider:
    return paddock.LocalProvider(env={"PYTHONPATH": support_env()["PYTHONPATH"]})
