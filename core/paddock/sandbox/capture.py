"""Running a program to its end, and taking what it prints."""

import os
from collections.abc import Callable, Mapping, Sequence

import anyio

from paddock.sandbox.forks import Process
from paddock.sandbox.sandbox import Sandbox

__all__ = ["capture"]

CHUNK = 65_536
REST = 1 << 20  # of what was printed before the end; what goes on printing then is not waited for


async def capture(
    sandbox: Sandbox,
    argv: Sequence[str],
    on_output: Callable[[bytes], None],
    *,
    limit_s: float,
    env: Mapping[str, str] | None = None,
    cwd: str | None = None,
) -> int | None:
    """Run a program without input, its standard output and error in one.

    Args:
        sandbox: Where.
        argv: The program and its arguments.
        on_output: Gets what it prints, as it comes.
        limit_s: Seconds it may take.
        env: Its whole environment; the sandbox's by default.
        cwd: Its working directory; the workspace by default.

    Returns:
        Its exit status, or minus the signal that ended it; ``None`` when it did not end in time:
        it still runs, until the sandbox's processes are killed.

    Raises:
        OSError: It cannot be started.
    """
    read, write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
    try:
        null = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        os.set_blocking(write, True)
        try:
            process = await sandbox.spawn(argv, env=env, cwd=cwd, stdio=[null, write, write])
        finally:
            os.close(null)
            os.close(write)
        try:
            with anyio.move_on_after(limit_s):
                return await _follow(process, read, on_output)
            return None
        finally:
            process.close()
    finally:
        os.close(read)


async def _follow(process: Process, fd: int, on_output: Callable[[bytes], None]) -> int:
    async def drain() -> None:
        while True:
            await anyio.wait_readable(fd)
            if not (data := os.read(fd, CHUNK)):
                return
            on_output(data)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(drain)
        await process.wait()
        tasks.cancel_scope.cancel()
    # The last words; a job it left in the background may go on for ever.
    rest = REST
    while rest > 0:
        try:
            data = os.read(fd, CHUNK)
        except BlockingIOError:
            break
        if not data:
            break
        on_output(data)
        rest -= len(data)
    return await process.wait()
