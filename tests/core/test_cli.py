"""The command line."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pexpect
import pytest

from paddock.cli import main
from paddock.cli.run_command import candidates, parse_line
from paddock.errors import InvalidMessage
from paddock.tools import action_models, tools_of
from paddock_terminal import SPEC

TOOLS = tools_of(action_models(SPEC.action))


def test_list_names_what_is_installed(capsys: pytest.CaptureFixture[str]):
    assert main(["list"]) == 0
    assert capsys.readouterr().out.startswith("terminal@0.1  ")
    assert main(["list", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[0]["name"] == "terminal"


def test_info_shows_actions_options_and_tasks(capsys: pytest.CaptureFixture[str]):
    assert main(["info", "terminal"]) == 0
    said = capsys.readouterr().out
    for part in ("run: Run a command", "command: string (required)", "task_id", "fix-the-median"):
        assert part in said
    assert main(["info", "terminal", "--json"]) == 0
    assert "send_keys" in json.loads(capsys.readouterr().out)["actions"]


def test_doctor_says_what_there_is(capsys: pytest.CaptureFixture[str]):
    assert main(["doctor"]) == 0
    said = capsys.readouterr().out
    assert "env terminal" in said
    assert "/dev/shm" in said


def test_doctor_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["doctor"]) == 1
    assert "MISSING  bash" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "status", "says"),
    [
        (["info", "termnal"], 64, "did you mean 'terminal'"),
        (["serve", "terminal", "--host", "0.0.0.0"], 78, "refusing to serve 0.0.0.0"),
        (["serve", "terminal", "--capacity", "0"], 78, "at least 1 session"),
    ],
)
def test_mistakes_are_one_line_without_a_traceback(
    capsys: pytest.CaptureFixture[str], argv: list[str], status: int, says: str
):
    assert main(argv) == status
    said = capsys.readouterr().err
    assert says in said
    assert said.count("\n") == 1


class TestPlaying:
    @pytest.mark.parametrize(
        ("line", "action"),
        [
            ("ls -l | wc", {"type": "run", "command": "ls -l | wc"}),
            ("echo 'open quote", {"type": "run", "command": "echo 'open quote"}),
            (
                '/run command="sleep 3" timeout_s=1',
                {"type": "run", "command": "sleep 3", "timeout_s": 1},
            ),
            ("/run make all", {"type": "run", "command": "make all"}),
            ("/send_keys C-c Enter", {"type": "send_keys", "keys": ["C-c", "Enter"]}),
            ("/send_keys 'a b' quiet_s=1", {"type": "send_keys", "keys": ["a b"], "quiet_s": 1}),
            ("/wait", {"type": "wait"}),
            ("/resize rows=30 cols=90", {"type": "resize", "rows": 30, "cols": 90}),
        ],
    )
    def test_a_line_becomes_an_action(self, line: str, action: dict[str, object]):
        assert parse_line(line, TOOLS) == action

    def test_an_unknown_action_is_refused(self):
        with pytest.raises(InvalidMessage, match="/run, /send_keys"):
            parse_line("/nope", TOOLS)

    def test_words_are_completed(self):
        assert "/send_keys " in candidates("/se", TOOLS)
        assert "/quit" in candidates("/", TOOLS)
        assert candidates("/wait ti", TOOLS)[0] == "timeout_s="
        assert candidates("ls", TOOLS) == []

    def test_a_person_plays_an_episode(self, tmp_path: Path):
        env = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "dumb"}
        game = pexpect.spawn(
            sys.executable, ["-m", "paddock", "run", "terminal"], env=env, timeout=20,
            encoding="utf-8",
        )  # fmt: skip
        game.expect("terminal> ")
        game.sendline("echo $((6 * 7))")
        game.expect("42\r\n")
        game.expect("terminal> ")
        game.send("/res\t")
        game.sendcontrol("u")
        game.sendline("/reset task_id=fix-the-median")
        game.expect("prints the median")
        game.expect("terminal> ")
        game.sendline("/evaluate")
        game.expect(r"done, reward 0\.0")
        game.expect("terminal> ")
        game.sendline("ls")
        game.expect("reset to begin another")
        game.expect("terminal> ")
        game.sendline("/quit")
        game.expect(pexpect.EOF)
        game.close()
        assert game.exitstatus == 0
        assert "/evaluate" in (tmp_path / "paddock" / "terminal.history").read_text()


def test_the_module_runs_too():
    done = subprocess.run(
        [sys.executable, "-m", "paddock", "--help"], capture_output=True, timeout=20, check=True
    )
    assert b"doctor" in done.stdout
