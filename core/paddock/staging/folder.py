"""A task by value, written as the directory that whatever plays and checks a task reads."""

import base64
import shlex
from pathlib import Path, PurePosixPath

from paddock.inline import TestPlan
from paddock.tasks import TaskRow
from paddock.workspace import Files

__all__ = ["write_folder"]

PLAIN = ["bash", "tests/test.sh"]
SCRIPT = "test.sh"


def write_folder(row: TaskRow, folder: Path) -> None:
    """Write a row as a task directory in Harbor's convention, for the server's eyes only.

    Args:
        row: The task.
        folder: Where; made, and must not be there.

    Raises:
        ValueError: A file's path leads out of the directory.
        OSError: It cannot be written.
    """
    folder.mkdir(mode=0o700)
    settings = ""
    if row.tests is not None:
        fresh = "true" if row.tests.fresh else "false"
        settings = f"[verifier]\ntimeout_sec = {float(row.tests.timeout_s)}\nfresh = {fresh}\n"
        _write_check(row.tests, folder / "tests")
    (folder / "task.toml").write_text(settings, encoding="utf-8")
    (folder / "instruction.md").write_text(row.instruction, encoding="utf-8")
    if row.solution is not None:
        (folder / "solution").mkdir()
        (folder / "solution" / "solve.sh").write_text(row.solution, encoding="utf-8")


def _write_check(plan: TestPlan, place: Path) -> None:
    """Write the check's files, and ``test.sh``, which is what is run."""
    files = {name.removeprefix("tests/"): spec for name, spec in plan.files.items()}
    place.mkdir()
    if plan.command == PLAIN and SCRIPT in files:
        _write(files, place)
        return
    # Another command: what it names of the check's files is where they will be then.
    _write(files, place / "files")
    words = [
        f'"$here"/{shlex.quote(word.removeprefix("tests/"))}'
        if word.removeprefix("tests/") in files
        else shlex.quote(word)
        for word in plan.command
    ]
    script = f'here=$(cd "$(dirname "$0")" && pwd)/files\nexec {" ".join(words)}\n'
    (place / SCRIPT).write_text(script, encoding="utf-8")


def _write(files: Files, folder: Path) -> None:
    folder.mkdir(exist_ok=True)
    for name, spec in files.items():
        _check_name(name)
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(spec, str):
            path.write_text(spec, encoding="utf-8")
            continue
        if spec.symlink_to is not None:
            raise ValueError(f"{name}: a check's file cannot be a link")
        if spec.content is not None:
            path.write_text(spec.content, encoding="utf-8")
        else:
            path.write_bytes(base64.b64decode(spec.content_b64 or ""))
        path.chmod(int(spec.mode, 8) | 0o400)


def _check_name(name: str) -> None:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts or "\0" in name:
        raise ValueError(f"{name!r} is no path below the check's directory")
