"""Tasks that are not sound are caught, and what is wrong with them is named."""

from pathlib import Path

import pytest

from paddock.cli import main
from paddock.sandbox.levels import choose
from paddock.tasks import Rows, TaskRow, TaskSet
from paddock.verification import Finding, verify
from paddock_terminal import SPEC

CHECK = '# the secret check of this task\n[ "$(cat answer.txt)" = forty-two ]\n'
GOOD = {
    "id": "good",
    "instruction": "Write it.",
    "tests": {"files": {"tests/test.sh": CHECK}},
    "solution": "echo forty-two > answer.txt\n",
    "answers": ["forty-two"],
}


async def found(row: dict[str, object], times: int = 2) -> list[Finding]:
    tasks = TaskSet(sources={"x": Rows([TaskRow.model_validate(row)])}).range("x")
    level = (await choose()).level
    return await verify(SPEC, tasks, [level], by_value=True, times=times)


async def test_a_sound_task_has_no_findings():
    assert await found(GOOD) == []


@pytest.mark.parametrize(
    ("change", "kind", "says"),
    [
        ({"solution": "echo 41 > answer.txt\n"}, "solution", "earns 0.0 and not 1"),
        ({"solution": "echo oops; exit 3\n"}, "solution", "ended with 3: oops"),
        ({"solution": None}, "unplayable", "there is no solution"),
        ({"tests": {"files": {"tests/test.sh": "true\n"}}}, "nothing", "earns 1.0 and not 0"),
        ({"tests": {"command": ["sleep", "9"], "timeout_s": 0.3}}, "nothing", "did not end"),
        ({"workspace": {"files": {"t/check": CHECK}}}, "leak", "tests/test.sh in "),
        ({"workspace": {"files": {".x": "it is forty-two"}}}, "leak", "answer 1 in "),
        (
            {"workspace": {"setup": [["sh", "-c", "echo forty-two | gzip > ~/a"]]}},
            "leak",
            "/home/a",
        ),
        ({"instruction": "Write forty-two."}, "leak", "what the agent is told"),
    ],
    ids=lambda v: str(v)[:40],
)
async def test_what_is_wrong_is_named(change: dict[str, object], kind: str, says: str):
    findings = [f for f in await found(GOOD | change) if f.kind == kind]
    assert findings
    assert says in str(findings)
    assert findings[0].task_id == "good"


async def test_a_check_that_changes_its_mind_is_caught():
    # Twelve throws of a coin that are all alike, for one role and the other: 1 in 2,000.
    coin = {"tests": {"files": {"tests/test.sh": "exit $((RANDOM % 2))\n"}}}
    assert "unstable" in {f.kind for f in await found(GOOD | coin, times=12)}


def test_the_command_line_lists_and_shows(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    path = tmp_path / "own.jsonl"
    path.write_text(TaskRow.model_validate(GOOD).model_dump_json() + "\n")
    assert main(["tasks", "list", "terminal"]) == 0
    assert "fix-the-median" in capsys.readouterr().out
    assert main(["tasks", "list", "terminal", "--tasks", str(path)]) == 0
    assert capsys.readouterr().out == "own[0]  good  Write it.\n"
    assert main(["tasks", "show", "terminal", "good", "--tasks", str(path)]) == 0
    said = capsys.readouterr().out
    assert "Write it." in said
    assert "forty-two" not in said
    assert main(["tasks", "show", "terminal", "nope"]) == 78
