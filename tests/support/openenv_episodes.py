"""Run by a Python that has OpenEnv: each of its clients plays an episode in our terminal.

Prints one JSON object: what each client saw.
"""

import asyncio
import json
import sys
from typing import Any

from openenv import AutoEnv
from openenv.core.env_server.mcp_types import CallToolAction, ListToolsAction
from openenv.core.generic_client import GenericEnvClient
from openenv.core.mcp_client import MCPToolClient

TASK = {"task_id": "fix-the-median", "seed": 7, "episode_id": "an-episode"}


def seen(result: Any) -> dict[str, Any]:
    observation = result.observation
    if not isinstance(observation, dict):
        observation = observation.model_dump()
    return {"observation": observation, "reward": result.reward, "done": result.done}


async def generic_async(url: str) -> dict[str, Any]:
    async with GenericEnvClient(base_url=url) as env:
        first = await env.reset(**TASK)
        listing = await env.step({"command": "ls; cd samples"})
        where = await env.step({"type": "run", "command": "pwd"})
        state = await env.state()
        try:
            await env.step({"comand": "oops"})
            error = "none"
        except RuntimeError as exc:
            error = str(exc)
        verdict = await env.step({"type": "evaluate"})
    return {
        "first": seen(first),
        "listing": seen(listing),
        "where": seen(where),
        "state": state,
        "error": error,
        "verdict": seen(verdict),
    }


def generic_sync(url: str) -> dict[str, Any]:
    with GenericEnvClient(base_url=url).sync() as env:
        first = env.reset(**TASK)
        listing = env.step({"command": "ls"})
        return {"first": seen(first), "listing": seen(listing), "state": env.state()}


async def tool_client(url: str) -> dict[str, Any]:
    async with MCPToolClient(base_url=url) as env:
        tools = await env.list_tools()
        first = await env.reset(**TASK)
        called = await env.call_tool("run", command="cd samples; ls")
        stepped = await env.step(CallToolAction(tool_name="run", arguments={"command": "pwd"}))
        listed = await env.step(ListToolsAction())
        wrong = await env.step(CallToolAction(tool_name="nope", arguments={}))
        state = await env.state()
    return {
        "tools": [t.name for t in tools],
        "schema": next(t.input_schema for t in tools if t.name == "run"),
        "first": seen(first),
        "called": called,
        "stepped": seen(stepped),
        "listed": [t.name for t in listed.observation.tools],
        "wrong": wrong.observation.error.error_type.value,
        "state": state.model_dump(),
    }


async def auto_env(url: str) -> dict[str, Any]:
    env = AutoEnv.from_env("terminal", base_url=url, skip_install=True)
    async with env:
        await env.reset()
        return {"client": type(env).__name__, "echo": seen(await env.step({"command": "echo hi"}))}


async def crowd(url: str, how_many: int) -> dict[str, Any]:
    """As many clients at once as a trainer opens for one group."""

    async def one(number: int) -> str:
        async with GenericEnvClient(base_url=url) as env:
            await env.reset()
            result = await env.step({"command": f"echo {number}"})
            return result.observation["output"].strip()

    said = await asyncio.gather(*(one(n) for n in range(how_many)))
    return {"right": said == [str(n) for n in range(how_many)]}


async def prefix(url: str) -> dict[str, Any]:
    """An unchanged client comes back to its session after it lost the connection."""
    base = f"{url}/s/openenv-client"
    env = GenericEnvClient(base_url=base)
    await env.connect()
    await env.reset()
    await env.step({"command": "kept=yes"})
    env._ws.transport.abort()
    await asyncio.sleep(0.3)
    again = await env.step({"command": "echo kept=$kept"})
    await env.close()
    return {"output": again.observation["output"]}


async def main(url: str) -> None:
    report = {
        "generic_async": await generic_async(url),
        "tool_client": await tool_client(url),
        "auto_env": await auto_env(url),
        "crowd": await crowd(url, 64),
        "prefix": await prefix(url),
    }
    report["generic_sync"] = await asyncio.to_thread(generic_sync, url)
    print(json.dumps(report))


asyncio.run(main(sys.argv[1]))
