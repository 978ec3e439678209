"""The server as a process: how it starts, what it refuses, how it ends."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

SUPPORT = str(Path(__file__).parent.parent / "support")
ENV = {**os.environ, "PYTHONPATH": SUPPORT}
SERVE = [sys.executable, "-m", "paddock", "serve"]
SLEEP = {"type": "step", "data": {"message": "x", "op": "sleep", "arg": 30}}


@contextmanager
def served(*args: str, **env: str) -> Iterator[tuple[subprocess.Popen[bytes], str, socket.socket]]:
    """Run ``paddock serve`` and yield the process, its URL and our end of its lifeline."""
    ours, theirs = socket.socketpair()
    ours.settimeout(20)
    command = [*SERVE, *args, "--port", "0", "--control-fd", str(theirs.fileno())]
    process = subprocess.Popen(
        command, env={**ENV, **env}, pass_fds=[theirs.fileno()], stderr=subprocess.PIPE
    )
    theirs.close()
    try:
        yield process, ours.recv(200).decode().strip(), ours
    finally:
        process.kill()
        process.communicate()
        ours.close()


def ws(url: str):
    return connect(url.replace("http", "ws") + "/ws", proxy=None)


def reset(socket: object) -> None:
    socket.send('{"type": "reset"}')
    assert json.loads(socket.recv())["type"] == "observation"


def ended(process: subprocess.Popen[bytes], limit_s: float) -> float:
    started = time.monotonic()
    process.wait(limit_s)
    return time.monotonic() - started


def test_sigterm_answers_the_step_in_progress_and_exits_with_0():
    with served("probe:SPEC") as (process, url, _), ws(url) as client:
        reset(client)
        client.send('{"type": "step", "data": {"message": "x", "op": "sleep", "arg": 1}}')
        time.sleep(0.2)
        process.send_signal(signal.SIGTERM)
        assert json.loads(client.recv(5))["data"]["observation"]["echoed"] == "x"
        with pytest.raises(ConnectionClosed):
            client.recv(5)
        assert ended(process, 8) < 8
        assert process.returncode == 0


@pytest.mark.parametrize("env", ["probe:SPEC", "probe:BLOCKING"], ids=["async", "blocking"])
def test_sigterm_ends_the_server_within_8_s_even_with_a_hung_step(env: str):
    with served(env) as (process, url, _), ws(url) as client:
        reset(client)
        client.send(json.dumps(SLEEP))
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert ended(process, 10) < 8


def test_a_step_that_blocks_the_event_loop_itself_cannot_keep_the_server():
    with served("hung:SPEC") as (process, url, _), ws(url) as client:
        reset(client)
        client.send('{"type": "step", "data": {"message": "x"}}')
        time.sleep(0.3)
        process.send_signal(signal.SIGTERM)
        assert ended(process, 10) < 8


def test_a_server_whose_parent_is_gone_goes_too():
    with served("probe:SPEC") as (process, url, lifeline):
        assert httpx.get(f"{url}/health").json() == {"status": "healthy"}
        lifeline.close()
        assert ended(process, 8) < 8


def test_a_public_bind_without_a_token_is_refused_with_78():
    done = subprocess.run(
        [*SERVE, "probe:SPEC", "--host", "0.0.0.0"], env=ENV, capture_output=True, timeout=20
    )
    assert done.returncode == 78
    assert b"--token" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_taken_port_is_said_plainly():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = subprocess.run(
            [*SERVE, "probe:SPEC", "--port", port], env=ENV, capture_output=True, timeout=20
        )
    assert done.returncode == 1
    assert b"Address already in use" in done.stderr
    assert b"Traceback" not in done.stderr


def test_an_environment_without_its_library_says_what_to_install():
    done = subprocess.run([*SERVE, "hung:LACKING"], env=ENV, capture_output=True, timeout=20)
    assert done.returncode == 64
    assert b"pip install 'paddock[lacking]'" in done.stderr


def test_it_can_be_served_on_a_unix_socket(tmp_path: Path):
    path = str(tmp_path / "server.sock")
    with served("probe:SPEC", "--uds", path) as (_, name, _control):
        assert name == path
        transport = httpx.HTTPTransport(uds=path)
        with httpx.Client(transport=transport, base_url="http://env") as http:
            assert http.get("/health").json() == {"status": "healthy"}


def test_logs_are_json_lines_on_request():
    with served("probe:SPEC", "--log-format", "json") as (process, url, _):
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=8)
    lines = [json.loads(line) for line in said.decode().splitlines()]
    assert lines[0]["level"] == "info"
    assert url in lines[0]["message"]


def test_plain_uvicorn_serves_an_environment_as_well(tmp_path: Path):
    (tmp_path / "app.py").write_text(
        "from paddock import Catalog\nfrom paddock.server import create_app\n"
        "app = create_app(Catalog()['probe:SPEC'])\n"
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port)]
    process = subprocess.Popen(command, cwd=tmp_path, env=ENV, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            try:
                httpx.get(f"http://127.0.0.1:{port}/health")
                break
            except httpx.ConnectError:
                time.sleep(0.1)
        with ws(f"http://127.0.0.1:{port}") as client:
            reset(client)
            client.send(json.dumps(SLEEP))
            time.sleep(0.2)
            process.send_signal(signal.SIGTERM)
            assert ended(process, 10) < 8
    finally:
        process.kill()
        process.wait()


def test_a_token_on_the_command_line_is_not_left_there():
    with served("probe:SPEC", "--token", "s3cret") as (process, url, _):
        command = Path(f"/proc/{process.pid}/cmdline").read_bytes()
        assert b"probe:SPEC" in command
        assert b"s3cret" not in command
        assert httpx.get(f"{url}/metadata").status_code == 401
        told = {"Authorization": "Bearer s3cret"}
        assert httpx.get(f"{url}/metadata", headers=told).status_code == 200
