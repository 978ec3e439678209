"""What a bomb is: a command, the limits it is set off with, and what is to come of it."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.bombs.place import Place

__all__ = ["LIMITS", "Bomb", "python"]

LIMITS: Mapping[str, Any] = {
    "memory_mb": 256,
    "processes": 40,
    "open_files": 256,
    "disk_mb": 64,
    "inodes": 5000,
    "output_mb": 16,
}
"""Small, so that a bomb is soon over; and so that one that nothing stops does little harm."""

# Nothing is set off by the machine's root, or where the kernel's own limit is not in force.
_GUARD = '[ "$EUID" -ne 0 ] && [ "$(ulimit -u)" -le 64 ] || exit 99\n'
# In a container of its own that has limits, it may be the watch that limits the processes.
_GUARD_IN_CONTAINER = '[ "$EUID" -ne 0 ] || exit 99\n'


@dataclass(frozen=True)
class Bomb:
    """An attempt to use up something.

    Attributes:
        name: Of the test.
        command: What is run in the shell.
        timeout_s: How long the step waits.
        says: A regular expression that is found in what there is to see: what the kernel said, or
            after ``limit: `` the limit that was hit.
        says_landlock: The same at level `landlock`, where it ends differently there.
        unstopped_in: The kind of server in which nothing stops it but the end of its step.
        holds_up_landlock: Seconds that others may wait for it at level `landlock`, where it goes on
            until the watch has counted its processes.
        comes_to: How many processes it has at least.
        survives: Seconds to look at the server after the step, because the bomb still runs.
        resets: The end of its episode is a reset, and not that of the session.
        stops: It stops its own shell, which then carries nothing out any more.
        limits: Limits that differ.
    """

    name: str
    command: str
    timeout_s: float = 20.0
    says: str = ""
    says_landlock: str | None = None
    unstopped_in: str = ""
    holds_up_landlock: float = 0.0
    comes_to: int = 0
    survives: float = 0.0
    resets: bool = False
    stops: bool = False
    limits: Mapping[str, Any] = field(default_factory=dict[str, Any])

    def guarded(self, *, in_container: bool) -> str:
        """Return the command, which does nothing outside of a sandbox.

        Args:
            in_container: The server is in a container that was started with limits.
        """
        return (_GUARD_IN_CONTAINER if in_container else _GUARD) + self.command

    def evidence_in(self, place: Place) -> str:
        """Return the regular expression for what is to be seen in a kind of server."""
        if place.name == self.unstopped_in:
            return "^KeyboardInterrupt$"
        if place.level == "landlock" and self.says_landlock is not None:
            return self.says_landlock
        return self.says

    @property
    def all_limits(self) -> dict[str, Any]:
        """The limits it is set off with."""
        return {**LIMITS, **self.limits}


def python(program: str) -> str:
    """Return a command that runs a Python program."""
    return f"/usr/bin/python3 -I -S -c {shlex.quote(program)}"
