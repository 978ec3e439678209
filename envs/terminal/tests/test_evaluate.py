"""`evaluate` in a terminal, through the server's doors."""

from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from paddock_terminal import SPEC
from paddock_terminal.env import TASKS
from serving import Served, Wire, serving

CHECKS = {
    "hangs": "sleep 60",
    "crashes": "kill -SEGV $$",
    "babbles": "echo lots > /logs/verifier/reward.txt",
    "says-nothing": "true # and no reward.json",
    "bombs": "bomb() { bomb | bomb & }; bomb; sleep 60",
    "works": 'if [ "$(cat answer)" = 42 ]; then echo \'{"reward": 1, "tidy": 0.5}\'; else'
    " echo '{\"reward\": 0}'; fi > /logs/verifier/reward.json; echo judged",
}


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> AsyncGenerator[Served]:
    for name, script in CHECKS.items():
        task = tmp_path / "train" / name
        (task / "tests").mkdir(parents=True)
        (task / "instruction.md").write_text("Write 42 into answer.")
        (task / "task.toml").write_text("[verifier]\ntimeout_sec = 2\n")
        (task / "tests" / "test.sh").write_text(script)
    monkeypatch.setattr(TASKS, "root", tmp_path)
    async with serving(SPEC) as server:
        yield server


async def reset(wire: Wire, task_id: str) -> None:
    answer = await wire.ask({"type": "reset", "data": {"task_id": task_id}})
    assert answer["type"] == "observation", answer


async def evaluate(wire: Wire) -> dict[str, Any]:
    answer = await wire.step(type="evaluate")
    assert answer["type"] == "observation", answer
    return answer["data"]


async def earn(wire: Wire) -> dict[str, Any]:
    await reset(wire, "works")
    await wire.step(command="echo 42 > answer")
    return await evaluate(wire)


async def test_the_verdict_ends_the_episode_and_stays(server: Served):
    async with server.ws() as wire:
        first = await earn(wire)
        assert (first["reward"], first["done"]) == (1.0, True)
        assert first["observation"]["output"] == "judged\n"
        metadata = first["observation"].get("metadata") or first["metadata"]
        assert metadata["rewards"] == {"reward": 1.0, "tidy": 0.5}
        assert metadata["check"]["error"] is None
        assert await evaluate(wire) == first
        refusal = await wire.step(command="echo 0 > answer")
        assert refusal["type"] == "error"
        assert "over" in refusal["data"]["message"]


@pytest.mark.parametrize(
    ("task_id", "error"),
    [
        ("hangs", "did not end within 2 s"),
        ("crashes", "signal 11"),
        ("babbles", "not a number"),
        ("says-nothing", "neither reward.txt nor reward.json"),
        ("bombs", ""),
    ],
)
async def test_a_check_that_fails_gives_null_and_the_next_episode_is_clean(
    server: Served, task_id: str, error: str
):
    async with server.ws() as wire:
        await reset(wire, task_id)
        await wire.step(command="echo 42 > answer; (sleep 100 &)")
        verdict = await evaluate(wire)
        assert (verdict["reward"], verdict["done"]) == (None, True)
        metadata = verdict["observation"].get("metadata") or verdict["metadata"]
        assert error in metadata["check"]["error"]
        await reset(wire, "works")
        seen = await wire.step(command="ls -A; jobs")
        assert seen["data"]["observation"]["output"] == ""
        assert (await evaluate(wire))["reward"] == 0.0
        assert (await earn(wire))["reward"] == 1.0


async def test_it_can_be_asked_for_by_http(server: Served):
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as http:
        headers = {"X-Session-Id": "s"}
        await http.post("/reset", json={"task_id": "works"}, headers=headers)
        action = {"command": "echo 42 > answer"}
        await http.post("/step", json={"action": action}, headers=headers)
        bodies = [(await http.post("/evaluate", headers=headers)).json() for _ in range(2)]
        assert bodies[0] == bodies[1]
        assert (bodies[0]["reward"], bodies[0]["done"]) == (1.0, True)
        tools = await http.post(
            "/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"}, headers=headers
        )
        names = [tool["name"] for tool in tools.json()["result"]["tools"]]
        assert "run" in names
        assert "evaluate" not in names


async def test_a_client_that_leaves_in_mid_check_leaves_nothing_behind(server: Served):
    async with server.ws() as wire:
        await reset(wire, "hangs")
        await wire.send({"type": "step", "data": {"type": "evaluate"}})
        await anyio.sleep(0.5)
    async with server.ws() as wire:
        assert (await earn(wire))["reward"] == 1.0
