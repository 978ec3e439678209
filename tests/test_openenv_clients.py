"""The real OpenEnv 0.10.0 clients and its validator, unchanged, against our terminal server."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from anyio.from_thread import start_blocking_portal

from paddock import Catalog, LocalProvider

pytestmark = [pytest.mark.openenv, pytest.mark.timeout(600)]
EPISODES = Path(__file__).parent / "support" / "openenv_episodes.py"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of the terminal environment, by name, with room for 16."""
    spec = Catalog()["terminal"]
    with start_blocking_portal() as portal:
        provider = LocalProvider(options=("--capacity", "16"))
        with portal.wrap_async_context_manager(provider.serve(spec)) as url:
            yield url


@pytest.fixture(scope="module")
def seen(url: str, openenv_python: Path) -> dict[str, Any]:
    """What each client saw."""
    done = subprocess.run(
        [openenv_python, EPISODES, url], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_generic_client_plays_an_episode(seen: dict[str, Any]):
    said = seen["generic_async"]
    assert "prints the median" in said["first"]["observation"]["instruction"]
    assert (said["first"]["reward"], said["first"]["done"]) == (None, False)
    assert said["listing"]["observation"]["output"] == "median.py  samples\n"
    assert said["where"]["observation"]["output"].endswith("/workspace/samples\n")
    assert said["state"]["episode_id"] == "an-episode"
    assert said["state"]["step_count"] == 2
    assert "VALIDATION_ERROR" in said["error"]
    assert "command: Field required" in said["error"]
    assert (said["verdict"]["reward"], said["verdict"]["done"]) == (0.0, True)


def test_its_sync_twin_does_too(seen: dict[str, Any]):
    said = seen["generic_sync"]
    assert said["listing"]["observation"]["output"] == "median.py  samples\n"
    assert said["state"]["step_count"] == 1


def test_the_tool_client_plays_an_episode(seen: dict[str, Any]):
    said = seen["tool_client"]
    assert said["tools"] == ["run", "send_keys", "wait", "resize"]
    assert said["schema"]["required"] == ["command"]
    assert said["called"]["output"] == "even.txt  odd.txt\n"
    assert said["stepped"]["observation"]["result"]["data"]["output"].endswith("/samples\n")
    assert said["listed"] == said["tools"]
    assert said["wrong"] == "tool_not_found"
    assert said["state"]["episode_id"] == "an-episode"


def test_auto_env_finds_it_by_url(seen: dict[str, Any]):
    assert seen["auto_env"]["client"] == "GenericEnvClient"
    assert seen["auto_env"]["echo"]["observation"]["output"] == "hi\n"


def test_64_clients_at_a_capacity_of_16_are_all_served(seen: dict[str, Any]):
    assert seen["crowd"]["right"]


def test_an_unchanged_client_comes_back_to_its_shell_by_path_prefix(seen: dict[str, Any]):
    assert seen["prefix"]["output"] == "kept=yes\n"


def test_the_validator_passes_with_every_required_criterion(url: str, openenv_python: Path):
    validate = openenv_python.with_name("openenv")
    done = subprocess.run(
        [validate, "validate", "--url", url, "--json"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = json.loads(done.stdout)
    assert report["passed"] is True
    assert [c["id"] for c in report["criteria"] if c["required"] and not c["passed"]] == []
    assert len(report["criteria"]) >= 6
