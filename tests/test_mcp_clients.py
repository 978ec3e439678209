"""Unchanged MCP clients and OpenEnv's own, all against one running server of the terminal."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from anyio.from_thread import start_blocking_portal
from fastmcp import Client as FastClient
from fastmcp.exceptions import ToolError
from mcp.client.client import Client

from paddock import Catalog, LocalProvider

pytestmark = pytest.mark.timeout(600)
EPISODES = Path(__file__).parent / "support" / "openenv_episodes.py"
TOOLS = ["run", "send_keys", "wait", "resize"]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """One server, for everything in this file."""
    with start_blocking_portal() as portal:
        provider = LocalProvider(options=("--capacity", "16"))
        with portal.wrap_async_context_manager(provider.serve(Catalog()["terminal"])) as url:
            yield url


async def test_the_official_client_keeps_its_shell(url: str):
    async with Client(f"{url}/mcp") as client:
        assert client.server_info.name == "terminal"
        assert [t.name for t in (await client.list_tools()).tools] == TOOLS
        await client.call_tool("run", {"command": "cd /usr; kept=yes"})
        result = await client.call_tool("run", {"command": "echo $PWD $kept"})
        assert result.structured_content is not None
        assert result.structured_content["output"] == "/usr yes\n"
        refused = await client.call_tool("run", {"comand": "oops"})
        assert refused.is_error


async def test_fastmcp_s_client_keeps_its_shell(url: str):
    async with FastClient(f"{url}/mcp") as client:
        assert await client.ping()
        assert [t.name for t in await client.list_tools()] == TOOLS
        await client.call_tool("run", {"command": "cd /usr; kept=yes"})
        result = await client.call_tool("run", {"command": "echo $PWD $kept"})
        assert result.data.output == "/usr yes\n"
        with pytest.raises(ToolError, match="command: Field required"):
            await client.call_tool("run", {})


async def test_an_agent_plays_over_mcp_what_a_trainer_resets_and_evaluates(url: str):
    trained = f"{url}/s/a-rollout"
    async with httpx.AsyncClient(timeout=60) as trainer:
        first = await trainer.post(f"{trained}/reset", json={"task_id": "fix-the-median"})
        assert "prints the median" in first.json()["observation"]["instruction"]
        async with Client(f"{trained}/mcp") as agent:
            listing = await agent.call_tool("run", {"command": "ls"})
            assert listing.structured_content is not None
            assert listing.structured_content["output"] == "median.py  samples\n"
        state = (await trainer.get(f"{trained}/state")).json()
        assert (state["step_count"], state["task_id"]) == (1, "fix-the-median")
        verdict = (await trainer.post(f"{trained}/evaluate")).json()
        assert (verdict["reward"], verdict["done"]) == (0.0, True)
        async with Client(f"{trained}/mcp") as agent:
            late = await agent.call_tool("run", {"command": "ls"})
            assert late.is_error
            assert "evaluated" in late.content[0].text  # pyright: ignore[reportAttributeAccessIssue]
        await trainer.post(f"{trained}/close")


@pytest.mark.openenv
def test_openenv_s_clients_play_beside_them(url: str, openenv_python: Path):
    done = subprocess.run(
        [openenv_python, EPISODES, url], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["tool_client"]
    assert said["tools"] == said["listed"] == TOOLS
    assert said["called"]["output"] == "even.txt  odd.txt\n"
    assert said["state"]["episode_id"] == "an-episode"


@pytest.mark.openenv
def test_openenv_s_validator_passes(url: str, openenv_python: Path):
    validate = openenv_python.with_name("openenv")
    done = subprocess.run(
        [validate, "validate", "--url", url, "--json"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["passed"] is True


async def test_all_of_them_gave_their_places_back(url: str):
    async with httpx.AsyncClient() as http:
        for _ in range(100):
            metrics = (await http.get(f"{url}/metrics")).text
            counts = [line.split()[-1] for line in metrics.splitlines() if "sessions{" in line]
            if set(counts) == {"0"}:
                return
    pytest.fail(metrics)
