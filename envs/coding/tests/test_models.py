"""The models of the coding environment, through the codec that every door uses."""

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from paddock.errors import InvalidMessage
from paddock.tools import tools_of
from paddock_coding import SPEC, Code, CodingDetails, CodingObservation, CodingOptions, Run
from paddock_coding.models import ErrorInfo, FileSpec, MimeBundle, Truncation

CODEC = SPEC.codec()
TOOLS = tools_of(CODEC.actions)

EXAMPLES: dict[str, dict[str, Any]] = {
    "code": {"code": "x = 1", "session": "other", "timeout_s": 5},
    "run": {
        "code": "int main() {}",
        "language": "c",
        "stdin": "1\n",
        "args": ["-v"],
        "env": {"LANG": "C"},
        "files": {"a.txt": "a", "b": {"content_b64": "AAE=", "mode": "755"}},
        "fetch": ["*.png"],
        "limits": {"memory_mb": 64},
        "timeout_s": 5,
    },
    "run_tests": {"select": ["test_a"]},
    "interrupt": {},
    "restart": {"session": "other"},
    "write_file": {"path": "a.txt", "content": "a"},
    "read_file": {"path": "a.txt", "offset": 1, "max_bytes": 10},
    "list_files": {"pattern": "**/*.py"},
    "submit": {"answer": "42"},
}


def read(action: dict[str, Any]) -> Any:
    return CODEC.read(json.dumps({"type": "step", "data": action})).data


@pytest.mark.parametrize("name", TOOLS)
def test_every_action_is_read_by_its_name(name: str):
    action = read({"type": name, **EXAMPLES[name]})

    assert type(action) is TOOLS[name].model
    assert action.type == name


def test_a_bare_code_action_is_understood():
    assert read({"code": "1 + 1"}) == Code(code="1 + 1")


@pytest.mark.parametrize("name", TOOLS)
def test_every_action_and_argument_has_a_description_for_the_model(name: str):
    tool = TOOLS[name]

    assert tool.description
    assert all(p.get("description") for p in tool.input_schema["properties"].values())


@pytest.mark.parametrize("name", TOOLS)
def test_an_unknown_argument_is_refused_by_name(name: str):
    with pytest.raises(InvalidMessage, match="shell: Extra inputs"):
        read({"type": name, **EXAMPLES[name], "shell": True})


@pytest.mark.parametrize("timeout_s", [0, -1, float("inf"), "soon"])
def test_a_time_limit_is_a_positive_number_of_seconds(timeout_s: Any):
    with pytest.raises(InvalidMessage, match="timeout_s"):
        read({"code": "1", "timeout_s": timeout_s})


@pytest.mark.parametrize("content", [{}, {"content": "a", "content_b64": "YQ=="}])
def test_a_file_is_written_from_one_content(content: dict[str, str]):
    with pytest.raises(InvalidMessage, match="exactly one of content, content_b64"):
        read({"type": "write_file", "path": "a", **content})


def test_bytes_that_are_not_base64_are_refused():
    with pytest.raises(InvalidMessage, match="not base64"):
        read({"type": "write_file", "path": "a", "content_b64": "%%%"})


def test_a_file_of_a_run_is_text_or_a_file_spec():
    run = read({"type": "run", **EXAMPLES["run"]})

    assert isinstance(run, Run)
    assert run.files == {"a.txt": "a", "b": FileSpec(content_b64="AAE=", mode="755")}


def test_an_observation_has_no_field_that_openenvs_coding_client_forbids():
    frame = json.loads(CODEC.write_observation(CodingObservation()))

    assert set(frame["data"]["observation"]) == {"stdout", "stderr", "exit_code", "metadata"}


def test_details_come_back_from_the_wire_as_they_went():
    details = CodingDetails(
        status="error",
        error=ErrorInfo(name="ValueError", value="no", traceback=["line 1"]),
        display=[MimeBundle(data={"image/png": "AAE=", "application/json": {"a": [1]}})],
        truncated={"stdout": Truncation(total_bytes=10, kept_bytes=5)},
        files_changed=["a.txt"],
    )
    sent = CodingObservation(exit_code=1, metadata=details.as_metadata())

    frame = json.loads(CODEC.write_observation(sent))

    assert CodingObservation.model_validate(frame["data"]["observation"]).details == details


def test_metadata_of_others_do_not_hide_the_details():
    observation = CodingObservation(metadata={"status": "timeout", "ignored_options": ["color"]})

    assert observation.details == CodingDetails(status="timeout")


def test_a_verdict_needs_nothing_but_done_and_reward():
    frame = json.loads(CODEC.write_observation(CodingObservation(done=True, reward=1.0)))

    assert (frame["data"]["done"], frame["data"]["reward"]) == (True, 1.0)


def test_a_state_can_be_written_before_anything_has_happened():
    state = json.loads(CODEC.write_state(SPEC.state()))

    assert state["data"]["last_exit_code"] == 0


def test_a_reset_takes_a_task_by_value_and_keeps_what_it_does_not_know():
    options = CodingOptions.model_validate(
        {
            "task": {"id": "t", "tests": {"files": {"tests/test.sh": "exit 0"}}},
            "workspace": {"files": {"link": {"symlink_to": "a"}}},
            "limits": {"memory_mb": 512},
            "difficulty": "hard",
        }
    )

    assert options.task is not None
    assert options.task.tests is not None
    assert options.task.tests.command == ["bash", "tests/test.sh"]
    assert options.model_extra == {"difficulty": "hard"}


@pytest.mark.parametrize("source", [{}, {"content": "a", "symlink_to": "b"}])
def test_a_file_to_begin_with_has_one_source(source: dict[str, str]):
    with pytest.raises(ValidationError, match="exactly one of content, content_b64, symlink_to"):
        CodingOptions.model_validate({"workspace": {"files": {"a": source}}})


def test_the_readme_lists_every_action():
    readme = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")

    assert [name for name in TOOLS if f"| `{name}`" not in readme] == []
