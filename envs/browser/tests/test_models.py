"""The models of the browser environment, through the codec that every door uses."""

import json
from pathlib import Path
from typing import Any

import pytest

from paddock.errors import InvalidMessage
from paddock.tools import RESERVED, tools_of
from paddock_browser import (
    SPEC,
    ActionError,
    BrowserGym,
    BrowserObservation,
    BrowserOptions,
    Click,
    Drag,
    ObserveSpec,
    TabInfo,
)

CODEC = SPEC.codec()
TOOLS = tools_of(CODEC.actions)

EXAMPLES: dict[str, dict[str, Any]] = {
    "browsergym": {"action_str": "click('e12')"},
    "browser_navigate": {"url": "https://example.com", "timeout_s": 5},
    "browser_navigate_back": {},
    "browser_navigate_forward": {},
    "browser_reload": {},
    "browser_tabs": {"action": "select", "index": 1},
    "browser_snapshot": {"depth": 3, "boxes": True},
    "browser_find": {"regex": "/total/i"},
    "browser_take_screenshot": {"fullPage": True, "format": "jpeg", "marks": True},
    "browser_click": {"target": "e1", "doubleClick": True, "modifiers": ["Shift"]},
    "browser_hover": {"target": "e1", "element": "the menu"},
    "browser_type": {"target": "e1", "text": "hello", "submit": True, "slowly": True},
    "browser_clear": {"target": "e1"},
    "browser_fill_form": {
        "fields": [{"target": "e1", "name": "Agree", "type": "checkbox", "value": "true"}]
    },
    "browser_press_key": {"key": "Enter"},
    "browser_select_option": {"target": "e1", "values": ["blue"]},
    "browser_check": {"target": "e1"},
    "browser_uncheck": {"target": "e1"},
    "browser_drag": {"startTarget": "e1", "endTarget": "e2", "startElement": "card"},
    "browser_drop": {"target": "e1", "data": {"text/plain": "hello"}},
    "browser_scroll": {"direction": "down"},
    "browser_file_upload": {"paths": ["a.txt"]},
    "browser_handle_dialog": {"accept": True, "promptText": "Ada"},
    "browser_wait_for": {"textGone": "Loading"},
    "browser_console_messages": {"level": "error", "all": True},
    "browser_network_requests": {"static": True, "filter": "/api/"},
    "browser_mouse_move_xy": {"x": 1, "y": 2.5},
    "browser_mouse_click_xy": {"x": 1, "y": 2, "clickCount": 2, "delay": 10, "button": "right"},
    "browser_mouse_drag_xy": {"startX": 1, "startY": 2, "endX": 3, "endY": 4},
    "browser_mouse_down": {},
    "browser_mouse_up": {"button": "middle"},
    "browser_mouse_wheel": {"deltaX": 0, "deltaY": -100},
    "browser_evaluate": {"function": "() => document.title"},
    "send_message": {"text": "Which colour?"},
    "report_infeasible": {"reason": "The shop is closed."},
    "finish": {"answer": "42"},
    "noop": {},
}


def read(action: dict[str, Any]) -> Any:
    return CODEC.read(json.dumps({"type": "step", "data": action})).data


@pytest.mark.parametrize("name", TOOLS)
def test_every_action_is_read_by_its_name(name: str):
    action = read({"type": name, **EXAMPLES[name]})

    assert type(action) is TOOLS[name].model
    assert action.type == name


@pytest.mark.parametrize("name", TOOLS)
def test_an_action_sent_from_python_is_read_as_the_same_action(name: str):
    action = TOOLS[name].model.model_validate(EXAMPLES[name])

    assert read(action.model_dump(mode="json")) == action


def test_what_openenvs_browsergym_client_sends_is_understood():
    action = read({"action_str": "click('e12')", "metadata": {}})

    assert action == BrowserGym(action_str="click('e12')")


@pytest.mark.parametrize("name", TOOLS)
def test_every_action_and_argument_has_a_description_for_the_model(name: str):
    tool = TOOLS[name]

    assert tool.description
    assert all(p.get("description") for p in tool.input_schema["properties"].values())


@pytest.mark.parametrize("name", TOOLS)
def test_an_unknown_argument_is_refused_by_name(name: str):
    with pytest.raises(InvalidMessage, match="filename: Extra inputs"):
        read({"type": name, **EXAMPLES[name], "filename": "out.md"})


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("browser_click", {"target", "element", "doubleClick", "button", "modifiers"}),
        ("browser_drag", {"startTarget", "startElement", "endTarget", "endElement"}),
        ("browser_handle_dialog", {"accept", "promptText"}),
        ("browser_type", {"target", "element", "text", "submit", "slowly"}),
        ("browser_wait_for", {"time", "text", "textGone"}),
    ],
)
def test_arguments_are_called_as_in_playwright_mcp(name: str, arguments: set[str]):
    assert set(TOOLS[name].input_schema["properties"]) == arguments | {"timeout_s"}


@pytest.mark.parametrize("name", ["target", "ref", "bid"])
def test_a_target_may_have_its_older_names(name: str):
    assert read({"type": "browser_click", name: "e1"}) == Click(target="e1")


def test_python_names_are_understood_on_the_wire():
    action = read({"type": "browser_drag", "start_target": "e1", "end_target": "e2"})

    assert action == Drag(start_target="e1", end_target="e2")


def test_a_step_can_override_what_is_observed_without_the_model_seeing_it():
    action = read({"type": "noop", "observe": {"screenshot": "viewport"}})

    assert action.observe == ObserveSpec(screenshot="viewport")
    assert not any("observe" in tool.input_schema["properties"] for tool in TOOLS.values())


def test_running_script_does_not_collide_with_the_verb_that_ends_an_episode():
    assert "browser_evaluate" in TOOLS
    assert RESERVED.isdisjoint(TOOLS)


@pytest.mark.parametrize(
    ("action", "complaint"),
    [
        ({"type": "browser_find"}, "exactly one of text, regex"),
        ({"type": "browser_tabs", "action": "select"}, "index"),
        ({"type": "browser_wait_for"}, "time, text or textGone"),
        ({"type": "browser_wait_for", "time": 31}, "time"),
        ({"type": "browser_drop", "target": "e1"}, "paths or data"),
        ({"type": "browser_scroll"}, "either direction, or dx and dy"),
        ({"type": "browser_scroll", "direction": "up", "dy": 1}, "either direction"),
        ({"type": "browser_take_screenshot", "fullPage": True, "target": "e1"}, "either fullPage"),
        ({"type": "browser_mouse_move_xy", "x": -1, "y": 0}, "x"),
        ({"type": "browser_navigate", "url": "http://a", "timeout_s": 0}, "timeout_s"),
    ],
    ids=lambda value: value["type"] if isinstance(value, dict) else "",
)
def test_arguments_that_make_no_sense_are_refused(action: dict[str, Any], complaint: str):
    with pytest.raises(InvalidMessage, match=complaint):
        read(action)


def test_a_full_observation_comes_back_from_the_wire_as_it_went():
    sent = BrowserObservation(
        snapshot="- button 'OK' [ref=e1]",
        tabs=[TabInfo(index=0, tab_id="t1", url="http://a", title="A")],
        error="e2 is behind e3",
        last_action_error=True,
        error_info=ActionError(code="obscured", message="e2 is behind e3", hint="click e3"),
    )

    frame = json.loads(CODEC.write_observation(sent))

    assert BrowserObservation.model_validate(frame["data"]["observation"]) == sent


def test_a_verdict_needs_nothing_but_done_and_reward():
    frame = json.loads(CODEC.write_observation(BrowserObservation(done=True, reward=1.0)))

    assert (frame["data"]["done"], frame["data"]["reward"]) == (True, 1.0)


def test_a_state_can_be_written_before_anything_has_happened():
    state = json.loads(CODEC.write_state(SPEC.state()))

    assert state["data"]["viewport"] == [1280, 720]


def test_a_reset_says_what_to_observe_and_keeps_what_it_does_not_know():
    options = BrowserOptions.model_validate(
        {"task_id": "open", "viewport": [800, 600], "observe": {"html": True}, "row": 7}
    )

    assert options.viewport == (800, 600)
    assert options.observe == ObserveSpec(html=True)
    assert options.model_extra == {"row": 7}


def test_the_readme_lists_every_action():
    readme = Path(__file__).parents[1].joinpath("README.md").read_text(encoding="utf-8")

    assert [name for name in TOOLS if f"| `{name}`" not in readme] == []
