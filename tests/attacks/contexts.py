"""Where the arena is held: the columns of the table.

On this machine as root and as an ordinary user, and in containers with the flags that the
documentation names. Never without walls: what the attacks change then is the machine.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["CONTEXTS", "Context", "expected", "more_open", "run"]

ROOT = Path(__file__).parents[2]
IMAGE = "paddock/base:latest"
LIMIT_S = 300
_ORDINARY = os.geteuid() or 1000
# Of what the arena has imported: what was installed, by the file or folder below site-packages.
_LIBRARIES = """
import sys, sysconfig, pathlib
import anyio._backends._asyncio, tests.attacks.arena
root = pathlib.Path(sysconfig.get_paths()["purelib"])
files = [pathlib.Path(m.__file__) for m in list(sys.modules.values()) if getattr(m, "__file__", 0)]
print(*{str(root / f.relative_to(root).parts[0]) for f in files if f.is_relative_to(root)})
"""
_BOUNDED = ("--memory", "2g", "--pids-limit", "1500")
_HARDENED = (
    "--init", "--cap-drop", "ALL", "--cap-add", "SETUID", "--cap-add", "SETGID",
    "--cap-add", "CHOWN", "--cap-add", "DAC_OVERRIDE", "--cap-add", "KILL", "--cap-add", "FOWNER",
    "--security-opt", "no-new-privileges", "--pids-limit", "1500",
    "--memory", "2g", "--memory-swap", "2g", "--read-only",
    "--tmpfs", "/tmp:rw,nosuid,nodev,size=256m", "--tmpfs", "/run:rw,size=16m",
    "--tmpfs", "/sessions:rw,exec,nosuid,nodev,mode=711,size=2g,nr_inodes=200k",
    "--shm-size", "256m",
)  # fmt: skip
_POWERLESS = (*_BOUNDED, "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
_NAMESPACES = (
    "--security-opt", f"seccomp={ROOT / 'images' / 'seccomp.json'}",
    "--security-opt", "systempaths=unconfined",
)  # fmt: skip


@dataclass(frozen=True)
class Context:
    """One column.

    Attributes:
        place: Where it is held, in words.
        level: What separates the sessions.
        profile: The profile of both sessions.
        flags: Of ``docker run``; ``None`` for this machine.
        user: The user of the server, on this machine.
        auto: The level is not asked for; the strongest is to be found, and to be this one.
    """

    place: str
    level: str
    profile: str = "strict"
    flags: tuple[str, ...] | None = None
    user: int = 0
    auto: bool = False

    @property
    def name(self) -> str:
        """Its name in the table."""
        return f"{self.place}/{self.level}{'+compat' if self.profile == 'compat' else ''}"


CONTEXTS = (
    Context("host root", "namespaces", auto=True),
    Context("host root", "namespaces", "compat"),
    Context("host root", "uid"),
    Context("host root", "uid", "compat"),
    Context("host root", "landlock"),
    Context("host user", "namespaces", user=_ORDINARY, auto=True),
    Context("host user", "landlock", user=_ORDINARY),
    Context("docker", "uid", flags=_BOUNDED, auto=True),
    Context("docker", "uid", "compat", flags=_BOUNDED),
    Context("docker hardened", "uid", flags=_HARDENED, auto=True),
    Context("docker user", "landlock", flags=(*_BOUNDED, "--user", "1000"), auto=True),
    Context("docker no capabilities", "landlock", flags=_POWERLESS, auto=True),
    Context("docker seccomp", "namespaces", flags=(*_BOUNDED, *_NAMESPACES), auto=True),
    Context("docker seccomp", "namespaces", "compat", flags=(*_BOUNDED, *_NAMESPACES)),
)


def run(context: Context) -> dict[str, Any]:
    """Hold one arena, and return its report.

    Raises:
        RuntimeError: It came to no end, or was held at another level.
    """
    report = _held(context)
    if report["level"] != context.level:
        raise RuntimeError(f"{context.name}: the level is {report['level']}")
    return report


def expected(context: Context) -> dict[str, str]:
    """Return the verdicts that a column may have. What the file does not name is blocked."""
    table: dict[str, dict[str, str]] = json.loads(
        Path(__file__).with_name("expected.json").read_text()
    )
    known = table[context.name]
    if context.profile == "compat" and context.level == "uid" and ROOT.is_relative_to("/tmp"):
        known = known | {"server_source_read": "open"}  # whoever opens /tmp opens what is in there
    return known


def more_open(verdicts: dict[str, str], known: dict[str, str]) -> tuple[list[str], list[str]]:
    """Return the attacks that went further than they may, and those that no longer go as far."""
    rank = {"blocked": 0, "private": 0, "partial": 1, "open": 2, "broken": 3}
    further: list[str] = []
    less: list[str] = []
    for name, verdict in verdicts.items():
        allowed = known.get(name, "blocked")
        if rank[verdict] > rank[allowed]:
            further.append(name)
        elif rank[verdict] < rank[allowed]:
            less.append(name)
    return further, less


def _held(context: Context) -> dict[str, Any]:
    level = "auto" if context.auto else context.level
    arguments = ["-m", "tests.attacks.arena", level, "--profile", context.profile, "--json"]
    if context.flags is not None:
        mounted = f"{ROOT / 'tests' / 'attacks'}:/arena/tests/attacks:ro"
        command = ["docker", "run", "--rm", *context.flags, "-v", mounted, "-w", "/arena"]
        return _report([*command, "-e", "PYTHONDONTWRITEBYTECODE=1", IMAGE, "python3", *arguments])
    if context.user == os.geteuid():
        return _report([sys.executable, *arguments])
    with _readable_by_all() as (python, folder):
        ids = ("--reuid", str(context.user), "--regid", str(context.user), "--clear-groups")
        return _report(["setpriv", *ids, str(python), *arguments], folder)


def _report(command: list[str], folder: Path = ROOT) -> dict[str, Any]:
    done = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=LIMIT_S, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.returncode}\n{done.stderr[-4000:]}")
    return json.loads(done.stdout)


@contextmanager
def _readable_by_all() -> Generator[tuple[Path, Path]]:
    """Copy what the arena needs to where any user may read it, and make a Python that finds it.

    The zygote is started in isolated mode, so that a search path in the environment is not enough.
    """
    folder = Path(tempfile.mkdtemp(prefix="paddock-arena-"))
    folder.chmod(0o755)
    try:
        shutil.copytree(
            ROOT / "core", folder / "core", ignore=shutil.ignore_patterns("__pycache__")
        )
        shutil.copytree(ROOT / "tests" / "attacks", folder / "tests" / "attacks")
        listed = subprocess.run(
            [sys.executable, "-c", _LIBRARIES], cwd=ROOT, capture_output=True, text=True, check=True
        )
        for library in listed.stdout.split():
            _copy(Path(library), folder / "libraries" / Path(library).name)
        base = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        if not all(parent.stat().st_mode & 0o001 for parent in base.parents):
            base = Path("/usr/bin") / base.name  # the one in use is in somebody's home
        environment = folder / "python"
        subprocess.run([base, "-m", "venv", "--without-pip", environment], check=True)
        paths = next((environment / "lib").iterdir()) / "site-packages" / "arena.pth"
        paths.write_text(f"{folder / 'core'}\n{folder / 'libraries'}\n")
        yield environment / "bin" / "python", folder
    finally:
        shutil.rmtree(folder)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
