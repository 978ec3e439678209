"""What is to be run at the end of an episode, as data."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

from paddock.errors import ConfigurationError

__all__ = ["HARBOR_LOGS", "HARBOR_TESTS", "PROTECTED", "Check", "Reads"]

HARBOR_TESTS = "/tests"
HARBOR_LOGS = "/logs/verifier"

PROTECTED = ("conftest.py", "sitecustomize.py", "usercustomize.py", "*.pth")
"""What Python and pytest run without being asked to."""

TIMEOUT_S = 45.0

Reads = Literal["auto", "file", "exit"]
"""Where the reward comes from: Harbor's files, or the exit status. ``auto``: from the files if the
check's own text names one of them, so that no program of the agent's can turn up with one where
none is expected."""


@dataclass(frozen=True)
class Check:
    """A command, the files it needs, and how it is run.

    Attributes:
        files: A directory of the server's that is put at `HARBOR_TESTS`, once the agent is gone.
        command: Its argument vector; runs in the copy of the workspace.
        timeout_s: Seconds it may take.
        reads: Where its verdict is.
        fresh: Begin with ``template`` and copy ``artifacts`` only, instead of the whole workspace.
        artifacts: Files and directories below the workspace.
        template: What the workspace began with.
        protected: Globs of files that are put back as they are in the template, or removed. One
            without a slash is compared with the last name.
        env: Further environment variables.
    """

    files: Path | None = None
    command: tuple[str, ...] = ("bash", f"{HARBOR_TESTS}/test.sh")
    timeout_s: float = TIMEOUT_S
    reads: Reads = "auto"
    fresh: bool = False
    artifacts: tuple[str, ...] = ()
    template: Path | None = None
    protected: tuple[str, ...] = PROTECTED
    env: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of_task(cls, path: Path) -> "Check":
        """Read the check of a task in Harbor's layout. Blocks.

        ``[verifier]`` in ``task.toml`` may set ``timeout_sec``, ``env``, and, beyond Harbor,
        ``command``, ``reads``, ``fresh``, ``artifacts`` and ``protected``.

        Args:
            path: The task's directory.

        Raises:
            ConfigurationError: A setting is not what it should be.
            OSError: It cannot be read.
        """
        settings = tomllib.loads((path / "task.toml").read_text(encoding="utf-8"))
        verifier = cast("dict[str, Any]", settings.get("verifier", {}))
        template = path / "environment"
        reads = verifier.get("reads", "auto")
        if reads not in ("auto", "file", "exit"):
            raise ConfigurationError(f"verifier.reads is {reads!r}, not auto, file or exit")
        env = verifier.get("env", {})
        if not isinstance(env, dict):
            raise ConfigurationError("verifier.env is not a table")
        return cls(
            files=path / "tests",
            command=_strings(verifier, "command", cls.command),
            timeout_s=float(verifier.get("timeout_sec", TIMEOUT_S)),
            reads=reads,
            fresh=bool(verifier.get("fresh", False)),
            artifacts=_strings(verifier, "artifacts", ()),
            template=template if template.is_dir() else None,
            protected=_strings(verifier, "protected", PROTECTED),
            env={str(k): str(v) for k, v in cast("dict[object, object]", env).items()},
        )


def _strings(table: dict[str, Any], key: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = table.get(key)
    if value is None:
        return default
    items = cast("list[object]", value) if isinstance(value, list) else []
    if not isinstance(value, list) or not all(isinstance(item, str) for item in items):
        raise ConfigurationError(f"verifier.{key} is not a list of strings")
    return tuple(map(str, items))
