"""Sandboxes at every level that this machine gives: what is in one, and what gets out."""

import os
import signal
import stat
import subprocess
import sys
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest

from paddock.errors import ConfigurationError
from paddock.limits import Limits
from paddock.sandbox.capture import capture
from paddock.sandbox.confinement import Level, Profile
from paddock.sandbox.identities import Identities
from paddock.sandbox.killing import descendants
from paddock.sandbox.levels import choose, probe
from paddock.sandbox.sandbox import Sandbox
from paddock.sandbox.sandboxes import Sandboxes
from processes import owned_by

_OPEN = """
import os
def there(fd):
    try:
        os.fstat(fd)
    except OSError:
        return False
    return True
print([fd for fd in range(256) if there(fd)])
"""
LEVELS = (
    Level.NAMESPACES,
    pytest.param(Level.UID, marks=pytest.mark.root),
    Level.LANDLOCK,
)


@pytest.fixture(params=LEVELS, ids=str)
async def sandboxes(request: pytest.FixtureRequest) -> AsyncGenerator[Sandboxes]:
    async with Sandboxes.serving(request.param, Profile()) as sandboxes:
        yield sandboxes


async def said(sandbox: Sandbox, script: str, limit_s: float = 10) -> tuple[str, int | None]:
    """Run a script and return what it printed, and its status."""
    parts: list[bytes] = []
    code = await capture(sandbox, ["bash", "-c", script], parts.append, limit_s=limit_s)
    return b"".join(parts).decode(errors="replace"), code


class TestWhatIsThere:
    async def test_a_program_runs_in_a_workspace_of_its_own(self, sandboxes: Sandboxes):
        sandbox = await sandboxes.take()
        assert await said(sandbox, "pwd; echo x > a; cat a; exit 3") == (
            f"{sandbox.workspace}\nx\n", 3,
        )  # fmt: skip
        assert await sandbox.files.read("a") == b"x\n"

    async def test_nothing_of_the_server_is_inherited(
        self, sandboxes: Sandboxes, monkeypatch: pytest.MonkeyPatch
    ):
        monkeypatch.setenv("PADDOCK_TOKEN", "secret")
        sandbox = await sandboxes.take()
        read, write = os.pipe()
        os.set_inheritable(read, True)
        try:
            text, _ = await said(sandbox, f"env; python3 -I -S -c '{_OPEN}'")
        finally:
            os.close(read)
            os.close(write)
        assert "secret" not in text
        *variables, fds = text.splitlines()
        names = {line.partition("=")[0] for line in variables}
        assert names <= {*sandbox.environment(), "PWD", "SHLVL", "_", "OLDPWD"}
        assert fds == "[0, 1, 2]"

    async def test_what_the_server_tells_it_cannot_be_changed(self, sandboxes: Sandboxes):
        sandbox = await sandboxes.take()
        note = sandbox.control / "note"
        note.write_text("hello")
        note.chmod(0o644)
        text, _ = await said(
            sandbox, f"cat {note}; (echo no > {note}; rm -f {note}; mv {sandbox.control} x) 2>&1"
        )
        assert text.startswith("hello")
        assert note.read_text() == "hello"

    async def test_a_template_is_cloned(self, sandboxes: Sandboxes, tmp_path: Path):
        (tmp_path / "deep").mkdir()
        (tmp_path / "deep" / "run.sh").write_text("echo run")
        (tmp_path / "deep" / "run.sh").chmod(0o755)
        for _ in range(4):
            sandbox = await sandboxes.take(template=tmp_path)
            assert await said(sandbox, "./deep/run.sh; echo more >> deep/run.sh") == ("run\n", 0)
            await sandbox.close()

    async def test_a_program_that_is_not_there_is_said(self, sandboxes: Sandboxes):
        sandbox = await sandboxes.take()
        with pytest.raises(FileNotFoundError, match="no-such-program"):
            await sandbox.spawn(["no-such-program"])
        with pytest.raises(OSError, match="too long"):
            await sandbox.spawn(["echo", "x" * (1 << 18)])
        assert await said(sandbox, "echo still") == ("still\n", 0)


class TestWhatIsNot:
    async def test_another_session_s_files(self, sandboxes: Sandboxes):
        victim, agent = await sandboxes.take(), await sandboxes.take()
        await victim.files.write("secret", b"secret", mode=0o666)
        text, _ = await said(
            agent, f"cat {victim.workspace}/secret; ls {victim.path.parent} {victim.path}/*"
        )
        assert "Permission denied" in text or "No such file" in text
        assert victim.name not in text.replace(str(victim.path), "")
        assert (await said(agent, f"ls {victim.path.parent} 2>/dev/null"))[0] in (
            "",
            agent.name + "\n",
        )

    @pytest.mark.parametrize("path", ["/etc/passwd", "/usr/bin/x", "/x", "/var/tmp/x", "/etc/x"])
    async def test_writing_to_the_system(self, sandboxes: Sandboxes, path: str):
        sandbox = await sandboxes.take()
        assert (await said(sandbox, f"echo x >> {path} && echo done"))[0].endswith(
            ("denied\n", "Read-only file system\n", "No such file or directory\n")
        )
        assert path == "/etc/passwd" or not Path(path).exists()

    async def test_a_network(self, sandboxes: Sandboxes):
        sandbox = await sandboxes.take()
        text, code = await said(sandbox, "exec 3<>/dev/tcp/127.0.0.1/80")
        assert "Permission denied" in text
        assert code != 0


class TestEnds:
    async def test_nothing_is_left_of_a_session(self, sandboxes: Sandboxes):
        sandbox = await sandboxes.take()
        await said(sandbox, "trap '' TERM HUP INT; for i in 1 2 3; do (setsid sleep 300 &) ; done;"
                   " mkdir -p a/b/c; chmod 000 a; mkfifo f; touch $HOME/x $TMPDIR/x")  # fmt: skip
        uid = sandbox.identity.uid
        before = time.monotonic()
        await sandbox.close()
        assert time.monotonic() - before < 2
        assert uid is None or owned_by(uid) == 0
        with anyio.fail_after(2):
            while list(sandbox.path.parent.glob(f"*{sandbox.name}*")):
                await anyio.sleep(0.01)

    async def test_killing_leaves_the_files_and_lets_others_start(self, sandboxes: Sandboxes):
        sandbox = await sandboxes.take()
        process = await sandbox.spawn(["sleep", "300"])
        await sandbox.files.write("kept", b"x")
        await sandbox.kill()
        assert await process.wait() == -9
        process.close()
        assert await said(sandbox, "cat kept") == ("x", 0)

    async def test_a_fork_bomb_ends_and_others_do_not_notice(self, sandboxes: Sandboxes):
        bomber, other = await sandboxes.take(Limits(processes=40)), await sandboxes.take()
        process = await bomber.spawn(["bash", "-c", ":(){ :|:& };:"])
        for _ in range(5):
            assert await said(other, "echo fine") == ("fine\n", 0)
        await bomber.kill()
        process.close()
        uid = bomber.identity.uid
        assert uid is None or owned_by(uid) == 0
        # Where the watch counts the processes, it may have accused the session at that moment, and
        # end what is started in the next one.
        with anyio.fail_after(5):
            while await said(bomber, "echo again") != ("again\n", 0):
                await anyio.sleep(0.05)

    async def test_a_signal_reaches_the_session_s_own_processes_only(self, sandboxes: Sandboxes):
        sandbox = await sandboxes.take()
        process = await sandbox.spawn(["sleep", "300"])
        await process.send_signal(signal.SIGTERM)
        assert await process.wait() == -signal.SIGTERM
        process.close()
        if sandbox.identity.uid is not None:
            with pytest.raises(PermissionError):
                await sandbox.forks.signal(sandbox.name, os.getpid(), signal.SIGTERM)


@pytest.mark.root
async def test_a_server_that_is_killed_takes_its_sessions_along():
    script = (
        "import anyio, sys\n"
        "from paddock.sandbox.confinement import Level, Profile\n"
        "from paddock.sandbox.sandboxes import Sandboxes\n"
        "async def main():\n"
        "    async with Sandboxes.serving(Level(sys.argv[1]), Profile()) as s:\n"
        "        for _ in range(3):\n"
        "            sandbox = await s.take()\n"
        "            await sandbox.spawn(['sleep', '300'])\n"
        "        print(sandbox.identity.uid, sandbox.path.parent, flush=True)\n"
        "        await anyio.sleep_forever()\n"
        "anyio.run(main)\n"
    )
    for level in (Level.UID, Level.NAMESPACES):
        with subprocess.Popen(
            [sys.executable, "-c", script, level], stdout=subprocess.PIPE, text=True
        ) as server:
            assert server.stdout is not None
            uid, root = (await anyio.to_thread.run_sync(server.stdout.readline)).split()
            assert owned_by(int(uid)) >= 1
            server.kill()
        with anyio.fail_after(5):
            while owned_by(int(uid)):
                await anyio.sleep(0.02)
        # What it left on the disk is removed by the next one, once nobody can be starting in it.
        os.utime(root, (time.time() - 60,) * 2)
        async with Sandboxes.serving(Level.UID, Profile()):
            with anyio.fail_after(10):
                while Path(root).exists():
                    await anyio.sleep(0.02)


@pytest.mark.root
async def test_two_thousand_sessions_leave_every_count_flat():
    async with Sandboxes.serving(Level.UID, Profile()) as sandboxes:
        root = (await sandboxes.take()).path.parent

        async def session() -> None:
            sandbox = await sandboxes.take()
            process = await sandbox.spawn(["sh", "-c", "echo x > x; sleep 300 & sleep 300"])
            await sandbox.close()
            process.close()

        async def many(number: int) -> tuple[int, int, int]:
            for _ in range(number // 20):
                async with anyio.create_task_group() as tasks:
                    for _ in range(20):
                        tasks.start_soon(session)
            with anyio.fail_after(10):
                while any(p.name.startswith(".trash") for p in root.iterdir()):
                    await anyio.sleep(0.02)
            await anyio.sleep(0.3)  # until the pool is full again
            processes = await anyio.to_thread.run_sync(descendants, os.getpid())
            fds = list(Path("/proc/self/fd").iterdir())
            return len(fds), len(list(root.iterdir())), len(processes)

        before = await many(100)
        after = await many(2000)
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + 2
    assert after[2] <= before[2] + 2


class TestLevels:
    async def test_the_strongest_that_runs_is_chosen(self):
        chosen = await choose()
        assert chosen.level is Level.NAMESPACES
        assert chosen.as_metadata() == {"level": "namespaces", "refused": {}, "withheld": []}

    @pytest.mark.root
    async def test_one_that_does_not_run_says_why(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ):
        # No bubblewrap: the level is refused by running it, not by looking for it.
        monkeypatch.setattr("paddock.sandbox.namespaces._PATH", str(tmp_path))
        assert "bwrap" in (await probe(Level.NAMESPACES) or "")
        chosen = await choose()
        assert chosen.level is Level.UID
        assert "bwrap" in chosen.refused["namespaces"]
        with pytest.raises(ConfigurationError, match=r"namespaces.*bwrap"):
            await choose("namespaces")

    async def test_what_is_no_level_is_said(self):
        with pytest.raises(ConfigurationError, match="'strong': choose one of auto, namespaces"):
            await choose("strong")

    @pytest.mark.root
    async def test_the_root_lets_nobody_list_it(self):
        async with Sandboxes.serving(Level.UID) as sandboxes:
            path = (await sandboxes.take()).path
            assert stat.S_IMODE(path.parent.stat().st_mode) == 0o711


@pytest.mark.root
async def test_a_lost_zygote_is_replaced_and_its_sessions_go_on():
    for level in (Level.UID, Level.NAMESPACES):
        async with Sandboxes.serving(level) as sandboxes:
            sandbox = await sandboxes.take()
            await sandbox.files.write("kept", b"kept")
            process = await sandbox.spawn(["sleep", "300"])
            os.kill(sandbox.forks.pid, signal.SIGKILL)
            assert await process.wait() == -9
            process.close()
            with anyio.fail_after(5):
                while sandbox.take_exceeded() is None:
                    await anyio.sleep(0.01)
            assert await said(sandbox, "cat kept") == ("kept", 0)
            assert await said(await sandboxes.take(), "echo new") == ("new\n", 0)
            uid = sandbox.identity.uid
            assert uid is not None
        assert owned_by(uid) == 0


def test_user_ids_come_back_only_where_there_are_few():
    few = Identities("         0     100000      65536\n")
    taken = [few.take()]
    while True:
        try:
            taken.append(few.take())
        except ConfigurationError:
            break
    assert len({uid for pair in taken for uid in pair}) == 2 * len(taken)
    assert all(20_000 <= uid < 60_000 for pair in taken for uid in pair)
    few.give_back(*taken[5])
    few.give_back(*taken[2])
    assert [few.take(), few.take()] == [taken[5], taken[2]]
    many = Identities("         0          0 4294967295\n")
    first = many.take()
    many.give_back(*first)
    assert many.take() != first
    with pytest.raises(ConfigurationError, match="too few"):
        Identities("         0       1000          1\n")
