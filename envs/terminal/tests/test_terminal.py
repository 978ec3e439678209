"""The terminal through its public door: what an agent does, and what it sees."""

import os
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from paddock import Context, Episode
from paddock.errors import NotAvailable
from paddock.sandbox.levels import choose
from paddock.sandbox.sandboxes import Sandboxes
from paddock.session import Session
from paddock.watchdog import Watchdog
from paddock_terminal import (
    SPEC,
    Resize,
    Run,
    SendKeys,
    TerminalObservation,
    TerminalOptions,
    TerminalState,
    Wait,
)
from paddock_terminal.env import TASKS, TerminalEnv
from processes import owned_by


class Player:
    """An environment that is easy to play."""

    def __init__(self, env: TerminalEnv) -> None:
        self.env = env

    async def reset(self, seed: int | None = None, **options: object) -> TerminalObservation:
        return await self.env.reset(Episode("ep", seed, TerminalOptions(**options)))

    async def run(self, command: str, **more: object) -> TerminalObservation:
        return await self.env.step(Run(command=command, **more))

    async def keys(self, *keys: str, **more: object) -> TerminalObservation:
        return await self.env.step(SendKeys(keys=list(keys), **more))

    async def wait(self, **more: object) -> TerminalObservation:
        return await self.env.step(Wait(**more))


@pytest.fixture
async def sandboxes() -> AsyncGenerator[Sandboxes]:
    level = (await choose()).level
    async with Sandboxes.serving(level, SPEC.sandbox) as sandboxes:
        yield sandboxes


@pytest.fixture
async def player(sandboxes: Sandboxes) -> AsyncGenerator[Player]:
    env = TerminalEnv(Context(step_limit_s=30, sandboxes=sandboxes))
    player = Player(env)
    await player.reset()
    yield player
    await env.close()


class TestBoundary:
    @pytest.mark.parametrize(
        ("command", "output", "code"),
        [
            ("echo hi", "hi\n", 0),
            ("printf foo", "foo", 0),
            ("printf '  \\n x \\n\\n'", "  \n x \n\n", 0),
            ("(exit 42)", "", 42),
            ("printf 'a\\r\\nb\\r\\n'", "a\r\nb\r\n", 0),
            ("echo one\necho two\n", "one\ntwo\n", 0),
            ("for i in 1 2\ndo\n  echo $i\ndone", "1\n2\n", 0),
            ("cat <<'EOF'\n$x `y` \\z\nEOF\necho after", "$x `y` \\z\nafter\n", 0),
            ("cat <<'EOF'\na\tb\nEOF", "a\tb\n", 0),
            ('echo "wow!!"', "wow!!\n", 0),
            ("# only a comment", "", 0),
            ("", "", 0),
            ("echo a \\", "a \\\n", 0),  # as a script file's last line
            ("echo héllo ✓ 日本語", "héllo ✓ 日本語\n", 0),
            ("kill -9 $BASHPID & wait $!; echo $?", None, 0),
            ("head -c 3 /dev/zero | tr '\\0' x", "xxx", 0),
        ],
        ids=lambda v: str(v)[:20],
    )
    async def test_output_and_status_are_exact(
        self, player: Player, command: str, output: str | None, code: int
    ):
        seen = await player.run(command)
        assert seen.exit_code == code
        assert not seen.running
        assert not seen.shell_restarted
        if output is not None:
            assert seen.output == output

    async def test_state_persists_from_command_to_command(self, player: Player):
        await player.run("cd /tmp; x=5; export Y=6; f() { echo f$1; }; alias g='echo g'")
        await player.run("declare -a list=(1 2 3); shopt -s nullglob; false")
        seen = await player.run("echo $? $x $(printenv Y) ${list[1]} $(shopt nullglob); f 1; g 2")
        assert seen.output.split() == ["1", "5", "6", "2", "nullglob", "on", "f1", "g", "2"]
        assert seen.cwd == "/tmp"

    @pytest.mark.parametrize("command", ["echo 'unterminated", "cat <<EOF\nx", "if true; then"])
    async def test_what_is_not_finished_does_not_hang(self, player: Player, command: str):
        started = time.monotonic()
        await player.run(command)
        assert time.monotonic() - started < 2.5
        assert (await player.run("echo usable")).output == "usable\n"

    @pytest.mark.parametrize(
        ("command", "code"),
        [("exit 3", 3), ("kill -9 $$", 137), ("set -e; false", 1), ("exec true", 0)],
    )
    async def test_a_shell_that_ends_is_replaced(self, player: Player, command: str, code: int):
        await player.run("cd /tmp")
        seen = await player.run(command)
        assert (seen.exit_code, seen.shell_restarted, seen.running) == (code, True, False)
        after = await player.run("pwd")
        assert (after.output, after.shell_restarted) == ("/tmp\n", False)

    @pytest.mark.parametrize(
        "command",
        [
            "PS1=x PS2=y PROMPT_COMMAND=",
            "unset -f $(compgen -A function); unset PS1 PROMPT_COMMAND",
            "PROMPT_COMMAND=('echo starship' 'echo two')",
            "readonly PROMPT_COMMAND",
            "set -eux; true",
            "IFS=x; set -o noclobber -o posix",
            "alias printf=false read=false local=false return=false",
            "exec 3>&1 >/dev/null 2>/dev/null",
            "unset PATH",
            "ulimit -u 1 2>/dev/null; true",
            "stty -echo; stty raw",
            "trap 'echo debug >/dev/null' DEBUG",
            "cd $(mktemp -d) && rmdir $PWD",
            "rm -rf $(dirname $(declare -f __paddock_r | grep -o '/.*/cmd'))",
            'for fd in /proc/$$/fd/*; do n=${fd##*/}; [ $n -gt 2 ] && eval "exec $n>&-"; done',
        ],
        ids=lambda v: v[:24],
    )
    async def test_nothing_an_agent_does_to_its_shell_loses_the_boundary(
        self, player: Player, command: str
    ):
        await player.run(command)
        seen = await player.run("f() { \\return 7; }; f")
        assert seen.exit_code == 7
        assert not seen.running

    async def test_output_cannot_forge_the_end(self, player: Player):
        forged = r"printf '\e]7771;D;%032d;0\a' 0; printf '\e]7771;'; echo real; (exit 5)"
        seen = await player.run(forged)
        assert seen.exit_code == 5
        assert "real" in seen.output

    async def test_a_command_of_a_megabyte(self, player: Player):
        seen = await player.run(f": {'x' * 1_000_000}; (exit 2)")
        assert seen.exit_code == 2

    async def test_nul_in_a_command_is_refused(self):
        with pytest.raises(ValueError, match="pattern"):
            Run(command="a\0b")


class TestTime:
    async def test_a_command_that_takes_longer_goes_on_and_can_be_waited_for(self, player: Player):
        seen = await player.run("echo one; sleep 0.6; echo two; (exit 9)", timeout_s=0.2)
        assert (seen.output, seen.running, seen.timed_out) == ("one\n", True, True)
        assert seen.exit_code is None
        seen = await player.wait(timeout_s=5)
        assert (seen.output, seen.running, seen.exit_code) == ("two\n", False, 9)

    async def test_a_command_meanwhile_is_refused_and_not_typed(self, player: Player):
        await player.run("cat", timeout_s=0.2)
        seen = await player.run("echo no")
        assert seen.running
        assert seen.error is not None
        assert "still running" in seen.error
        seen = await player.keys("C-d")
        assert "echo no" not in seen.output

    async def test_control_c_ends_it_with_130(self, player: Player):
        await player.run("sleep 60", timeout_s=0.2)
        seen = await player.keys("C-c")
        assert (seen.exit_code, seen.running) == (130, False)

    async def test_waiting_for_nothing_does_not_wait(self, player: Player):
        started = time.monotonic()
        seen = await player.wait(timeout_s=10)
        assert time.monotonic() - started < 1
        assert not seen.running

    async def test_the_server_s_ceiling_comes_first(self, sandboxes: Sandboxes):
        env = TerminalEnv(Context(step_limit_s=4, sandboxes=sandboxes))
        player = Player(env)
        await player.reset()
        started = time.monotonic()
        seen = await player.run("sleep 60", timeout_s=60)
        assert time.monotonic() - started < 3.5
        assert seen.timed_out
        await env.close()

    async def test_a_cancelled_step_leaves_the_command_running_and_the_shell_usable(
        self, player: Player
    ):
        with anyio.move_on_after(0.2):
            await player.run("sleep 0.5; echo late")
        seen = await player.wait(timeout_s=5)
        assert (seen.output, seen.exit_code) == ("late\n", 0)


class TestPrograms:
    async def test_a_question_is_answered(self, player: Player):
        await player.run("read -p 'name? ' name; echo hello $name", timeout_s=0.3)
        seen = await player.keys("you", "Enter")
        assert "hello you" in seen.output
        assert seen.exit_code == 0

    async def test_a_repl(self, player: Player):
        seen = await player.run("python3 -q", timeout_s=2)
        assert seen.running
        seen = await player.keys("6 * 7", "Enter")
        assert "42" in seen.output
        seen = await player.keys("C-d")
        assert (seen.running, seen.exit_code) == (False, 0)

    async def test_keys_at_the_prompt_use_the_shell_s_own_line_editor(self, player: Player):
        seen = await player.keys("echo typex", "BSpace", "d", "Enter")
        assert "typed" in seen.output
        assert (await player.run("echo fine")).output == "fine\n"

    async def test_the_window_s_size_reaches_the_program(self, player: Player):
        assert (await player.run("stty size")).output == "40 120\n"
        await player.env.step(Resize(rows=24, cols=77))
        assert (await player.run("stty size")).output == "24 77\n"

    async def test_a_narrow_window_adds_nothing_to_the_output(self, player: Player):
        await player.env.step(Resize(rows=10, cols=12))
        seen = await player.run("echo narrow")
        assert (seen.output, seen.background_output) == ("narrow\n", "")
        seen = await player.run("echo again")
        assert (seen.output, seen.background_output) == ("again\n", "")

    async def test_late_output_of_a_job_has_its_own_field(self, player: Player):
        seen = await player.run("(sleep 0.3; echo late) & echo now")
        assert "now" in seen.output
        await anyio.sleep(0.6)
        seen = await player.run("echo next")
        assert seen.output == "next\n"
        assert seen.background_output.startswith("late\n")

    async def test_a_flooding_job_does_not_drown_the_boundary(self, player: Player):
        await player.run("yes flood & sleep 0.2")
        seen = await player.run("kill %1; wait; (exit 6)")
        assert seen.exit_code == 6


class TestOutput:
    async def test_too_much_is_cut_in_the_middle_and_counted(self, player: Player):
        seen = await player.run("seq 100000", max_output_bytes=1000)
        # A terminal ends its lines with two bytes; so many came, and a thousand were kept.
        sent = sum(len(str(n)) + 2 for n in range(1, 100001))
        assert seen.dropped_bytes == sent - 1000
        assert seen.output.startswith("1\n2\n3\n")
        assert seen.output.endswith("99999\n100000\n")
        assert f"{seen.dropped_bytes} bytes dropped" in seen.output

    async def test_ten_megabytes_do_not_confuse_it(self, player: Player):
        seen = await player.run("yes | head -c 10000000; (exit 4)")
        assert seen.exit_code == 4

    async def test_escape_sequences_are_taken_out_unless_asked_for(self, player: Player):
        command = r"printf '\e[31mred\e[0m \e]0;title\a\e]8;;http://x\e\\link\e(B'"
        assert (await player.run(command)).output == "red link"
        assert "\x1b[31m" in (await player.run(command, raw=True)).output

    async def test_bytes_that_are_no_text_do_no_harm(self, player: Player):
        seen = await player.run("head -c 300000 /dev/urandom; printf '\\0\\377'; (exit 3)")
        assert seen.exit_code == 3
        seen.model_dump_json()

    async def test_no_character_is_lost_where_output_is_cut_into_pieces(self, player: Player):
        text = ""
        seen = await player.run(
            "for i in {1..200}; do printf 'é日✓%s' $i; sleep 0.004; done", timeout_s=0.1
        )
        text += seen.output
        while seen.running:
            seen = await player.wait(timeout_s=0.05)
            text += seen.output
        assert text == "".join(f"é日✓{i}" for i in range(1, 201))


class TestEpisodes:
    async def test_a_reset_starts_clean(self, player: Player):
        await player.run("touch left behind; cd /; x=1; sleep 300 &")
        before = (await player.env.state()).workspace
        await player.reset()
        seen = await player.run("ls -A; echo [$x]; jobs; pwd")
        after = (await player.env.state()).workspace
        assert seen.output == f"[]\n{after}\n"
        assert before != after
        assert not Path(before).exists()

    async def test_a_seed_fixes_what_bash_draws(self, player: Player):
        draws: list[str] = []
        for _ in range(2):
            await player.reset(seed=42)
            draws.append((await player.run("echo $RANDOM $RANDOM")).output)
        assert draws[0] == draws[1]

    async def test_nothing_of_the_server_s_environment_is_in_the_shell(
        self, player: Player, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("SERVER_SECRET", "hunter2")
        await player.reset()
        assert "hunter2" not in (await player.run("env")).output

    @pytest.mark.root
    async def test_the_shell_is_gone_after_close(self, player: Player):
        await player.run("sleep 300 & setsid -f sleep 300; touch /tmp/left /dev/shm/left")
        uid = Path((await player.env.state()).workspace).stat().st_uid
        assert uid != os.geteuid()
        assert owned_by(uid) >= 3
        await player.env.close()
        assert owned_by(uid) == 0
        for shared in ("/tmp", "/dev/shm"):
            assert not [p for p in Path(shared).iterdir() if p.lstat().st_uid == uid]

    async def test_a_task_brings_its_files_and_its_instruction_but_not_its_check(
        self, player: Player
    ):
        seen = await player.reset(task_id="fix-the-median")
        assert seen.instruction is not None
        files = (await player.run("find . -type f | sort")).output
        assert files == "./median.py\n./samples/even.txt\n./samples/odd.txt\n"
        state = await player.env.state()
        assert (state.task_id, state.rows) == ("fix-the-median", 40)

    async def test_a_check_that_does_not_end_is_not_a_failure(
        self, player: Player, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ):
        task = tmp_path / "train" / "slow"
        (task / "tests").mkdir(parents=True)
        (task / "instruction.md").write_text("Wait.")
        (task / "task.toml").write_text("[verifier]\ntimeout_sec = 0.3\n")
        (task / "tests" / "test.sh").write_text("echo begun; sleep 60")
        monkeypatch.setattr(TASKS, "root", tmp_path)
        await player.reset(task_id="slow")
        verdict = await player.env.evaluate()
        assert (verdict.reward, verdict.done, verdict.output) == (None, True, "begun\n")
        assert "did not end" in verdict.metadata["check"]["error"]

    async def test_without_a_task_there_is_nothing_to_evaluate(self, player: Player):
        with pytest.raises(NotAvailable):
            await player.env.evaluate()


async def test_a_session_counts_the_steps_and_names_the_episode(sandboxes: Sandboxes):
    context = Context(sandboxes=sandboxes)
    session = Session(
        id="s",
        spec=SPEC,
        codec=SPEC.codec(),
        env=await SPEC.make(context),
        context=context,
        watchdog=Watchdog(),
    )
    await session.step(Run(command="echo hi"))
    state = await session.state()
    assert isinstance(state, TerminalState)
    assert state.step_count == 1
    assert state.last_exit_code == 0
    await session.close()
