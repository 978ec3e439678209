"""Files that are put back as they were before the check runs."""

from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from anyio import to_thread

from paddock.sandbox.sandbox import Sandbox
from paddock.tasks import Task

__all__ = ["keep", "restore"]

KEPT = "protected"
MODES = 0o777


async def keep(patterns: list[str], sandbox: Sandbox, folder: Path) -> None:
    """Keep a copy of the files that are protected, where the session cannot see it.

    Args:
        patterns: Globs of paths below the workspace; ``*`` stands for slashes, too.
        sandbox: Whose workspace.
        folder: A directory of the server's.

    Raises:
        OSError: A file cannot be read.
    """
    if not patterns:
        return
    walked = await sandbox.files.walk()
    for entry in walked.entries:
        if entry.kind == "file" and _matches(entry.path, patterns):
            data = await sandbox.files.read(entry.path)
            await to_thread.run_sync(_write, folder / KEPT / entry.path, data, entry.mode)


async def restore(task: Task, sandbox: Sandbox) -> None:
    """Put the protected files back; what has come in their place or beside them goes.

    Nothing of the session may run any more.

    Args:
        task: As `stage` returned it.
        sandbox: Whose workspace.

    Raises:
        OSError: The workspace is in a state in which that cannot be done.
    """
    patterns = task.row.protected if task.row is not None else []
    if not patterns:
        return
    files = sandbox.files
    kept = await to_thread.run_sync(_names, task.folder / KEPT)
    walked = await files.walk()
    for entry in walked.entries:
        if entry.kind != "directory" and _matches(entry.path, patterns):
            await files.remove(entry.path)
    kinds = {entry.path: entry.kind for entry in walked.entries}
    for name in kept:
        # A directory in a file's place, or anything else in a directory's.
        if kinds.get(name) == "directory":
            await files.remove(name, recursive=True)
        for above in PurePosixPath(name).parents:
            if kinds.get(str(above), "directory") != "directory":
                await files.remove(above)
                del kinds[str(above)]
    if kept:
        await files.copy_in(task.folder / KEPT)


def _matches(path: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(path, pattern) for pattern in patterns)


def _write(path: Path, data: bytes, mode: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(mode & MODES)


def _names(folder: Path) -> list[str]:
    return [str(p.relative_to(folder)) for p in sorted(folder.rglob("*")) if p.is_file()]
