"""What keeps a session's namespaces: one bubblewrap, whose first process all others join."""

import json
import os
from contextlib import ExitStack
from pathlib import Path
from typing import IO

import anyio
from anyio import to_thread

from paddock.limits import Limits
from paddock.sandbox.confine import anchor_confinement
from paddock.sandbox.confinement import Confinement, Launch, Profile
from paddock.sandbox.forks import Forks, Process
from paddock.sandbox.rules import bubblewrap

__all__ = ["Anchor"]

START_S = 10.0
SHM_MB = 64
_PATH = "/usr/local/bin:/usr/bin:/bin"


class Anchor:
    """A running bubblewrap. When it ends, so do all processes in its namespaces."""

    def __init__(self, process: Process, owned: ExitStack) -> None:
        self._process = process
        self._owned = owned

    @property
    def ended(self) -> bool:
        """Whether the namespaces are gone."""
        return self._process.returncode is not None

    @classmethod
    async def start(
        cls, forks: Forks, own: Path, confinement: Confinement, profile: Profile, limits: Limits
    ) -> "Anchor":
        """Make a session's namespaces, and have its further processes join them.

        Raises:
            OSError: They cannot be made; the message is bubblewrap's.
        """
        name = own.name
        anchor = f"{name}:anchor"
        with ExitStack() as owned, ExitStack() as passed:
            # Its input: it ends when this end closes, with the server, however that ends.
            keep, _ = _pipe(passed, owned)
            ready, ready_w = _pipe(owned, passed)
            info, info_w = _pipe(owned, passed)
            said, said_w = _pipe(owned, passed)
            rules = await to_thread.run_sync(_memory_file, confinement.seccomp)
            passed.callback(os.close, rules)
            await forks.open(anchor, anchor_confinement(confinement))
            share = limits.network == "full"
            command = await to_thread.run_sync(
                lambda: bubblewrap(profile, own, shm_mb=SHM_MB, share_network=share)
            )
            launch = Launch(anchor, tuple(command), {"PATH": _PATH})
            stdio = [keep.fileno(), ready_w.fileno(), said_w.fileno(), info_w.fileno(), rules]
            process = await forks.spawn(launch, stdio)
            owned.callback(process.close)
            await forks.forget(anchor)
            passed.close()
            with anyio.move_on_after(START_S):
                await anyio.wait_readable(ready)
            if not _read(ready):
                raise OSError(_read(said).decode(errors="replace").strip() or "bubblewrap hangs")
            pidfd = os.pidfd_open(json.loads(_read(info))["child-pid"])
            owned.callback(os.close, pidfd)
            await forks.join(name, pidfd)
            return cls(process, owned.pop_all())

    async def close(self) -> None:
        """End the namespaces, and wait until they are gone."""
        self._owned.close()
        with anyio.move_on_after(START_S):
            await self._process.wait()


def _pipe(reads: ExitStack, writes: ExitStack) -> tuple[IO[bytes], IO[bytes]]:
    """Return the two ends of a pipe, each closed with its stack."""
    read, write = os.pipe2(os.O_CLOEXEC)
    return (
        reads.enter_context(os.fdopen(read, "rb", 0)),
        writes.enter_context(os.fdopen(write, "wb", 0)),
    )


def _memory_file(data: bytes) -> int:
    fd = os.memfd_create("filter", os.MFD_CLOEXEC)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _read(pipe: IO[bytes]) -> bytes:
    """Read what is there, without waiting."""
    os.set_blocking(pipe.fileno(), False)
    return pipe.read(4096) or b""
