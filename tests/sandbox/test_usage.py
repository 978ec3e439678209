"""What processes and files use: parsing what the kernel says, and counting trees."""

import contextlib
import itertools
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.sandbox import usage
from paddock.sandbox.disk_usage import DiskLook
from paddock.sandbox.files import SERVER
from paddock.sandbox.usage import ProcessUse

STATUS = b"""Name:\tx
Pid:\t7
PPid:\t3
Uid:\t1000\t0\t0\t0
FDSize:\t64
VmPTE:\t     40 kB
RssAnon:\t    5 kB
RssFile:\t    9000 kB
RssShmem:\t    2 kB
"""
ZOMBIE = b"Name:\tx\nPPid:\t3\nUid:\t5\t5\t5\t5\nFDSize:\t0\n"
MAPS = b"""\
7f0000000000-7f0000100000 rw-s 00000000 00:01 1038                       /dev/zero (deleted)
7f0000200000-7f0000300000 rw-s 00080000 00:01 1038                       /dev/zero (deleted)
7f0000400000-7f0000500000 rw-p 00000000 00:01 9                          /dev/zero (deleted)
7f0000600000-7f0000700000 rw-s 00000000 00:01 9                          /x /dev/zero (deleted)
7f0000800000-7f0000900000 rw-s 00000000 00:01 1039                       /dev/zero (deleted)
7f0000a00000-7f0000b00000 rw-p 00000000 00:00 0
"""


def test_a_status_is_read() -> None:
    assert usage.parse_status(7, STATUS) == ProcessUse(7, 3, 1000, 7 << 10, 40 << 10, 64)
    assert usage.parse_status(7, ZOMBIE) == ProcessUse(7, 3, 5, 0, 0, 0)


@pytest.mark.parametrize("wrong", [b"", b"Name:\tx\n", STATUS[:20], b"\nPPid:\tx\nUid:\t0\n"])
def test_what_is_no_status_is_refused(wrong: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        usage.parse_status(7, wrong)


@given(st.binary() | st.integers(0, len(STATUS)).map(lambda end: STATUS[:end]))
def test_nothing_but_a_value_error_comes_of_a_strange_text(text: bytes) -> None:
    for parse in (lambda: usage.parse_status(1, text), lambda: usage.parse_proportional(text)):
        with contextlib.suppress(ValueError):
            parse()
    assert isinstance(usage.parse_shared(text), dict)


def test_a_name_cannot_pass_for_a_line() -> None:
    # 15 bytes, as the kernel keeps of a name
    script = "import pathlib; pathlib.Path('/proc/self/comm').write_text('\\nUid:\\t0\\nRssA');"
    with _running(script) as process:
        status = Path(f"/proc/{process.pid}/status").read_bytes()
    assert b"\\nUid:" in status
    assert usage.parse_status(1, status).uid == os.getuid()


def test_the_proportional_size_is_read() -> None:
    text = b"5-7 ---p 00000000 00:00 0 [rollup]\nPss: 90 kB\nPss_Anon: 7 kB\nPss_Shmem: 2 kB\n"
    assert usage.parse_proportional(text) == 9 << 10
    with pytest.raises(ValueError, match="proportional"):
        usage.parse_proportional(b"Rss: 4 kB\n")


def test_shared_memory_without_a_name_is_found_once() -> None:
    assert usage.parse_shared(MAPS) == {b"1038": 0x180000, b"1039": 0x100000, b"9": 0x100000}


@given(st.dictionaries(st.integers(1, 30), st.integers(0, 30)), st.integers(1, 30))
def test_descendants_are_all_below_and_nothing_else(parents: dict[int, int], root: int) -> None:
    uses = [ProcessUse(pid, parent, 0, 0, 0, 0) for pid, parent in parents.items()]
    found = {use.pid for use in usage.descendants(usage.children(uses), root)}
    for pid in parents:
        above, at = set[int](), pid
        while at in parents and at not in above:
            above.add(at)
            at = parents[at]
            if at == root:
                break
        assert (pid in found) == (at == root and pid != root)


def test_a_process_is_seen_to_use_what_it_uses() -> None:
    with _running("kept = bytearray(b'x') * (50 << 20);") as process:
        (use,) = [use for use in usage.processes() if use.pid == process.pid]
        assert use.parent == os.getpid()
        assert 50 << 20 < use.memory < 100 << 20
        assert 50 << 20 < usage.proportional([use], SERVER, 1 << 60) <= use.memory
        assert usage.open_files(use) >= 3
    assert usage.proportional([use], SERVER, 1 << 60) == use.memory  # gone: as it was
    assert usage.open_files(use) == 0


# -- files --------------------------------------------------------------------------------------


def test_a_tree_is_counted_as_it_is_however_small_the_pieces(tmp_path: Path) -> None:
    for path in ("a/b/c/d", "a/e/f", "g", "a/b/h/i"):
        (tmp_path / path).mkdir(parents=True)
    for number, path in enumerate(("a/1", "a/b/c/d/2", "g/3", "4", "a/e/5")):
        (tmp_path / path).write_bytes(b"x" * 5000 * number)
    (tmp_path / "a/b/linked").hardlink_to(tmp_path / "4")
    (tmp_path / "g/up").symlink_to("/")
    everything = [tmp_path, *tmp_path.rglob("*")]
    expected = {(found.st_dev, found.st_ino): found for found in (p.lstat() for p in everything)}
    for seconds in (0.0, 1.0):
        look = _look(tmp_path)
        goes = next(number for number in itertools.count(1) if look.go_on(seconds))
        assert (goes > 10) == (seconds == 0)
        assert look.entries == len(expected) == 16
        assert look.bytes == sum(found.st_blocks * 512 for found in expected.values())
        assert not look.over


def test_a_count_is_done_when_it_is_over(tmp_path: Path) -> None:
    for number in range(100):
        (tmp_path / str(number)).touch()
    look = _look(tmp_path, max_entries=10)
    assert look.go_on(10)
    assert look.over
    assert look.entries == 11


def test_a_tree_takes_few_descriptors_however_deep_it_is(tmp_path: Path) -> None:
    fd = os.open(tmp_path, os.O_RDONLY)
    for _ in range(600):
        os.mkdir("d", dir_fd=fd)
        below = os.open("d", os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = below
    os.close(fd)
    (tmp_path / "e").mkdir()
    before = _descriptors()
    look = _look(tmp_path)
    while not look.go_on(0.01):
        assert _descriptors() <= before + 3
    assert _descriptors() == before
    assert look.entries == 602
    subprocess.run(["rm", "-rf", str(tmp_path)], check=True)


@pytest.mark.parametrize("moved", ["a", "a/b", "a/b/c", "."])
def test_what_is_moved_meanwhile_leads_nowhere_else(tmp_path: Path, moved: str) -> None:
    top, outside = tmp_path / "top", tmp_path / "outside"
    (top / "a/b/c/d/e").mkdir(parents=True)
    (top / "z").mkdir()
    outside.mkdir()
    for number in range(50):
        (outside / str(number)).touch()
    for steps in range(14):
        look = _look(top)
        for _ in range(steps):
            look.go_on(0)
        (top / moved).rename(outside / "moved")
        while not look.go_on(0):
            pass
        assert look.entries <= 7
        (outside / "moved").rename(top / moved)


def test_a_count_that_is_given_up_leaves_nothing_open(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    before = _descriptors()
    look = _look(tmp_path)
    assert not look.go_on(0)
    look.close()
    assert _descriptors() == before
    assert look.go_on(1)


def test_a_place_that_is_gone_or_no_directory_counts_nothing(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/")
    (tmp_path / "file").touch()
    for name in ("none", "link", "file"):
        look = _look(tmp_path / name)
        assert look.go_on(1)
        assert look.entries == 0


def test_what_is_open_and_has_no_name_counts_once(tmp_path: Path) -> None:
    script = (
        f"import os; os.chdir({str(tmp_path)!r}); f = open('f', 'wb'); f.write(b'x' * (1 << 20));"
        "f.flush(); g = os.dup(f.fileno()); os.unlink('f'); h = open('h', 'wb');"
        "m = os.memfd_create('m'); os.write(m, b'x' * (1 << 20));"
    )
    with _running(script) as process:
        look = DiskLook([], [process.pid] * 2, SERVER, max_bytes=1 << 40, max_entries=1 << 40)
        assert look.go_on(10)
    assert look.entries == 2
    assert 2 << 20 <= look.bytes <= 3 << 20


def _look(top: Path, max_entries: int = 1 << 40) -> DiskLook:
    return DiskLook([top], [], SERVER, max_bytes=1 << 40, max_entries=max_entries)


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class _running:  # noqa: N801
    """A Python program that has run and waits."""

    def __init__(self, script: str) -> None:
        argv = [sys.executable, "-Sc", f"{script}\nprint(flush=True); input()"]
        # pytest's own standard error is a file without a name
        pipe, null = subprocess.PIPE, subprocess.DEVNULL
        self.process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=null)

    def __enter__(self) -> "subprocess.Popen[bytes]":
        assert self.process.stdout is not None
        assert self.process.stdout.readline()
        return self.process

    def __exit__(self, *_: object) -> None:
        self.process.communicate(b"\n", timeout=30)
