"""When the watch speaks up: the server's memory, forked copies, errors, and its thread."""

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import pytest

from paddock.limits import Limits
from paddock.sandbox.cgroup import OwnMemory
from paddock.sandbox.usage import ProcessUse
from paddock.sandbox.watch import Watch, Watched
from paddock.sandbox.watched import Session

PATIENCE_S = 20.0
MIB = 1 << 20
NOBODY = 1 << 30  # no process has this id

UNSEEN = """
import ctypes, mmap
m = mmap.mmap(-1, 200 << 20); m.write(b'x' * (200 << 20)); m.madvise(mmap.MADV_DONTNEED)
"""


def until(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextmanager
def session(name: str, script: str, **limits: int) -> Generator[Watched]:
    """A process that stands for a session's zygote, with a child that runs a script."""
    program = f"import os, sys\nif os.fork(): os.wait()\nelse:\n  exec({script!r})\n"
    argv = [sys.executable, "-Sc", f"{program}\n  print(flush=True); input()"]
    process = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline()
    try:
        yield Watched(name, None, process.pid, Limits(**limits), ())
    finally:
        process.communicate(b"\n", timeout=30)


@contextmanager
def watching(
    told: Callable[[str, str], None], own: OwnMemory | Callable[[], OwnMemory | None] | None = None
) -> Generator[Watch]:
    watch = Watch(told, period_s=0.02, own=own if callable(own) else lambda: own)
    watch.start()
    try:
        yield watch
    finally:
        watch.stop()
        assert not [t for t in threading.enumerate() if t.name == "paddock-watch"]


def test_what_descends_from_a_process_is_a_session() -> None:
    told: list[tuple[str, str]] = []
    with (
        session("a", "kept = bytearray(b'x') * (90 << 20)", memory_mb=64) as a,
        session("b", "kept = bytearray(b'x') * (30 << 20)", memory_mb=64) as b,
        watching(lambda *each: told.append(each)) as watch,
    ):
        watch.add(b)
        watch.add(a)
        until(lambda: told)
        time.sleep(0.3)
    assert [name for name, _ in told] == ["a"]


@pytest.mark.parametrize("script", ["kept = bytearray(b'x') * (150 << 20)", UNSEEN])
def test_who_holds_most_goes_when_the_servers_memory_is_nearly_used_up(script: str) -> None:
    told: list[tuple[str, str]] = []
    own = OwnMemory(900 * MIB, 1000 * MIB, 0.85)
    with (
        session("small", "kept = bytearray(b'x') * (50 << 20)") as small,
        session("large", script) as large,
        watching(lambda *each: told.append(each), own) as watch,
    ):
        watch.add(small)
        watch.add(large)
        until(lambda: told)
        time.sleep(0.3)  # others are left alone while it goes
        ((name, what),) = told
        assert name == "large"
        assert "900 of 1000 MiB" in what
        watch.remove("large")
        until(lambda: len(told) == 2)
        assert told[1][0] == "small"


def test_nobody_goes_for_what_no_session_uses() -> None:
    told: list[tuple[str, str]] = []
    reads: list[None] = []

    def own() -> OwnMemory:
        reads.append(None)
        share = 0.85 if len(reads) % 2 else 0.999
        return OwnMemory(99 << 30, 100 << 30, share)

    with session("a", "") as a, watching(lambda *each: told.append(each), own) as watch:
        watch.add(a)
        until(lambda: len(reads) > 5)
    assert not told


def test_what_goes_wrong_is_logged_once_and_the_watch_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    told: list[str] = []

    def exceeded(name: str, _: str) -> None:
        told.append(name)
        raise SystemExit(name)

    def own() -> None:
        raise ZeroDivisionError

    with (
        caplog.at_level(logging.ERROR),
        session("a", "kept = bytearray(b'x') * (90 << 20)", memory_mb=64) as a,
        session("b", "kept = bytearray(b'x') * (90 << 20)", memory_mb=64) as b,
        watching(exceeded, own) as watch,
    ):
        watch.add(a)
        until(lambda: told == ["a"])
        watch.add(b)
        until(lambda: told == ["a", "b"])
        watch.forgive("a")
        until(lambda: told == ["a", "b", "a"])
    errors = [record.exc_info[0] for record in caplog.records if record.exc_info]
    assert sorted(error.__name__ for error in errors if error) == [
        "SystemExit",
        "ZeroDivisionError",
    ]


def test_nothing_is_read_while_nothing_is_watched() -> None:
    reads: list[None] = []
    with watching(lambda *_: None, lambda: reads.append(None)) as watch:
        time.sleep(0.2)
        assert not reads
        watch.add(Watched("a", None, None, Limits(), (Path("/nowhere"),)))
        until(lambda: len(reads) > 2)
        watch.remove("a")
        time.sleep(0.1)
        before = len(reads)
        time.sleep(0.2)
        assert len(reads) == before
        watch.forgive("a")  # nobody's


def test_a_child_that_is_its_parents_memory_is_given_a_second() -> None:
    limits = Limits(memory_mb=512)
    watched = Session(Watched("a", None, None, limits, ()))
    parent = ProcessUse(NOBODY, 1, 0, 300 * MIB, 0, 64)
    copy = ProcessUse(NOBODY + 1, NOBODY, 0, 300 * MIB, 0, 64)
    assert watched.memory([parent, copy], 100.0) is None
    assert watched.memory([parent, copy], 100.9) is None
    other = ProcessUse(NOBODY + 2, NOBODY, 0, 300 * MIB, 0, 64)
    assert watched.memory([parent, other], 101.1) is None  # a later one
    assert watched.memory([parent, other], 102.2) == "memory: 600 MiB used, 512 MiB allowed"


def test_a_child_with_memory_of_its_own_is_given_none() -> None:
    watched = Session(Watched("a", None, None, Limits(memory_mb=512), ()))
    parent = ProcessUse(NOBODY, 1, 0, 300 * MIB, 0, 64)
    own = ProcessUse(NOBODY + 1, NOBODY, 0, 250 * MIB, 1 * MIB, 64)
    assert watched.memory([parent, own], 100.0) == "memory: 551 MiB used, 512 MiB allowed"
