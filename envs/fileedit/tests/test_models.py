"""The models of the file editing environment, through the codec that every door uses."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from paddock.errors import InvalidMessage
from paddock.tools import tools_of
from paddock_fileedit import SPEC, FileEditObservation, FileEditOptions, Insert, View
from paddock_fileedit.models import Diagnostic, FileChange, Match

CODEC = SPEC.codec()
TOOLS = tools_of(CODEC.actions)

EXAMPLES: dict[str, dict[str, Any]] = {
    "view": {"path": "a.py", "view_range": [10, -1], "max_characters": 100},
    "create": {"path": "a.py", "file_text": "x = 1\n", "overwrite": True, "encoding": "utf-8"},
    "str_replace": {"path": "a.py", "old_str": "x", "new_str": "y", "expected_etag": "ab12"},
    "insert": {"path": "a.py", "insert_line": 0, "insert_text": "# top\n"},
    "delete": {"path": "a", "recursive": True},
    "move": {"path": "a.py", "destination": "b.py"},
    "copy": {"path": "a.py", "destination": "b.py", "overwrite": True},
    "mkdir": {"path": "a/b"},
    "multi_edit": {"path": "a.py", "edits": [{"old_str": "x", "new_str": "y"}], "dry_run": True},
    "apply_patch": {"patch": "*** Begin Patch\n*** End Patch\n", "fuzzy": "indentation"},
    "apply_diff": {"patch": "--- a/x\n+++ b/x\n", "strip": 0, "atomic": False},
    "undo": {},
    "redo": {},
    "find": {"glob": "*.py"},
    "grep": {"pattern": "def .*", "glob": "*.py", "mode": "count", "context": 2},
    "diff": {"path": "a.py"},
    "check": {},
    "submit": {},
}


def read(action: dict[str, Any]) -> Any:
    return CODEC.read(json.dumps({"type": "step", "data": action})).data


@pytest.mark.parametrize("name", TOOLS)
def test_every_action_is_read_by_its_name(name: str):
    action = read({"type": name, **EXAMPLES[name]})

    assert type(action) is TOOLS[name].model
    assert action.type == name


def test_a_bare_path_is_viewed():
    assert read({"path": "a.py"}) == View(path="a.py")


@pytest.mark.parametrize("name", TOOLS)
def test_every_action_and_argument_has_a_description_for_the_model(name: str):
    tool = TOOLS[name]

    assert tool.description
    assert all(p.get("description") for p in tool.input_schema["properties"].values())


@pytest.mark.parametrize("name", TOOLS)
def test_an_unknown_argument_is_refused_by_name(name: str):
    with pytest.raises(InvalidMessage, match="shell: Extra inputs"):
        read({"type": name, **EXAMPLES[name], "shell": True})


@pytest.mark.parametrize("content", [{}, {"file_text": "a", "file_b64": "YQ=="}])
def test_a_file_is_created_from_one_content(content: dict[str, str]):
    with pytest.raises(InvalidMessage, match="exactly one of file_text, file_b64"):
        read({"type": "create", "path": "a", **content})


def test_nothing_cannot_be_replaced():
    with pytest.raises(InvalidMessage, match="old_str"):
        read({"type": "str_replace", "path": "a", "old_str": ""})


@pytest.mark.parametrize("view_range", [[1], [1, 2, 3], ["a", "b"]])
def test_a_range_is_two_line_numbers(view_range: list[Any]):
    with pytest.raises(InvalidMessage, match="view_range"):
        read({"path": "a", "view_range": view_range})


def test_text_to_insert_may_have_its_older_name():
    action = read({"type": "insert", "path": "a", "insert_line": 1, "new_str": "x"})

    assert action == Insert(path="a", insert_line=1, insert_text="x")
    assert "insert_text" in TOOLS["insert"].input_schema["properties"]


def test_an_edit_among_several_needs_a_file():
    with pytest.raises(InvalidMessage, match="give path"):
        read({"type": "multi_edit", "edits": [{"path": "a", "old_str": "x"}, {"old_str": "y"}]})


def test_a_full_observation_comes_back_from_the_wire_as_it_went():
    sent = FileEditObservation(
        output="done",
        path="a.py",
        matches=[Match(path="a.py", line=3, text="x", score=0.9, hint="tabs")],
        changes=[FileChange(path="a.py", kind="M", added=1, removed=1)],
        diagnostics=[Diagnostic(path="a.py", line=3, message="invalid syntax")],
        eol="crlf",
        next_range=[100, 200],
    )

    frame = json.loads(CODEC.write_observation(sent))

    assert FileEditObservation.model_validate(frame["data"]["observation"]) == sent


def test_a_verdict_needs_nothing_but_done_and_reward():
    frame = json.loads(CODEC.write_observation(FileEditObservation(done=True, reward=1.0)))

    assert (frame["data"]["done"], frame["data"]["reward"]) == (True, 1.0)


def test_a_state_can_be_written_before_anything_has_happened():
    state = json.loads(CODEC.write_state(SPEC.state()))

    assert state["data"]["tree_hash"] == ""


def test_a_reset_takes_files_and_keeps_what_it_does_not_know():
    options = FileEditOptions.model_validate(
        {"workspace": {"files": {"a": "text"}}, "toolset": "codex", "difficulty": "hard"}
    )

    assert options.workspace is not None
    assert options.workspace.files == {"a": "text"}
    assert options.model_extra == {"difficulty": "hard"}


def test_an_unknown_toolset_is_refused():
    with pytest.raises(ValidationError, match="toolset"):
        FileEditOptions(toolset="vim")


def test_the_readme_lists_every_action():
    readme = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")

    assert [name for name in TOOLS if f"| `{name}`" not in readme] == []
