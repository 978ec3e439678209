"""Control groups: where the server's own is, and the one of a session where there can be one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.limits import Limits
from paddock.sandbox.cgroup import Cgroup, OwnMemory, own_directories, own_memory, parse_counts

GROW = """
input()
kept = [bytearray(b"x") * (8 << 20) for _ in range(25)]
"""


def mount(root: str, where: str, kind: str, options: str) -> str:
    return f"36 35 0:31 {root} {where} rw,nosuid shared:9 - {kind} {kind} {options}\n"


@pytest.mark.parametrize(
    ("cgroup", "mountinfo", "expected"),
    [
        pytest.param(
            "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n",
            mount("/docker/abc", "/sys/fs/cgroup/memory", "cgroup", "rw,memory")
            + mount("/docker/abc", "/sys/fs/cgroup/cpu", "cgroup", "rw,cpu,cpuacct"),
            {
                "memory": ("/sys/fs/cgroup/memory", "/sys/fs/cgroup/memory"),
                "cpu": ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu"),
                "cpuacct": ("/sys/fs/cgroup/cpu", "/sys/fs/cgroup/cpu"),
            },
            id="version 1 in a container",
        ),
        pytest.param(
            "4:memory:/a/b\n",
            mount("/", "/sys/fs/cgroup/memory", "cgroup", "rw,memory"),
            {"memory": ("/sys/fs/cgroup/memory/a/b", "/sys/fs/cgroup/memory")},
            id="version 1 on a machine",
        ),
        pytest.param(
            "0::/system.slice/x.service\n",
            mount("/", "/sys/fs/cgroup", "cgroup2", "rw,nsdelegate"),
            {"": ("/sys/fs/cgroup/system.slice/x.service", "/sys/fs/cgroup")},
            id="version 2",
        ),
        pytest.param(
            "0::/../../other\n",
            mount("/", "/a\\040b", "cgroup2", "rw"),
            {"": ("/a b", "/a b")},
            id="version 2 out of sight",
        ),
        pytest.param("4:memory:/a\n", mount("/", "/x", "tmpfs", "rw"), {}, id="none"),
    ],
)
def test_the_servers_own_groups_are_found(
    cgroup: str, mountinfo: str, expected: dict[str, tuple[str, str]]
) -> None:
    found = own_directories(cgroup, mountinfo)
    assert found == {name: (Path(own), Path(top)) for name, (own, top) in expected.items()}


@given(st.text(), st.text())
def test_strange_texts_have_no_groups_in_them(cgroup: str, mountinfo: str) -> None:
    assert own_directories(cgroup, mountinfo) == {}


@given(st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), st.integers(0)))
def test_counts_are_read(counts: dict[str, int]) -> None:
    lines = [f"{name} {number}" for name, number in counts.items()]
    assert parse_counts("\n".join([*lines, "half", "x y", "Z -1"])) == counts


@given(st.text())
def test_strange_texts_are_no_failure(text: str) -> None:
    assert all(number >= 0 for number in parse_counts(text).values())


def test_the_servers_memory_can_be_told() -> None:
    own = own_memory()
    assert own is not None
    assert 0 < own.used < own.allowed
    assert own.nearly_used_up == (own.used / own.allowed > own.share)


@pytest.mark.parametrize(("used", "expected"), [(84, False), (85, False), (86, True)])
def test_nearly_used_up_is_above_a_share(used: int, expected: bool) -> None:
    assert OwnMemory(used, 100, 0.85).nearly_used_up is expected


def test_the_kernel_holds_a_group_to_its_limits() -> None:
    name = f"test-{os.getpid()}"
    group = Cgroup.make(name, Limits(memory_mb=64))
    if group is None:  # then for a reason: no process here may make one
        assert not _writable()
        return
    assert Cgroup.make(name, Limits()) is None  # it is there already
    try:
        assert group.oom_kills() == 0
        grower = subprocess.Popen([sys.executable, "-Sc", GROW], stdin=subprocess.PIPE)
        group.attach(grower.pid)
        grower.communicate(b"\n", timeout=60)
        assert grower.returncode == -9
        assert group.oom_kills() == 1
        quiet = subprocess.Popen([sys.executable, "-Sc", "input()"], stdin=subprocess.PIPE)
        group.attach(quiet.pid)
        assert not group.remove()
        quiet.communicate(b"\n", timeout=30)
    finally:
        assert group.remove()
    assert group.remove()


def _writable() -> bool:
    """Whether a directory can be made in the server's own groups of both controllers."""
    own = Path("/proc/self")
    found = own_directories((own / "cgroup").read_text(), (own / "mountinfo").read_text())
    return all(name in found and os.access(found[name][0], os.W_OK) for name in ("memory", "pids"))
