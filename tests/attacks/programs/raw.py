"""What all attacks need: system calls by number, and an answer to fill in."""

import ctypes
import errno
import os
import platform
from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

Target = dict[str, Any]
"""What the arena tells the attacker: more than an attacker would know, so that guessing is not
what a verdict depends on."""

X86 = platform.machine() == "x86_64"

# Calls that have had one number everywhere since 2019 come without a pair.
_NUMBERS: dict[str, int | tuple[int, int]] = {
    "add_key": (248, 217), "bpf": (321, 280), "clone": (56, 220), "clone3": 435,
    "io_setup": (206, 0), "io_uring_setup": 425, "ioctl": (16, 29), "keyctl": (250, 219),
    "mount": (165, 40), "mq_open": (240, 180), "perf_event_open": (298, 241),
    "pidfd_getfd": 438, "pidfd_open": 434, "prctl": (157, 167), "prlimit64": (302, 261),
    "process_vm_readv": (310, 270), "ptrace": (101, 117),
    "shmat": (30, 196), "shmget": (29, 194), "unshare": (272, 97), "userfaultfd": (323, 282),
}  # fmt: skip

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def call(name: str | int, *args: object) -> int:
    """Make a system call.

    Raises:
        OSError: It was refused.
    """
    known = name if isinstance(name, int) else _NUMBERS[name]
    number = known if isinstance(known, int) else known[0 if X86 else 1]
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result: int = _libc.syscall(ctypes.c_long(number), *wide)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


class Answer:
    """What an attack has to show.

    Attributes:
        read: Text it got hold of; the arena looks for its secrets in there.
        did: What it did that no session should be able to.
        partly: What it did that is a nuisance at most.
        made: Files it made outside of its own directories.
        refused: What it was refused, and how.
    """

    def __init__(self) -> None:
        self.read: list[str] = []
        self.did: list[str] = []
        self.partly: list[str] = []
        self.made: list[str] = []
        self.refused: list[str] = []

    @contextmanager
    def trying(self, what: str) -> Generator[None]:
        """Go on after the block when the kernel refuses what is in it."""
        try:
            yield
        except OSError as exc:
            name = errno.errorcode.get(exc.errno or 0, str(exc))
            self.refused.append(f"{what}: {name}")

    def file(self, path: str, limit: int = 65536) -> None:
        """Try to read a file."""
        with self.trying(path):
            fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
            try:
                self.read.append(os.read(fd, limit).decode(errors="replace"))
            finally:
                os.close(fd)

    def make(self, path: str, text: str) -> None:
        """Try to make a file."""
        with self.trying(path):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            try:
                os.write(fd, text.encode())
            finally:
                os.close(fd)
            self.made.append(path)
