"""Putting a check's files where it can read and nobody change them."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from paddock.evaluation.check import HARBOR_LOGS, HARBOR_TESTS, Check

__all__ = ["Staged", "check_environment", "stage"]

LOOKED_AT_BYTES = 1 << 20  # of a file that may name a path; longer ones are data
PYTEST_INI = "pytest.ini"
OWN_INI = "paddock-pytest.ini"

_PATHS = re.compile(
    # Not the end of a longer path, nor the beginning of a longer name.
    rb"(?<![\w./~$*)}\]-])(/logs/verifier|/tests)(?=[/\s\"'`;:,)&|<>\\]|$)"
)
_NAMES_REWARD = re.compile(rb"reward\.(?:txt|json)\b")


@dataclass(frozen=True)
class Staged:
    """Where a check is, and what it will say its verdict with.

    Attributes:
        tests: Where its files are.
        logs: Where it writes; Harbor's ``/logs/verifier``.
        command: What to run.
        reads_file: Its verdict is a reward file, and not its exit status.
    """

    tests: Path
    logs: Path
    command: tuple[str, ...]
    reads_file: bool


def stage(check: Check, tests: Path, logs: Path) -> Staged:
    """Copy a check's files, and put the paths that are true here for those of Harbor's. Blocks.

    No level can mount something at ``/tests`` or ``/logs`` for one session only, `uid` least of
    all, so it is the text that changes: in files that are text, where the path stands by itself.

    Args:
        check: The check.
        tests: Where to; a new name in a directory whose group may read and nobody write.
        logs: The directory that stands for `HARBOR_LOGS`.

    Raises:
        OSError: They cannot be read or written.
    """
    if check.files is None:
        tests.mkdir()
    else:
        shutil.copytree(check.files, tests)
    ours = {HARBOR_TESTS.encode(): os.fsencode(tests), HARBOR_LOGS.encode(): os.fsencode(logs)}

    def translated(text: bytes) -> bytes:
        return _PATHS.sub(lambda found: ours[found[1]], text)

    named = any(_NAMES_REWARD.search(os.fsencode(word)) for word in check.command)
    for path in (path for path in tests.rglob("*") if path.is_file()):
        if path.stat().st_size <= LOOKED_AT_BYTES and b"\0" not in (text := path.read_bytes()):
            named = named or _NAMES_REWARD.search(text) is not None
            if (changed := translated(text)) != text:
                path.chmod(path.stat().st_mode | 0o200)
                path.write_bytes(changed)
    if not (tests / PYTEST_INI).exists():
        (tests / OWN_INI).write_text("[pytest]\n", encoding="ascii")
    _close(tests)
    return Staged(
        tests=tests,
        logs=logs,
        command=tuple(os.fsdecode(translated(os.fsencode(word))) for word in check.command),
        reads_file=named if check.reads == "auto" else check.reads == "file",
    )


def check_environment(staged: Staged) -> dict[str, str]:
    """Return the variables that keep a check's tools from running what they find.

    Python takes no modules from the working directory or the home, pytest no settings from the
    workspace, git no hooks.
    """
    ini = PYTEST_INI if (staged.tests / PYTEST_INI).exists() else OWN_INI
    git = {"core.hooksPath": "/dev/null", "core.fsmonitor": "false", "core.pager": "cat"}
    variables = {
        "PADDOCK_TESTS": str(staged.tests),
        "PADDOCK_LOGS": str(staged.logs),
        "PYTHONSAFEPATH": "1",
        "PYTHONPATH": str(staged.tests),  # a script's own directory, which the former takes away
        "PYTHONNOUSERSITE": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_ADDOPTS": f"-p no:cacheprovider -c {staged.tests / ini}",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": str(len(git)),
    }
    for number, (key, value) in enumerate(git.items()):
        variables |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return variables


def _close(place: Path) -> None:
    """Let the group of the directory above read, and nobody write."""
    group = place.parent.stat().st_gid
    for path in (place, *place.rglob("*")):
        os.chown(path, -1, group, follow_symlinks=False)
        if not path.is_symlink():
            path.chmod((path.stat().st_mode | 0o440 | 0o110 * path.is_dir()) & ~0o7022)
