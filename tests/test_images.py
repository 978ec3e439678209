"""The images, built and run on a real engine."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

import engine
import paddock

pytestmark = [
    pytest.mark.docker,
    pytest.mark.timeout(900),
    pytest.mark.xdist_group("docker"),
]
EPISODES = Path(__file__).parent / "support" / "openenv_episodes.py"
SECCOMP = Path(__file__).parents[1] / "images" / "seccomp.json"
TMPFS = ("--tmpfs", "/tmp:rw,nosuid,nodev,size=64m,mode=1777")
FLAGS = {
    "plain": ((), "uid"),
    "hardened": (
        (
            "--read-only", "--cap-drop", "ALL",
            *(f"--cap-add={cap}" for cap in ("SETUID", "SETGID", "CHOWN", "DAC_OVERRIDE")),
            "--security-opt", "no-new-privileges", "--pids-limit", "1024", *TMPFS,
            "--tmpfs", "/sessions:rw,exec,nosuid,nodev,mode=711,size=256m",
        ),
        "uid",
    ),
    "any user": (
        (
            "--user", "65532:65532", "--read-only", "--cap-drop", "ALL",
            "--security-opt", "no-new-privileges", "--pids-limit", "256", *TMPFS,
        ),
        "landlock",
    ),
    "namespaces": (
        (
            "--security-opt", f"seccomp={SECCOMP}", "--security-opt", "systempaths=unconfined",
        ),
        "namespaces",
    ),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def images() -> Iterator[None]:
    """Every image, built."""
    with engine.engine():
        engine.build_all()
        yield


def wait_until_healthy(url: str, limit_s: float) -> float:
    started = time.monotonic()
    while time.monotonic() - started < limit_s:
        try:
            if httpx.get(f"{url}/health").json() == {"status": "healthy"}:
                return time.monotonic() - started
        except httpx.TransportError:
            time.sleep(0.02)
    raise AssertionError(f"not healthy after {limit_s} s")


def test_the_terminal_s_image_is_small():
    size = int(engine.docker("image", "inspect", "-f", "{{.Size}}", "paddock/terminal:latest"))
    assert size < 400e6


def test_no_certificate_and_no_build_tool_is_left_in_it():
    history = engine.docker("history", "--no-trunc", "paddock/terminal:latest")
    assert "ca-bundle" not in history
    listed = engine.docker(
        "run", "--rm", "paddock/terminal:latest", "python3", "-m", "pip", "list", "--format=json"
    )
    assert not {"hatchling", "pytest"} & {p["name"] for p in json.loads(listed)}


@pytest.mark.parametrize(("flags", "level"), FLAGS.values(), ids=FLAGS)
def test_it_serves_a_whole_episode(flags: tuple[str, ...], level: str):
    with engine.container("paddock/terminal:latest", *flags) as (_, url):
        wait_until_healthy(url, 5)
        assert httpx.get(f"{url}/metadata").json()["isolation"]["level"] == level
        with paddock.make("terminal", url=url).sync() as env:
            first = env.reset(task_id="fix-the-median")
            assert "median.py" in first.observation.instruction
            solution = paddock.Catalog()["terminal"].factory
            tasks = sys.modules[solution.__module__].TASKS
            env.step({"command": tasks.find("fix-the-median").solution.read_text()})
            verdict = env.evaluate()
        assert verdict.reward == 1.0, verdict.observation.output


def test_it_conforms_and_the_catalog_in_it_holds_only_itself():
    with engine.container("paddock/terminal:latest") as (name, url):
        wait_until_healthy(url, 5)
        done = subprocess.run(
            [sys.executable, "-m", "paddock", "check", url], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout
        assert "conforms" in done.stdout
        assert engine.docker("exec", name, "paddock", "list").startswith("terminal@0.1")


def test_it_exits_within_8_s_of_sigterm():
    with engine.container("paddock/terminal:latest", "--init") as (name, url):
        wait_until_healthy(url, 5)
        with paddock.make("terminal", url=url).sync() as env:
            env.reset()
            env.step({"command": "sleep 100", "timeout_s": 0.2})
            started = time.monotonic()
            engine.docker("stop", name)
            assert time.monotonic() - started < 8
        assert engine.docker("inspect", "-f", "{{.State.ExitCode}}", name) == "0"


@pytest.mark.openenv
def test_the_real_openenv_clients_play_in_it(openenv_python: Path):
    with engine.container("paddock/terminal:latest") as (_, url):
        wait_until_healthy(url, 5)
        done = subprocess.run(
            [openenv_python, EPISODES, url], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-4000:]
        seen = json.loads(done.stdout.splitlines()[-1])
        assert seen["crowd"]["right"]
        assert seen["generic_async"]["listing"]["observation"]["output"] == "median.py  samples\n"
