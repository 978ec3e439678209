"""The watch over real sessions: who uses too much is told of, and nobody else."""

import os
from collections.abc import AsyncGenerator
from pathlib import Path

import anyio
import pytest
from anyio import to_thread

from paddock.limits import Limits
from paddock.sandbox.confinement import Level, Profile
from paddock.sandbox.directories import default_root
from paddock.sandbox.sandbox import Sandbox
from paddock.sandbox.sandboxes import Sandboxes
from paddock.sandbox.watch import Watch, Watched

LEVEL = Level.UID if os.geteuid() == 0 else Level.LANDLOCK
PATIENCE_S = 30.0

GROW = """
import time
kept = []
while sum(map(len, kept)) < {most_mb} << 20:
    kept.append(bytearray(b"x") * (8 << 20))
    time.sleep(0.02)
time.sleep(60)
"""


def forked(number: int, script: str) -> str:
    return f"import os\nfor _ in range({number - 1}):\n    if os.fork() == 0: break\n{script}"


class Arena:
    """Sandboxes whose own watch is lenient, and the watch that is tested, with a quiet session."""

    def __init__(self, sandboxes: Sandboxes) -> None:
        self.sandboxes = sandboxes
        self.told: list[tuple[str, str]] = []
        self.watch = Watch(lambda name, what: self.told.append((name, what)))
        self.quiet = ""

    async def open(self, limits: Limits) -> Sandbox:
        sandbox = await self.sandboxes.open(Limits(memory_mb=2048, disk_mb=4096))
        uid, places = sandbox.identity.uid, sandbox.places
        self.watch.add(Watched(sandbox.name, uid, sandbox.forks.pid, limits, places))
        return sandbox

    async def run(self, sandbox: Sandbox, script: str) -> None:
        """Start a Python program, and wait until it has said that it runs, or has ended."""
        reads, writes = os.pipe2(os.O_CLOEXEC)
        with Path(os.devnull).open("rb+", buffering=0) as null:  # noqa: ASYNC230
            argv = ["/usr/bin/python3", "-Sc", f"import os; os.close(3)\n{script}"]
            stdio = [null.fileno(), null.fileno(), null.fileno(), writes]
            (await sandbox.spawn(argv, stdio=stdio)).close()
        os.close(writes)
        await anyio.wait_readable(reads)
        os.close(reads)

    async def verdict(self, sandbox: Sandbox) -> str:
        """Return what a session is accused of, when it is, and kill it."""
        with anyio.fail_after(PATIENCE_S):
            while not (found := [what for name, what in self.told if name == sandbox.name]):
                await anyio.sleep(0.02)
        await sandbox.kill()
        (what,) = found
        return what


@pytest.fixture
def root() -> Path:
    return default_root()


@pytest.fixture
async def arena(root: Path) -> AsyncGenerator[Arena]:
    async with Sandboxes.serving(LEVEL, Profile(), root=root) as sandboxes:
        arena = Arena(sandboxes)
        quiet = await arena.open(Limits(memory_mb=128, disk_mb=32, inodes=2000))
        await arena.run(quiet, "import time; kept = bytearray(b'x') * (20 << 20); time.sleep(60)")
        arena.watch.start()
        yield arena
        await to_thread.run_sync(arena.watch.stop)
        assert quiet.name not in [name for name, _ in arena.told]


@pytest.mark.parametrize(
    "script",
    [
        pytest.param(GROW.format(most_mb=600), id="one process"),
        pytest.param(forked(8, GROW.format(most_mb=75)), id="eight processes"),
        pytest.param(
            "import mmap, time\nfor at in range(0, 600, 8):\n"
            "    m = mmap.mmap(-1, 8 << 20); m.write(b'x' * (8 << 20)); globals()[f'm{at}'] = m\n"
            "    time.sleep(0.02)\ntime.sleep(60)",
            id="shared memory",
        ),
        pytest.param(
            # A page table of 4 KiB for every 2 MiB, and none of the pages is the process's own.
            "import mmap, time\nm = mmap.mmap(-1, 100 << 30, flags=mmap.MAP_PRIVATE | 0x4000,"
            " prot=mmap.PROT_READ)\nif hasattr(m, 'madvise'): m.madvise(15)\n"
            "for at in range(0, 100 << 30, 2 << 20): m[at]\ntime.sleep(60)",
            id="page tables",
        ),
    ],
)
async def test_a_session_that_uses_too_much_memory(arena: Arena, script: str) -> None:
    greedy = await arena.open(Limits(memory_mb=128))
    await arena.run(greedy, script)
    what = await arena.verdict(greedy)
    assert what.startswith("memory: ")
    assert what.endswith(" MiB used, 128 MiB allowed")


FILL = "open(f'f{at}', 'wb').write(b'x' * (1 << 20))"


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        pytest.param(f"for at in range(64): {FILL}", "disk: ", id="files"),
        pytest.param(
            f"import os\nfor at in range(64): {FILL}; os.link(f'f{{at}}', f'g{{at}}')\n"
            "os.mkdir('d'); os.rename('f1', 'd/f1')",
            "disk: ",
            id="linked twice",
        ),
        pytest.param(
            "import os, time\nf = open('gone', 'wb'); os.unlink('gone')\n"
            "for _ in range(64): f.write(b'x' * (1 << 20))\nf.flush(); time.sleep(60)",
            "disk: ",
            id="a file without a name",
        ),
        pytest.param(
            f"import os\nos.mkdir('closed'); os.chdir('closed')\nfor at in range(64): {FILL}\n"
            "os.chmod('.', 0)",
            "disk: " if os.geteuid() == 0 else None,
            id="a directory that is closed to all",
        ),
        pytest.param(
            "import os\nfor at in range(400): os.mkdir('d'); os.chdir('d')\n"
            f"for at in range(64): {FILL}",
            "disk: ",
            id="deep down",
        ),
        pytest.param("for at in range(2500): open(f'f{at}', 'w')", "files: ", id="small files"),
    ],
)
async def test_a_session_that_keeps_too_much(
    arena: Arena, script: str, expected: str | None
) -> None:
    hoarder = await arena.open(Limits(disk_mb=32, inodes=2000))
    await arena.run(hoarder, script)
    if expected is None:  # what is closed to a server that is not root is not counted
        await anyio.sleep(2)
        assert not arena.told
    else:
        assert (await arena.verdict(hoarder)).startswith(expected)


async def test_what_forked_processes_share_counts_once(arena: Arena) -> None:
    modest = await arena.open(Limits(memory_mb=256))
    script = "kept = bytearray(b'x') * (100 << 20)\n" + forked(11, "import time; time.sleep(60)")
    await arena.run(modest, script)
    await anyio.sleep(2)  # longer than copies are given
    assert not arena.told


async def test_who_writes_to_what_was_shared_is_told_of(arena: Arena) -> None:
    greedy = await arena.open(Limits(memory_mb=256))
    script = "kept = bytearray(b'x') * (50 << 20)\n" + forked(
        9, "for at in range(0, len(kept), 4096): kept[at] = 1\nimport time; time.sleep(60)"
    )
    await arena.run(greedy, script)
    assert (await arena.verdict(greedy)).startswith("memory: ")


async def test_one_excess_is_told_of_once_and_another_after_it_was_forgiven(arena: Arena) -> None:
    greedy = await arena.open(Limits(memory_mb=128))
    for _ in range(2):
        await arena.run(greedy, GROW.format(most_mb=300))
        await arena.verdict(greedy)
        await arena.run(greedy, GROW.format(most_mb=300))
        await anyio.sleep(1)
        assert len(arena.told) == 1
        await greedy.kill()
        arena.watch.forgive(greedy.name)
        arena.told.clear()
    arena.watch.remove(greedy.name)
    await arena.run(greedy, GROW.format(most_mb=200))
    await anyio.sleep(1)
    assert not arena.told


async def test_who_was_forgiven_too_many_files_can_delete_some(arena: Arena) -> None:
    hoarder = await arena.open(Limits(disk_mb=1024, inodes=10))
    await arena.run(hoarder, "for at in range(20): open(f'f{at}', 'w')")
    assert (await arena.verdict(hoarder)).startswith("files: ")
    arena.told.clear()
    arena.watch.forgive(hoarder.name)
    await anyio.sleep(1.5)
    assert not arena.told
    await arena.run(hoarder, "for at in range(5000): open(f'g{at}', 'w')")
    assert (await arena.verdict(hoarder)).startswith("files: ")
