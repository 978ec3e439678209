"""The conformance suite: whole, right about us, right about OpenEnv, and able to say no."""

import ast
import json
import os
import pkgutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn
from anyio.from_thread import start_blocking_portal

import noop
import paddock.conformance
from paddock import Catalog, LocalProvider
from paddock.conformance.requirements import AREAS, REQUIREMENTS, proves
from paddock.server import Settings, create_app

ROOT = Path(__file__).parents[1]
SLOW = '{"message": "x", "op": "sleep", "arg": 8}'
TOKEN = "sesame"

NEEDS_SLOW = {"robust.midstep.health", "robust.midstep.place"}
NEEDS_TOKEN = {"http.token"}
NEEDS_PRODUCTION = {"ws.production"}

OPENENV_SHORT = {
    "http.session.episode",
    "http.session.header",
    "mcp.actions",
    "mcp.offered",
    "mcp.socket.array",
    "robust.binary",
    "robust.echo",
    "robust.http",
    "robust.mcp",
    "robust.object",
    "robust.parser",
    "robust.text",
    "session.full.queue",
    "session.full.retry",
    "session.prefix",
    "session.return",
    "session.several",
    "ws.error.message",
    "ws.reset.validates",
}
"""Where OpenEnv's own server falls short of what Paddock asks beyond the contract."""


@dataclass(frozen=True)
class Checked:
    """What ``paddock check`` said."""

    status: int
    text: str
    findings: Mapping[str, Mapping[str, str]]

    def having(self, outcome: str) -> set[str]:
        return {name for name, found in self.findings.items() if found["outcome"] == outcome}


def check(url: str, folder: Path, *options: str, env: Mapping[str, str] | None = None) -> Checked:
    """Run ``paddock check`` as its users do, in a folder of its own."""
    report = folder / "report.json"
    command = [sys.executable, "-m", "paddock", "check", url, "--json", str(report), *options]
    environment = {**os.environ, **(env or {})}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.stderr == "" or not report.exists(), done.stderr
    found = json.loads(report.read_text())["requirements"] if report.exists() else []
    return Checked(done.returncode, done.stdout + done.stderr, {f["id"]: f for f in found})


@contextmanager
def process(reference: str, *options: str) -> Iterator[str]:
    """Serve an environment in a process of its own."""
    paths = os.pathsep.join([str(ROOT / "benchmarks"), str(ROOT / "tests" / "support")])
    provider = LocalProvider(options=options, env={"PYTHONPATH": paths})
    serving = provider.serve(Catalog()[reference])
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(serving) as url:
        yield url


@contextmanager
def thread(app: Any) -> Iterator[str]:
    """Serve an ASGI application in a thread of this process."""
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="on", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    worker = Thread(target=server.run, args=([listening],), name="uvicorn")
    worker.start()
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        worker.join()
        listening.close()


# -- the suite is whole ---------------------------------------------------------------------------


def linked() -> dict[str, str | None]:
    """Return every test of the suite and the requirement it proves."""
    suite = paddock.conformance
    modules = [info.name for info in pkgutil.iter_modules(suite.__path__)]
    found: dict[str, str | None] = {}
    for name in modules:
        if name.startswith("test_"):
            module = import_module(f"{suite.__name__}.{name}")
            tests = {k: v for k, v in vars(module).items() if k.startswith("test_")}
            found |= {f"{name}::{k}": proves(test) for k, test in tests.items()}
    return found


def test_every_test_proves_a_requirement():
    assert {name for name, proved in linked().items() if proved is None} == set()


def test_every_requirement_is_proved_by_a_test():
    assert set(REQUIREMENTS) - set(linked().values()) == set()


def test_every_requirement_is_a_sentence_of_a_known_area():
    for requirement in REQUIREMENTS.values():
        assert requirement.area in AREAS, requirement.id
        assert requirement.text.endswith("."), requirement.id


def test_the_suite_shares_no_code_with_what_it_tests():
    for path in Path(paddock.conformance.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            shared = {n for n in names if n.split(".")[0] == "paddock"}
            assert all(n.startswith("paddock.conformance") for n in shared), (path.name, shared)


# -- Paddock's server -----------------------------------------------------------------------------


def test_our_server_meets_everything(tmp_path: Path):
    with process("noop:SPEC", "--capacity", "4", "--queue", "2") as url:
        checked = check(url, tmp_path)
    assert checked.status == 0, checked.text
    assert checked.having("fail") | checked.having("short") == set(), checked.text
    assert checked.having("n/a") == NEEDS_SLOW | NEEDS_TOKEN | NEEDS_PRODUCTION
    assert "FAIL" not in checked.text
    assert checked.text.endswith(": conforms\n")


def test_our_server_meets_everything_with_a_token_and_while_a_step_runs(tmp_path: Path):
    options = ("--capacity", "2", "--queue", "2", "--token", TOKEN)
    with process("probe:SPEC", *options) as url:
        checked = check(url, tmp_path, "--token", TOKEN, "--slow-action", SLOW)
    assert checked.status == 0, checked.text
    assert checked.having("fail") | checked.having("short") == set(), checked.text
    assert checked.having("n/a") == NEEDS_PRODUCTION


def test_our_server_conforms_in_production_mode(tmp_path: Path):
    with process("noop:SPEC", "--mode", "production") as url:
        checked = check(url, tmp_path)
    assert checked.status == 0, checked.text
    assert checked.having("fail") | checked.having("short") == set(), checked.text
    assert checked.findings["ws.production"]["outcome"] == "ok"


def test_a_declared_divergence_is_reported_with_its_reason(tmp_path: Path):
    why = "One page is all the memory there is."
    spec = replace(noop.SPEC, divergences={"session.several": why, "no.such.thing": "?"})
    with thread(create_app(spec, Settings(capacity=1, queue_s=0.2))) as url:
        checked = check(url, tmp_path)
    assert checked.status == 0, checked.text
    assert checked.findings["session.several"]["outcome"] == "declared"
    assert checked.findings["session.several"]["why"] == why
    assert "'no.such.thing', which is no requirement" in checked.text


# -- OpenEnv's server -----------------------------------------------------------------------------


@pytest.mark.openenv
@pytest.mark.timeout(900)
def test_openenvs_server_conforms_and_its_shortfalls_are_named(openenv_url: str, tmp_path: Path):
    checked = check(openenv_url, tmp_path)
    assert checked.status == 0, checked.text
    assert checked.having("fail") == set(), checked.text
    assert checked.having("short") == OPENENV_SHORT, checked.text
    for name in OPENENV_SHORT:
        assert f"short     {name} " in checked.text
        assert REQUIREMENTS[name].text in checked.text


# -- broken servers -------------------------------------------------------------------------------

Frame = dict[str, Any]
Spoil = Callable[[Frame], list[Frame]]


def without_reward(frame: Frame) -> list[Frame]:
    if frame["type"] == "observation":
        del frame["data"]["reward"]
    return [frame]


def with_a_greeting(frame: Frame) -> list[Frame]:
    greeting = {"type": "state", "data": {"episode_id": None, "step_count": 0}}
    return [frame, greeting] if frame["type"] == "observation" else [frame]


def with_other_codes(frame: Frame) -> list[Frame]:
    if frame["type"] == "error":
        frame["data"]["code"] = "ERROR"
    return [frame]


class Broken:
    """Our server, with something wrong about the frames it sends."""

    def __init__(self, spoil: Spoil) -> None:
        self._app = create_app(noop.SPEC, Settings(capacity=4, queue_s=0.2))
        self._spoil = spoil

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        async def spoiled(message: Any) -> None:
            if message["type"] != "websocket.send" or scope["path"] == "/mcp":
                await send(message)
                return
            for frame in self._spoil(json.loads(message["text"])):
                await send({"type": "websocket.send", "text": json.dumps(frame)})

        await self._app(scope, receive, spoiled)


async def hanging(scope: Any, receive: Any, send: Any) -> None:
    """Healthy, and nothing else: every other request waits for an answer in vain."""
    if scope["type"] == "lifespan":
        await receive()
        await send({"type": "lifespan.startup.complete"})
    elif scope["path"] == "/health":
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b'{"status": "healthy"}'})
        return
    elif scope["type"] == "websocket":
        await send({"type": "websocket.accept"})
    while (await receive())["type"] not in ("lifespan.shutdown", "http.disconnect",
                                            "websocket.disconnect"):  # fmt: skip
        pass
    if scope["type"] == "lifespan":
        await send({"type": "lifespan.shutdown.complete"})


def test_a_server_that_hangs_is_given_up_on(tmp_path: Path):
    with thread(hanging) as url:
        checked = check(url, tmp_path, "--timeout", "2")
    assert checked.status == 1
    assert checked.findings["http.health"]["outcome"] == "ok"
    assert checked.findings["http.metadata"]["why"] == "no answer within 2 s"
    assert checked.findings["ws.reset"]["outcome"] == "fail"
    assert "given up: the server does not answer" in checked.text


@pytest.mark.parametrize(
    ("spoil", "broken"),
    [
        (without_reward, {"ws.reset", "ws.step", "ws.envelope"}),
        (with_a_greeting, {"ws.silent", "ws.order"}),
        (with_other_codes, {"ws.error.json", "ws.error.type", "ws.error.frame", "session.full"}),
    ],
)
def test_a_broken_server_does_not_conform(tmp_path: Path, spoil: Spoil, broken: set[str]):
    with thread(Broken(spoil)) as url:
        checked = check(url, tmp_path)
    assert checked.status == 1
    assert broken <= checked.having("fail"), checked.text
    for name in broken:
        assert f"FAIL      {name} " in checked.text
    assert checked.text.endswith(": does not conform to OpenEnv 0.10.0\n")


# -- the command ----------------------------------------------------------------------------------


def test_a_url_that_does_not_answer_is_said_to_be_so(tmp_path: Path):
    checked = check("http://127.0.0.1:9", tmp_path)
    assert checked.status == 1
    assert checked.text.startswith("paddock: http://127.0.0.1:9 does not answer: ")
    assert "Traceback" not in checked.text


def test_whatever_configures_pytest_around_it_is_left_alone(tmp_path: Path):
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --no-such-option\n")
    (tmp_path / "conftest.py").write_text("raise RuntimeError\n")
    env = {"PYTEST_ADDOPTS": "--no-such-option", "PYTEST_PLUGINS": "no_such_plugin"}
    with thread(create_app(noop.SPEC, Settings(capacity=20))) as url:
        checked = check(url, tmp_path, env=env)
    assert checked.status == 0, checked.text
    assert {path.name for path in tmp_path.iterdir()} == {
        "conftest.py", "pytest.ini", "report.json"
    }  # fmt: skip
