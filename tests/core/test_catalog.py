"""Environments by name, tasks by id."""

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from paddock import Catalog
from paddock.catalog import GROUP
from paddock.errors import CatalogError
from paddock.tasks import TaskSet


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, GROUP)


def test_what_is_installed_is_listed():
    assert list(Catalog()) == ["terminal"]
    assert "terminal" in Catalog()
    assert Catalog()["terminal"].reference == "terminal@0.1"


@pytest.mark.parametrize("reference", ["terminal", "terminal@0", "terminal@0.1", "terminal@0.1.0"])
def test_a_version_may_be_named(reference: str):
    assert Catalog()[reference].name == "terminal"


@pytest.mark.parametrize(
    ("reference", "says"),
    [
        ("termnal", "did you mean 'terminal'"),
        ("zzz", r"installed: terminal"),
        ("terminal@0.2", r"version 0\.1\.0, not 0\.2"),
        ("no_such_module:SPEC", "No module named"),
        ("probe:NOTHING", "no attribute 'NOTHING'"),
        ("probe:EchoEnv", "not an EnvSpec"),
    ],
)
def test_what_is_not_there_is_said(reference: str, says: str):
    with pytest.raises(CatalogError, match=says):
        Catalog()[reference]


def test_a_third_party_s_environment_is_second_to_nobody():
    catalog = Catalog({"echo": entry("echo", "probe:SPEC")})
    assert catalog["echo"].name == "echo_probe"
    assert catalog["probe:SPEC"].source == "probe:SPEC"


def test_listing_imports_no_environment_and_looking_up_no_library():
    code = (
        "import sys; from paddock.catalog import Catalog; names = list(Catalog())\n"
        "assert 'paddock_terminal' not in sys.modules\n"
        "Catalog()['terminal']\n"
        "assert 'paddock_terminal.models' in sys.modules\n"
        "heavy = {'pexpect', 'fastapi', 'uvicorn', 'paddock_terminal.env'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30)


@pytest.fixture
def tasks(tmp_path: Path) -> TaskSet:
    for split, name in [("train", "b"), ("train", "a"), ("test", "c")]:
        task = tmp_path / split / name
        task.mkdir(parents=True)
        (task / "instruction.md").write_text(f"Do {name}.\n")
        (task / "task.toml").write_text('[metadata]\ndifficulty = "easy"\n')
    (tmp_path / "train" / "not-a-task").mkdir()
    return TaskSet(tmp_path)


def test_tasks_have_places_and_ids(tasks: TaskSet):
    assert tasks.splits == ["train", "test"]
    assert tasks.ids("train") == ["a", "b"]
    assert tasks.count("train") == 2
    assert tasks.get("train", 1).id == "b"
    assert tasks.find("c").split == "test"
    assert [t.id for t in tasks.range("train", 0, 1)] == ["a"]
    assert [t.id for t in tasks.range("train", -1)] == ["b"]
    assert tasks.get("train", 0).public() == {
        "id": "a",
        "split": "train",
        "index": 0,
        "instruction": "Do a.",
        "metadata": {"difficulty": "easy"},
    }


def test_tasks_that_are_not_there_are_said(tasks: TaskSet):
    with pytest.raises(KeyError, match="nope"):
        tasks.ids("nope")
    with pytest.raises(IndexError, match="has 2 tasks"):
        tasks.get("train", 2)
    with pytest.raises(IndexError):
        tasks.get("train", -1)
    with pytest.raises(KeyError, match="nope"):
        tasks.find("nope")
