"""Checks: how they are run, what they say, and what keeps them from saying anything."""

import os
import re
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from judging import LEVELS, Court, court
from paddock.errors import ConfigurationError
from paddock.evaluation import Check
from paddock.evaluation.rewards import Unreadable, parse
from paddock.evaluation.staging import stage
from paddock.sandbox.confinement import Level

TXT = 'echo "$SAID" > /logs/verifier/reward.txt'


@pytest.fixture(params=LEVELS, ids=str)
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncGenerator[Court]:
    async with court(request.param, tmp_path) as bench:
        yield bench


@pytest.fixture
async def one(tmp_path: Path) -> AsyncGenerator[Court]:
    async with court(LEVELS[0], tmp_path) as bench:
        yield bench


class TestVerdicts:
    @pytest.mark.parametrize(("code", "reward"), [(0, 1.0), (1, 0.0), (77, 0.0)])
    async def test_a_bare_command_is_judged_by_its_exit_status(
        self, one: Court, code: int, reward: float
    ):
        verdict = await one.judge({"test.sh": f"echo seen; exit {code}"})
        assert (verdict.reward, verdict.exit_code, verdict.error) == (reward, code, None)
        assert verdict.output == b"seen\n"
        assert verdict.rewards == {"reward": reward}

    async def test_harbors_reward_files_need_no_configuration(self, bench: Court):
        await bench.act("echo 42 > answer")
        verdict = await bench.judge(
            {
                "test.sh": "mkdir -p /logs/verifier\npython3 /tests/check.py",
                "check.py": "import json, helper, pathlib\n"
                "right = pathlib.Path('answer').read_text() == helper.RIGHT\n"
                "pathlib.Path('/logs/verifier/reward.json').write_text("
                "json.dumps({'reward': 0.5 * right, 'style': 1}))\n",
                "helper.py": "RIGHT = '42\\n'",
            }
        )
        assert verdict.error is None, verdict.output
        assert verdict.reward == 0.5
        assert verdict.rewards == {"reward": 0.5, "style": 1.0}
        assert verdict.as_metadata()["check"]["trust"] == "cooperative"

    async def test_the_exit_status_does_not_matter_where_there_is_a_reward_file(self, one: Court):
        verdict = await one.judge({"test.sh": "echo 0.25 > /logs/verifier/reward.txt; exit 1"})
        assert (verdict.reward, verdict.exit_code) == (0.25, 1)

    async def test_a_second_evaluation_says_the_same(self, one: Court):
        await one.act("touch done")
        check = {"test.sh": "test -e done && rm done"}
        assert [(await one.judge(check)).reward for _ in range(2)] == [1.0, 1.0]

    async def test_the_check_is_somebody_else(self, bench: Court):
        mine = await bench.act('echo "$HOME $TMPDIR"; id -u')
        verdict = await bench.judge({"test.sh": 'echo "$HOME $TMPDIR"; id -u; touch "$0" /tests/x'})
        lines, theirs = mine.split("\n"), verdict.output.decode().split("\n")
        assert theirs[0] != lines[0]
        assert verdict.reward == 0.0  # its own files cannot be changed
        assert "/check-" in verdict.output.decode()
        if bench.sandboxes.level is Level.UID:
            assert theirs[1] != lines[1]


class TestNoVerdict:
    @pytest.mark.parametrize(
        "said",
        ["", "one", "nan", "inf", "1e999", "1_0", "0x1", "1 1", "\x00", "\ufeff1", "1" * 70_000],
        ids=lambda said: repr(said[:8]),
    )
    def test_garbage_in_a_text_is_no_number(self, said: str):
        with pytest.raises(Unreadable):
            parse(said.encode(), None)

    @pytest.mark.parametrize(
        "said",
        [
            "", "1", "[1]", "null", "{}", '{"a": 1, "b": 1}', '{"reward": "1"}',
            '{"reward": true}', '{"reward": NaN}', '{"reward": Infinity}', '{"reward": 1e999}',
            '{"reward": 0, "reward": 1}', '{"reward": 1, "x": null}', "[" * 60_000,
            '{"reward": 1' + "0" * 400 + "}", '{"reward": ' + "9" * 5000 + "}", '{"reward": 1} 1',
        ],
        ids=lambda said: repr(said[:20]),
    )  # fmt: skip
    def test_garbage_in_an_object_is_no_reward(self, said: str):
        with pytest.raises(Unreadable):
            parse(None, said.encode())

    def test_two_files_have_to_agree(self):
        assert parse(b"0.5\n", b'{"reward": 0.5, "a": 1}') == (0.5, {"reward": 0.5, "a": 1.0})
        assert parse(None, b'{"accuracy": 1}') == (1.0, {"accuracy": 1.0})
        with pytest.raises(Unreadable, match="do not agree"):
            parse(b"1", b'{"reward": 0}')

    @pytest.mark.parametrize(
        ("script", "error"),
        [
            ("exit 0 # no reward.txt", "neither reward.txt nor reward.json"),
            ("head -c 9999 /dev/urandom > /logs/verifier/reward.txt", "not a number|more than"),
            ("mkdir /logs/verifier/reward.txt", "not a regular file"),
            ("mkfifo /logs/verifier/reward.json", "not a regular file"),
            ("ln -s /etc/hostname /logs/verifier/reward.txt", "not a regular file"),
            ("echo 1 > /logs/verifier/reward.txt; kill -9 $$", "signal 9"),
            ("echo 1 > /logs/verifier/reward.txt; kill -SEGV $$", "signal 11"),
            ("echo 1 > /logs/verifier/reward.txt; sleep 60", "did not end within 1 s"),
            ("echo 1 > /logs/verifier/reward.txt; sleep 60 &", "before all that it had started"),
            ("yes", "did not end within 1 s"),
        ],
    )
    async def test_a_check_that_fails_says_why_and_never_0(
        self, one: Court, script: str, error: str
    ):
        verdict = await one.judge({"test.sh": script}, toml="timeout_sec = 1")
        assert verdict.reward is None
        assert verdict.error is not None
        assert re.search(error, verdict.error), verdict.error
        assert len(verdict.output) <= 20_000

    async def test_a_check_that_uses_too_much_is_ended_without_a_verdict(self, bench: Court):
        eat = "python3 -c \"x = b'x' * (400 << 20); import time; time.sleep(9)\"; exit 0"
        verdict = await bench.judge({"test.sh": eat})
        assert verdict.reward is None
        assert "limit: memory" in (verdict.error or ""), verdict

    async def test_a_check_without_its_files_could_not_be_run(self, one: Court):
        verdict = await one.judge({}, toml='command = ["/tests/nothing"]')
        assert verdict.reward is None
        assert "could not be started" in (verdict.error or "")


TREE = "mkdir out; echo 1 > out/a; echo 2 > b; echo 3 > c; echo changed > given"
GIVEN = {"given": "as it was\n"}
LOOK = {"test.sh": "find . -type f | sort; cat given"}


class TestFresh:
    async def test_only_what_is_declared_reaches_a_fresh_sandbox(self, bench: Court):
        await bench.act(TREE)
        verdict = await bench.judge(
            LOOK, template=GIVEN,
            toml='fresh = true\nartifacts = ["out", "b", "missing"]',
        )  # fmt: skip
        assert verdict.output.decode().split() == ["./b", "./given", "./out/a", "as", "it", "was"]

    async def test_otherwise_all_of_the_workspace_does(self, one: Court):
        await one.act(TREE)
        verdict = await one.judge(LOOK, template=GIVEN)
        assert verdict.output.decode().split() == ["./b", "./c", "./given", "./out/a", "changed"]

    async def test_what_cannot_be_copied_is_no_verdict(self, one: Court):
        await one.act("truncate -s 200M huge")
        verdict = await one.judge({"test.sh": "exit 0"})
        assert verdict.reward is None
        assert "could not be copied" in (verdict.error or "")

    async def test_modes_links_and_odd_names_are_copied_and_sockets_named(self, one: Court):
        await one.act("echo x > $'a\\nb'; chmod 754 $'a\\nb'; ln -s nowhere link; mkfifo pipe")
        verdict = await one.judge({"test.sh": "stat -c %a $'a\\nb'; readlink link; test ! -e pipe"})
        assert verdict.output.decode().split() == ["754", "nowhere"]
        assert (verdict.reward, verdict.left_out) == (1.0, ("pipe",))


class TestStaging:
    @pytest.mark.parametrize(
        ("text", "changed"),
        [
            ("bash /tests/run.sh", True), ("cd /tests", True), ("'/tests'", True),
            ("X=/logs/verifier/a", True), ("$HERE/tests/x", False), ("./tests/x", False),
            ("/usr/tests/x", False), ("/testsuite", False), ("/logs/verifiers", False),
            ("${D}/tests", False), ("https://a/tests/x", False),
        ],
    )  # fmt: skip
    def test_harbors_paths_are_translated_where_they_stand_alone(
        self, tmp_path: Path, text: str, changed: bool
    ):
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "test.sh").write_text(text)
        staged = stage(Check(files=tmp_path / "in"), tmp_path / "T", tmp_path / "L")
        assert ((tmp_path / "T" / "test.sh").read_text() != text) == changed
        assert staged.command == ("bash", f"{tmp_path}/T/test.sh")
        assert not staged.reads_file

    def test_data_is_left_as_it_is(self, tmp_path: Path):
        (tmp_path / "in").mkdir()
        (tmp_path / "in" / "data").write_bytes(b"\0 /tests reward.txt")
        staged = stage(Check(files=tmp_path / "in"), tmp_path / "T", tmp_path / "L")
        assert (tmp_path / "T" / "data").read_bytes() == b"\0 /tests reward.txt"
        assert not staged.reads_file

    @pytest.mark.parametrize(
        "line", ['reads = "both"', "artifacts = 3", "env = 1", 'command = "x"', "protected = [1]"]
    )
    def test_a_setting_that_makes_no_sense_is_refused(self, tmp_path: Path, line: str):
        (tmp_path / "task.toml").write_text(f"[verifier]\n{line}")
        with pytest.raises(ConfigurationError):
            Check.of_task(tmp_path)

    async def test_variables_of_the_task_reach_the_check(self, one: Court):
        verdict = await one.judge({"test.sh": TXT}, toml='env = { SAID = "0.75" }')
        assert verdict.reward == 0.75


async def test_nothing_of_an_evaluation_is_left(bench: Court):
    await bench.judge({"test.sh": "sleep 100 & disown"})
    root = bench.sandbox.path.parent
    with anyio.fail_after(10):
        while any("check-" in name for name in _names(root)):
            await anyio.sleep(0.05)


def _names(root: Path) -> list[str]:
    return [name for _, names, _ in os.walk(root) for name in names]
