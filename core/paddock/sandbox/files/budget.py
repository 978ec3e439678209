"""How much one operation may take, and whether anybody still waits for it."""

import errno
import time
from dataclasses import dataclass

__all__ = ["Bounds", "Budget", "Stopped"]


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much one operation may take.

    Attributes:
        entries: Entries of a directory, a walk or an archive.
        file_bytes: Bytes of a file that is read or written.
        archive_bytes: Bytes of an archive, headers included, decompressed.
    """

    entries: int
    file_bytes: int
    archive_bytes: int


class Stopped(Exception):
    """Nobody waits for the operation any more. Never reaches a caller."""


class Budget:
    """A deadline and a switch, asked between any two system calls that a session can multiply.

    Args:
        seconds: How long the operation may take from now.
    """

    __slots__ = ("_deadline", "_seconds", "_stopped")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._deadline = time.monotonic() + seconds
        self._stopped = False

    @property
    def left_s(self) -> float:
        """Seconds that are left, not below 0."""
        return max(0.0, self._deadline - time.monotonic())

    def stop(self) -> None:
        """Let the next `check` end the operation. From any thread."""
        self._stopped = True

    def check(self) -> None:
        """Go on only while there is time, and somebody waits.

        Raises:
            TimeoutError: The time is over.
            Stopped: `stop` was called.
        """
        if self._stopped:
            raise Stopped
        if time.monotonic() > self._deadline:
            raise self.over()

    def over(self) -> TimeoutError:
        """Return the error that says that the time is over."""
        return TimeoutError(errno.ETIMEDOUT, f"Not done within {self._seconds:g} s")
