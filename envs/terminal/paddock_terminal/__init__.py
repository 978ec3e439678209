"""A real shell on a real terminal, one per session."""

from paddock.catalog import EnvSpec
from paddock.sandbox.confinement import Profile
from paddock_terminal.models import (
    Resize,
    Run,
    SendKeys,
    TerminalAction,
    TerminalObservation,
    TerminalOptions,
    TerminalState,
    Wait,
)

__all__ = [
    "SPEC",
    "Resize",
    "Run",
    "SendKeys",
    "TerminalAction",
    "TerminalObservation",
    "TerminalOptions",
    "TerminalState",
    "Wait",
]

SPEC = EnvSpec(
    name="terminal",
    version="0.1.0",
    description="A bash shell on a terminal of its own: run commands, press keys, wait.",
    entry_point="paddock_terminal.env:TerminalEnv",
    action=TerminalAction,
    observation=TerminalObservation,
    state=TerminalState,
    options=TerminalOptions,
    extra="terminal",
    tasks="paddock_terminal.env:TASKS",
    # What ordinary command lines need; docs/isolation.md says what it opens at which level.
    sandbox=Profile(proc=True, tmp=True, ptmx=True),
    session_memory_mb=32,
    tags=("terminal", "shell", "bash", "coding"),
)
