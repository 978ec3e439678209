"""What a task keeps from the agent, and looking for it from inside a sandbox."""

import hashlib
import json
import os
import secrets
import shutil
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from paddock.errors import PaddockError
from paddock.sandbox.capture import capture
from paddock.sandbox.sandbox import Sandbox
from paddock.tasks import Task
from paddock.verification import scan

__all__ = ["Leak", "give", "leaks_in", "look", "secrets_of"]

SECONDS = 60.0
ELSEWHERE = ("/tmp", "/dev/shm", "/var/tmp")
Leak = tuple[str, str, str]
"""Task, secret and place."""


def secrets_of(task: Task) -> list[dict[str, Any]]:
    """Return what nobody may find: the check's files, the solution's, and the answers.

    Raises:
        OSError: A file cannot be read.
    """
    found: dict[str, bytes] = {}
    if task.row is None:
        for part in ("tests", "solution"):
            for path in sorted((task.folder / part).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    found[str(path.relative_to(task.folder))] = path.read_bytes()
    else:
        found |= {"solution": task.row.solution.encode()} if task.row.solution else {}
        for name, spec in (task.row.tests.files if task.row.tests else {}).items():
            text = spec if isinstance(spec, str) else spec.content
            if text is not None:
                found[name] = text.encode()
    made = [_secret(task, name, data) for name, data in found.items() if len(data) > scan.SHORT]
    for number, text in enumerate(task.answers, 1):
        answer = _secret(task, f"answer {number}", text.encode())
        answer["lines"] = []  # it is looked for as it stands, whatever its length
        made.append(answer)
    return made


def leaks_in(data: bytes, secrets: list[dict[str, Any]], place: str) -> list[Leak]:
    """Look into what the agent is told."""
    known = [
        {
            **s,
            "text": s["text"].encode("latin-1"),
            "lines": [x.encode("latin-1") for x in s["lines"]],
        }
        for s in secrets
    ]
    return [(task, name, place) for task, name in scan.found_in(data, known)]


async def look(
    sandbox: Sandbox,
    secrets: list[dict[str, Any]],
    folders: Iterable[Path],
    *,
    since: float,
    far: bool,
) -> list[Leak]:
    """Look for secrets from inside a sandbox.

    Args:
        sandbox: As an agent would find it.
        secrets: Of `secrets_of`.
        folders: The tasks' own directories, whose paths the scan is told.
        since: Of places that are shared, only what has changed after this time is looked into.
        far: Look for copies on the whole system, instead of into the session's own places.

    Raises:
        PaddockError: The scan did not come to its end.
        OSError: It cannot be started.
    """
    place = sandbox.control / f"scan-{_random()}"
    plan = {
        "secrets": secrets,
        "places": [str(sandbox.path), *map(str, folders)],
        "shared": ELSEWHERE,
        "since": since,
        "tops": await to_thread.run_sync(lambda: sorted(map(str, Path("/").iterdir()))),
        "own": str(place),
        "far": far,
        "seconds": SECONDS,
    }
    printed = bytearray()
    try:
        await to_thread.run_sync(_put_scan, plan, place)
        argv = ["python3", "-I", str(place / "scan.py"), str(place / "plan")]
        code = await capture(sandbox, argv, printed.extend, limit_s=SECONDS * 2)
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(_take_away, place)
    said = printed.decode(errors="replace")
    if code != 0:
        raise PaddockError(f"the leak scan ended with {code}: {said[-500:]}")
    return [(task, name, where) for task, name, where in json.loads(said)]


def give(place: Path) -> None:
    """Let a session read, and not change, a directory of the server's in its ``control``."""
    group = place.parent.stat().st_gid
    for folder, _, names in os.walk(place):
        for path in (Path(folder), *(Path(folder) / name for name in names)):
            os.chown(path, -1, group, follow_symlinks=False)
            if not path.is_symlink():
                path.chmod((path.stat().st_mode | 0o440) & ~0o7022)


def _secret(task: Task, name: str, data: bytes) -> dict[str, Any]:
    return {
        "task": task.id,
        "name": name,
        "text": data.strip().decode("latin-1"),
        "lines": sorted(line.decode("latin-1") for line in scan.telling(data)),
        "exact": bool(data.strip()),
        "size": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }


def _random() -> str:
    return secrets.token_hex(8)


def _put_scan(plan: dict[str, Any], place: Path) -> None:
    place.mkdir()
    shutil.copy(scan.__file__, place / "scan.py")
    (place / "plan").write_bytes(zlib.compress(json.dumps(plan).encode()))
    give(place)


def _take_away(place: Path) -> None:
    # In `control`, which no session can change or mount in.
    shutil.rmtree(place, ignore_errors=True)
