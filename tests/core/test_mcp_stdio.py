"""``paddock mcp NAME``: MCP over stdio, with the official client and by hand."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from mcp import StdioServerParameters, stdio_client
from mcp.client.client import Client

COMMAND = [sys.executable, "-m", "paddock", "mcp", "terminal"]
OPEN = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "a test", "version": "1"},
    },
}


def call(command: str, rpc_id: int = 2) -> dict[str, Any]:
    params = {"name": "run", "arguments": {"command": command}}
    return {"jsonrpc": "2.0", "id": rpc_id, "method": "tools/call", "params": params}


@contextmanager
def started() -> Iterator[subprocess.Popen[str]]:
    pipe = subprocess.PIPE
    with subprocess.Popen(COMMAND, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def say(process: subprocess.Popen[str], *messages: Any) -> None:
    assert process.stdin is not None
    process.stdin.writelines(f"{json.dumps(m)}\n" for m in messages)
    process.stdin.flush()


def hear(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    return json.loads(process.stdout.readline())


async def test_the_official_client_plays_a_task():
    server = StdioServerParameters(
        command=COMMAND[0], args=[*COMMAND[1:], "task_id=fix-the-median"], env=dict(os.environ)
    )
    async with Client(stdio_client(server)) as client:
        assert client.protocol_version == "2026-07-28"  # the process is the session
        assert "prints the median" in (client.instructions or "")
        assert (await client.list_tools()).tools[0].name == "run"
        await client.call_tool("run", {"command": "cd samples"})
        result = await client.call_tool("run", {"command": "ls"})
        assert result.structured_content is not None
        assert result.structured_content["output"] == "even.txt  odd.txt\n"
        assert (await client.call_tool("run", {})).is_error


@pytest.mark.parametrize("how", ["stdin", "SIGTERM", "SIGINT", "SIGTERM in a call"])
def test_it_ends_with_its_client_and_leaves_no_process(how: str):
    with started() as process:
        say(process, OPEN, call("sleep 1000 & echo $!"))
        assert hear(process)["result"]["serverInfo"]["name"] == "terminal"
        assert hear(process)["result"]["isError"] is False
        children = _descendants(process.pid)
        assert children
        assert process.stdin is not None
        if how == "stdin":
            process.stdin.close()
        else:
            if how.endswith("call"):
                say(process, call("sleep 1000", 3))
            process.send_signal(signal.SIGINT if how == "SIGINT" else signal.SIGTERM)
        assert process.wait(10) == 0
        assert [pid for pid in children if _alive(pid)] == []


def test_what_is_no_message_costs_nothing():
    with started() as process:
        assert process.stdin is not None
        process.stdin.write("{bad\n\n[]\n")
        say(process, OPEN, call("echo hi"))
        answers = [hear(process)]
        while answers[-1].get("id") != 2:
            answers.append(hear(process))
        assert answers[-1]["result"]["structuredContent"]["output"] == "hi\n"


def test_stdin_and_stdout_can_be_files(tmp_path: Path):
    asked = tmp_path / "asked"
    asked.write_text(f"{json.dumps(OPEN)}\n")
    with asked.open() as stdin, (tmp_path / "said").open("w") as stdout:
        done = subprocess.run(COMMAND, stdin=stdin, stdout=stdout, timeout=30)
    assert done.returncode == 0
    assert json.loads((tmp_path / "said").read_text())["id"] == 1


def test_a_reset_that_fails_is_said_before_anything_is_served():
    done = subprocess.run(
        [*COMMAND, "task_id=nope"], stdin=subprocess.DEVNULL, capture_output=True, timeout=30
    )
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.startswith(b"paddock: ")
    assert b"nope" in done.stderr


def _descendants(pid: int) -> list[int]:
    threads = Path(f"/proc/{pid}/task").glob("*/children")
    own = [int(word) for children in threads for word in children.read_text().split()]
    return own + [found for child in own for found in _descendants(child)]


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
