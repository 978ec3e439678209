"""Copying what an agent leaves behind into the sandbox it is judged in."""

import os
import tempfile
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, cast

from anyio import to_thread

from paddock.evaluation.check import Check
from paddock.sandbox.files import SandboxFiles
from paddock.sandbox.sandbox import Sandbox

__all__ = ["carry"]

COPY_S = 30.0  # of each direction
HEADERS_BYTES = 64 << 20  # an archive has more than the files: names, and room between them
SHOWN = 20


async def carry(check: Check, source: Sandbox, target: Sandbox) -> tuple[str, ...]:
    """Copy the workspace, or the artifacts, of one sandbox into another, as the other's user.

    Args:
        check: What is to be copied, and what put back.
        source: The agent's; nothing runs in it any more.
        target: A sandbox that nobody has used, with the check's template if that is fresh.

    Returns:
        What was left out, because it has no content that could be copied.

    Raises:
        OSError: Something else could not be copied; nothing may be concluded from the rest.
    """
    async with _files(source) as left, _files(target) as copy:
        if check.fresh:
            return await _artifacts(check, left, copy, target)
        skipped = await _tree(left, copy, ".", target)
        await _put_back(check, copy)
        return skipped


def _files(sandbox: Sandbox) -> SandboxFiles:
    # As much as the session may have: only what is beyond its own limits is too much.
    limits = sandbox.limits
    return SandboxFiles(
        sandbox.workspace,
        sandbox.identity,
        max_file_bytes=limits.file_mb << 20,
        max_entries=limits.inodes,
        max_archive_bytes=(limits.disk_mb << 20) + HEADERS_BYTES,
        time_budget_s=COPY_S,
    )


async def _tree(
    left: SandboxFiles, copy: SandboxFiles, path: str, target: Sandbox
) -> tuple[str, ...]:
    # Without a name, and where the files go: there is room for them, or there is none anyway.
    file = await to_thread.run_sync(_nameless, target.control)
    try:
        packed = await left.archive_out(path, into=file)
        for number, (name, why) in enumerate(packed.skipped.items()):
            if number == SHOWN or (await left.stat(name)).kind != "other":
                raise OSError(f"{name}: {why}")
        await to_thread.run_sync(file.seek, 0)
        # Where a link leads is decided when it is followed, as whoever follows it.
        await copy.archive_in(file, path, outside_links=True)
    finally:
        await to_thread.run_sync(file.close)
    return tuple(packed.skipped)


async def _artifacts(
    check: Check, left: SandboxFiles, copy: SandboxFiles, target: Sandbox
) -> tuple[str, ...]:
    skipped: list[str] = []
    for path in check.artifacts:
        try:
            found = await left.stat(path, follow=True)
        except FileNotFoundError:
            continue  # that it is missing is for the check to say
        if found.kind == "directory":
            skipped += await _tree(left, copy, path, target)
        else:
            await copy.write(path, await left.read(path), mode=found.mode & 0o777)
    return tuple(skipped)


async def _put_back(check: Check, copy: SandboxFiles) -> None:
    def protected(path: str) -> bool:
        name = path.rpartition("/")[2]
        return any(
            fnmatchcase(path if "/" in pattern else name, pattern) for pattern in check.protected
        )

    for entry in (await copy.walk()).entries:
        if protected(entry.path):
            try:
                await copy.remove(entry.path, recursive=True)
            except FileNotFoundError:
                continue  # with the directory it was in
    template = check.template
    if template is None:
        return
    for path in await to_thread.run_sync(_regular, template):
        if protected(path):
            content, mode = await to_thread.run_sync(_read, template / path)
            await copy.write(path, content, mode=mode)


def _nameless(directory: Path) -> BinaryIO:
    return cast("BinaryIO", tempfile.TemporaryFile(dir=directory))


def _regular(top: Path) -> list[str]:
    return [
        os.path.relpath(os.path.join(folder, name), top)  # noqa: PTH118 - many, and only text
        for folder, _, names in os.walk(top)
        for name in names
        if not (Path(folder) / name).is_symlink()
    ]


def _read(path: Path) -> tuple[bytes, int]:
    return path.read_bytes(), path.stat().st_mode & 0o777
