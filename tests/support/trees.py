"""A directory as a hostile session has it: of a user of its own, with a secret next to it."""

import io
import os
import random
import subprocess
import sys
import tarfile
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from paddock.sandbox.files import SERVER, Identity, SandboxFiles

IS_ROOT = os.geteuid() == 0

IDENTITIES = ("session", "server") if IS_ROOT else ("server",)
"""As whom the server acts: as the session, or, where it cannot, as itself."""

SECRET = b"the answers"

MEMORY = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
"""For tens of thousands of files, for which a disk that others use as well takes its time."""

_DROP = """
import ctypes, fcntl, os, signal, sys, time
if sys.argv[1]:
    os.setgroups([])
    os.setresgid(*[int(sys.argv[1])] * 3)
    os.setresuid(*[int(sys.argv[1])] * 3)
"""


class Plot:
    """A session's directory, ``root``, in a directory with other things.

    Nothing but its being elsewhere protects what is ``outside``: everybody may read and change it.

    Attributes:
        root: The session's.
        outside: Next to it, with a file ``secret`` in it.
        uid: The session's user and group, with root; None without.
        identity: As whom the server acts.
    """

    def __init__(self, path: Path, kind: str = "server") -> None:
        # A user's path below 0700 directories is reached through a descriptor alone.
        self.uid = random.randrange(1 << 20, 1 << 30) if IS_ROOT else None
        self.identity = Identity(self.uid, self.uid) if kind == "session" else SERVER
        self.root, self.outside = path / "root", path / "outside"
        path.chmod(0o755)
        for each in (self.root, self.outside):
            each.mkdir()
            each.chmod(0o777)
        (self.outside / "secret").write_bytes(SECRET)
        (self.outside / "secret").chmod(0o666)
        self.give(self.root)

    def files(self, **limits: Any) -> SandboxFiles:
        return SandboxFiles(self.root, self.identity, **limits)

    def give(self, path: Path) -> Path:
        """Let the session own it; not what a link points at."""
        if self.uid is not None:
            os.chown(path, self.uid, self.uid, follow_symlinks=False)
        return path

    def file(self, name: str, data: bytes = b"", mode: int = 0o644) -> Path:
        path = self.root / name
        path.write_bytes(data)
        path.chmod(mode)
        return self.give(path)

    def directory(self, name: str, mode: int = 0o755) -> Path:
        path = self.root / name
        path.mkdir()
        path.chmod(mode)
        return self.give(path)

    def link(self, name: str, target: str) -> Path:
        path = self.root / name
        path.symlink_to(target)
        return self.give(path)

    def deep(self, depth: int, name: str = "d") -> None:
        """Make directories in each other, deeper than a path is long."""
        at = os.open(self.root, os.O_RDONLY)
        for _ in range(depth):
            os.mkdir(name, dir_fd=at)
            if self.uid is not None:
                os.chown(name, self.uid, self.uid, dir_fd=at)
            below = os.open(name, os.O_RDONLY, dir_fd=at)
            os.close(at)
            at = below
        os.close(at)

    def outside_is_untouched(self) -> bool:
        secret = self.outside / "secret"
        return (
            [each.name for each in self.outside.iterdir()] == ["secret"]
            and secret.read_bytes() == SECRET
            and secret.stat().st_mode & 0o777 == 0o666
        )

    @contextmanager
    def process(self, script: str) -> Generator[subprocess.Popen[bytes]]:
        """Run a script as the session, from when it says that it is ready until the end.

        It drops to the session's user by itself: the interpreter may be where only root can go.
        """
        argv = [sys.executable, "-I", "-S", "-c", _DROP + script, str(self.uid or "")]
        with subprocess.Popen(argv, cwd=self.root, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                assert process.stdout.readline() == b"ready\n"
                yield process
                assert process.poll() is None, "it was to run until the end"
            finally:
                process.kill()


def tar(members: Iterable[tuple[str, Any]], mode: str = "w") -> bytes:
    """Make an archive of names, each with its content or the fields of its header."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode=mode, format=tarfile.GNU_FORMAT) as archive:  # type: ignore[call-overload]
        for name, what in members:
            info = tarfile.TarInfo(name)
            data = what if isinstance(what, bytes) else b""
            info.size = len(data)
            for field, value in ({} if isinstance(what, bytes) else what).items():
                setattr(info, field, value)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))
