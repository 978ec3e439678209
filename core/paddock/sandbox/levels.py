"""Which level of isolation there is: found by running each, never by looking around.

What a container, a kernel or a security module lets a process do cannot be told from version
numbers or flags, so a sandbox of each level is made, a program is run in it that tries to read a
secret of the server's, and the strongest level at which it ran and did not is taken.
"""

import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread

from paddock.errors import ConfigurationError
from paddock.limits import Limits
from paddock.sandbox import linux
from paddock.sandbox.confinement import Level
from paddock.sandbox.sandboxes import Sandboxes
from paddock.sandbox.zygote import SCOPE_ABI

__all__ = ["Chosen", "choose", "probe", "survey"]

PROBE_S = 10.0
_ORDER = (Level.NAMESPACES, Level.UID, Level.LANDLOCK)
_CLOSED = 7
# The secret is the server's: at no level may it be read. Without an answer nothing was proven.
_SCRIPT = f"cat {{secret}} 2>/dev/null && exit 9; exit {_CLOSED}"

_ONE_LOOPBACK = "sessions have no loopback network of their own: network 'loopback' is refused"
_WITHHELD = {
    Level.NAMESPACES: (),
    Level.UID: (
        _ONE_LOOPBACK,
        (
            "where the environment needs /proc or /tmp, sessions see the names of other processes"
            " and of files in /tmp, not what is in them"
        ),
    ),
    Level.LANDLOCK: (
        _ONE_LOOPBACK,
        "no /dev/shm, no UNIX sockets by name, no /proc, no shared /tmp, no terminals of one's own",
        "sessions share a user id with the server: who knows a path can see that it is there",
    ),
    Level.NONE: ("nothing separates sessions from each other, the server and the machine",),
}


@dataclass(frozen=True)
class Chosen:
    """A level, and why it is not a stronger one.

    Attributes:
        level: What separates sessions here.
        refused: Why each stronger level is not to be had.
    """

    level: Level
    refused: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def withheld(self) -> tuple[str, ...]:
        """What this level cannot give or does not promise, in sentences."""
        return _WITHHELD[self.level]

    def as_metadata(self) -> dict[str, Any]:
        """Return what a client may know."""
        return {
            "level": str(self.level),
            "refused": dict(self.refused),
            "withheld": list(self.withheld),
        }

    def __str__(self) -> str:
        refused = "; ".join(f"{level} refused: {why}" for level, why in self.refused.items())
        return f"{self.level}{f' ({refused})' if refused else ''}"


async def choose(requested: str = "auto", *, allow_weak: bool = False) -> Chosen:
    """Take the strongest level that runs, or the one that was asked for.

    Args:
        requested: ``auto`` or a level.
        allow_weak: Go on with ``auto`` where no level runs.

    Raises:
        ConfigurationError: What was asked for is not to be had here.
    """
    if requested == "auto":
        wanted = _ORDER
    else:
        try:
            wanted = (Level(requested),)
        except ValueError:
            known = ", ".join(("auto", *Level))
            raise ConfigurationError(f"isolation {requested!r}: choose one of {known}") from None
    refused: dict[str, str] = {}
    for level in wanted:
        if level is Level.NONE:
            return Chosen(level)
        why = await probe(level)
        if why is None:
            return Chosen(level, refused)
        refused[level] = why
    reasons = "; ".join(f"{level}: {why}" for level, why in refused.items())
    if requested == "auto" and allow_weak:
        return Chosen(Level.NONE, refused)
    raise ConfigurationError(
        f"isolation {requested} cannot be had here ({reasons}). docs/isolation.md says what each"
        " level needs; ISOLATION=none serves without any"
    )


async def survey() -> dict[Level, str | None]:
    """Run every level, and return why each cannot be had; ``None`` for those that can."""
    return {level: await probe(level) for level in _ORDER}


async def probe(level: Level) -> str | None:
    """Run a level, and return why it cannot be had; ``None`` when it can.

    Args:
        level: Which.
    """
    if level is Level.UID and os.geteuid() != 0:
        return "the server is not root"
    if level is Level.LANDLOCK and linux.landlock_abi() < SCOPE_ABI:
        abi = linux.landlock_abi()
        return f"Landlock ABI {SCOPE_ABI} (Linux 6.12) is needed, there is {abi or 'none'}"
    secret = await to_thread.run_sync(_make_secret)
    try:
        with anyio.fail_after(PROBE_S):
            async with Sandboxes.serving(level) as sandboxes:
                sandbox = await sandboxes.open(Limits())
                process = await sandbox.spawn(["sh", "-c", _SCRIPT.format(secret=secret)])
                code = await process.wait()
                process.close()
                await to_thread.run_sync(_look_in, sandbox.workspace)
    except TimeoutError:
        return f"a sandbox did not answer within {PROBE_S:g} s"
    except OSError as exc:
        return str(exc.strerror or exc)
    finally:
        with anyio.CancelScope(shield=True):
            await to_thread.run_sync(secret.unlink)
    if code != _CLOSED:
        return f"a program in it ended with {code}" if code != 9 else "the server's files are open"
    return None


def _look_in(workspace: Path) -> None:
    """Count what is in a session's directory, as the watch over disk and files does."""
    try:
        list(workspace.iterdir())
    except PermissionError as exc:
        why = "the server cannot look into a session's directory (CAP_DAC_OVERRIDE is missing)"
        raise PermissionError(exc.errno, why) from exc


def _make_secret() -> Path:
    fd, path = tempfile.mkstemp()
    with os.fdopen(fd, "w", encoding="ascii") as file:
        file.write("secret")
    return Path(path)
