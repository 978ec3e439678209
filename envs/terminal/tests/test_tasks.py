"""The terminal's tasks: by id, by place and by value, and what a reset echoes of them."""

import base64
import io
import subprocess
import tarfile
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from paddock import Context, Episode
from paddock.errors import InvalidMessage, NotAvailable, StepFailed
from paddock.sandbox.levels import choose
from paddock.sandbox.sandboxes import Sandboxes
from paddock_terminal import SPEC, Run, TerminalObservation, TerminalOptions
from paddock_terminal.env import TASKS, TerminalEnv

SECRET = "the-answer-is-6x7"
INLINE: dict[str, Any] = {
    "id": "write-it",
    "instruction": "Write 42 to answer.txt.",
    "tests": {
        "files": {
            "tests/test.sh": f'# {SECRET}\n[ "$(cat answer.txt)" = 42 ]\n',
            "tests/more/data.txt": {"content": SECRET},
        },
        "visible_files": {"try.sh": "cat answer.txt\n"},
    },
}


class Player:
    """An environment that is easy to play."""

    def __init__(self, env: TerminalEnv) -> None:
        self.env = env

    async def reset(self, seed: int | None = None, **options: Any) -> TerminalObservation:
        return await self.env.reset(Episode("ep", seed, TerminalOptions(**options)))

    async def run(self, command: str) -> TerminalObservation:
        return await self.env.step(Run(command=command))


@pytest.fixture
async def player() -> AsyncGenerator[Player]:
    level = (await choose()).level
    async with Sandboxes.serving(level, SPEC.sandbox) as sandboxes:
        env = TerminalEnv(Context(step_limit_s=30, sandboxes=sandboxes))
        yield Player(env)
        await env.close()


class TestResolution:
    @pytest.mark.parametrize(
        "options",
        [
            {"task_id": "fix-the-median"},
            {"split": "train", "index": TASKS.ids("train").index("fix-the-median")},
        ],
        ids=["id", "place"],
    )
    async def test_the_reset_and_the_state_say_what_was_resolved(
        self, player: Player, options: dict[str, Any]
    ):
        task = TASKS.find("fix-the-median")
        seen = await player.reset(seed=7, **options)
        assert seen.instruction == task.instruction
        assert seen.metadata == {
            "task_id": "fix-the-median",
            "split": "train",
            "index": task.index,
            "seed": 7,
            "task_hash": task.content_hash(),
            "env": "terminal",
            "version": SPEC.version,
        }
        state = (await player.env.state()).model_dump()
        assert state | seen.metadata == state
        assert state["instruction"] == task.instruction

    async def test_the_next_episode_without_a_task_has_none(self, player: Player):
        await player.reset(task_id="fix-the-median")
        seen = await player.reset(seed=1)
        state = await player.env.state()
        assert (seen.metadata, seen.instruction) == ({}, None)
        assert (state.task_id, state.task_hash, state.instruction, state.seed) == (None,) * 3 + (1,)
        assert (await player.run("ls -A")).output == ""

    @pytest.mark.parametrize(
        "options",
        [
            {"task_id": "nope"},
            {"split": "nope"},
            {"split": "train", "index": 999},
            {"task_id": "fix-the-median", "index": 999},
            {"task_id": "fix-the-median", "task": INLINE},
        ],
        ids=["id", "split", "index", "both", "value"],
    )
    async def test_a_task_that_is_not_there_is_refused(
        self, player: Player, options: dict[str, Any]
    ):
        with pytest.raises(InvalidMessage):
            await player.reset(**options)


class TestByValue:
    async def test_it_is_played_and_checked_as_one_of_a_directory(self, player: Player):
        seen = await player.reset(task=INLINE, seed=3)
        assert seen.instruction == "Write 42 to answer.txt."
        assert seen.metadata["task_id"] == "write-it"
        assert seen.metadata["split"] is None
        assert seen.metadata["task_hash"].startswith("sha256:")
        assert (await player.run("ls -A")).output == "try.sh\n"
        assert (await player.env.evaluate()).reward == 0.0
        await player.reset(task=INLINE)
        await player.run("echo 42 > answer.txt")
        assert (await player.env.evaluate()).reward == 1.0

    async def test_its_check_is_nowhere_before_it_runs(self, player: Player):
        await player.reset(task=INLINE)
        here = (await player.env.state()).workspace
        top = Path(here).parent
        seen = await player.run(f"cat {top}/task/tests/test.sh; grep -rs {SECRET} {top} $HOME /tmp")
        assert SECRET not in seen.output
        assert "test.sh" in seen.output  # cat's complaint: it is there, and closed
        assert (top / "task" / "tests" / "test.sh").is_file()
        await player.env.close()
        assert not top.exists()

    async def test_another_command_gets_its_files_where_they_are(self, player: Player):
        check = "import pathlib, sys\nsys.exit(pathlib.Path('x').read_text() != sys.argv[1])\n"
        command = ["python3", "-I", "tests/check it.py", "a b"]
        tests = {"command": command, "files": {"tests/check it.py": check}}
        for text, reward in (("a b", 1.0), ("c", 0.0)):
            await player.reset(task={"id": "t", "tests": tests})
            await player.run(f"printf '{text}' > x")
            verdict = await player.env.evaluate()
            assert verdict.reward == reward, verdict.output

    async def test_without_tests_it_is_not_scored(self, player: Player):
        await player.reset(task={"id": "t", "instruction": "Play."})
        with pytest.raises(NotAvailable):
            await player.env.evaluate()

    @pytest.mark.parametrize("name", ["../x", "/tmp/x", "tests/../../x", "a/../../x"])
    async def test_a_check_s_file_cannot_leave_its_directory(self, player: Player, name: str):
        with pytest.raises(InvalidMessage, match="no path below"):
            await player.reset(task={"id": "t", "tests": {"files": {name: "x"}}})
        await player.reset()
        assert (await player.run("echo fine")).output == "fine\n"

    async def test_steps_can_be_counted(self, player: Player):
        await player.reset(task={**INLINE, "max_steps": 2})
        assert not (await player.run("echo 42 > answer.txt")).done
        assert (await player.run("echo two")).done
        late = await player.run("echo 43 > answer.txt")
        assert (late.done, late.error, late.reward) == (True, "all 2 steps taken", None)
        assert (await player.env.evaluate()).reward == 1.0


PROTECTED: Any = {
    "id": "t",
    "protected": ["data/*", "conftest.py"],
    "tests": {
        "command": ["sh", "-c", "find . -type f | sort; cat data/a; [ ! -x data/a ]"],
    },
}
FILES: Any = {"files": {"data/a": "good\n", "mine": "free\n"}}


class TestProtected:
    @pytest.mark.parametrize(
        "act",
        [
            "echo bad > data/a",
            "rm -r data",
            "rm data/a; mkdir -p data/a/b; touch data/a/b/c",
            "rm -r data; ln -s /etc data",
            "rm -r data; echo x > data",
            "chmod 755 data/a; touch data/b data/.c conftest.py",
            "rm data/a; ln -s /etc/passwd data/a",
            "chmod 000 data/a",
        ],
    )
    async def test_what_is_protected_is_as_it_was_when_the_check_runs(
        self, player: Player, act: str
    ):
        await player.reset(task=PROTECTED, workspace=FILES)
        seen = await player.run(f"{act}; echo changed > mine")
        assert seen.exit_code == 0
        verdict = await player.env.evaluate()
        assert (verdict.output, verdict.reward) == ("./data/a\n./mine\ngood\n", 1.0), verdict

    async def test_a_workspace_that_hides_it_earns_nothing(self, player: Player):
        await player.reset(task=PROTECTED, workspace=FILES)
        await player.run("chmod 000 data")
        verdict = await player.env.evaluate()
        assert verdict.done
        assert verdict.reward in (None, 1.0)
        if verdict.reward == 1.0:
            assert verdict.output.endswith("good\n")


def archive(**files: str) -> str:
    """Return a tar archive as a reset takes it."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            tar.addfile(member, io.BytesIO(text.encode()))
    return base64.b64encode(out.getvalue()).decode()


class TestWorkspace:
    async def test_later_sources_go_on_top_of_the_task_s(self, player: Player):
        await player.reset(
            task_id="fix-the-median",
            workspace={
                "archive_b64": archive(a="archive", b="archive"),
                "files": {
                    "b": "file",
                    "median.py": {"content_b64": "Lg==", "mode": "755"},
                    "to": {"symlink_to": "b"},
                },
                "setup": [["sh", "-c", "cat a b to > c"]],
            },
        )
        seen = await player.run("cat c; stat -c %a median.py; cat median.py samples/odd.txt")
        assert seen.output == "archivefilefile755\n.3\n1\n2\n"

    @pytest.mark.parametrize(
        "workspace",
        [
            {"files": {"../x": "x"}},
            {"files": {"/etc/x": "x"}},
            {"archive_b64": "AAAA"},
            {"preset": "nope"},
        ],
        ids=str,
    )
    async def test_what_cannot_be_made_is_refused(self, player: Player, workspace: Any):
        with pytest.raises(InvalidMessage):
            await player.reset(workspace=workspace)

    async def test_a_setup_that_fails_says_how(self, player: Player):
        with pytest.raises(StepFailed, match="ended with 3: no luck"):
            await player.reset(workspace={"setup": [["sh", "-c", "echo no luck; exit 3"]]})
        with pytest.raises(StepFailed, match="nope"):
            await player.reset(workspace={"setup": [["nope"]]})

    async def test_a_setup_that_does_not_end_is_ended(self, player: Player):
        player.env.context = Context(step_limit_s=3, sandboxes=player.env.context.sandboxes)
        with pytest.raises(StepFailed, match="not ready within 2 s"):
            await player.reset(workspace={"setup": [["sleep", "60"]]})
        assert (await player.reset()).cwd

    @pytest.mark.parametrize(("ref", "text"), [("HEAD", "two"), ("old", "one"), ("main~1", "one")])
    async def test_a_bundle_is_checked_out(
        self, player: Player, tmp_path: Path, ref: str, text: str
    ):
        def git(*words: str) -> None:
            names = ["-c", "user.name=a", "-c", "user.email=a@b"]
            subprocess.run(["git", *names, *words], cwd=tmp_path, check=True, capture_output=True)

        git("init", "-q", "-b", "main")
        for name in ("one", "two"):
            (tmp_path / "file").write_text(name)
            git("add", "file")
            git("commit", "-q", "-m", name)
        git("branch", "old", "HEAD~1")
        git("bundle", "create", "-q", "all", "--all", "HEAD")
        bundle = base64.b64encode((tmp_path / "all").read_bytes()).decode()
        await player.reset(workspace={"git": {"bundle_b64": bundle, "ref": ref}})
        seen = await player.run("cat file; ls -A1; git status --porcelain")
        assert seen.output == f"{text}.git\nfile\n"
