"""What an agent can do in a terminal, and what it sees of it.

Pydantic only, so that a trainer can import it without pexpect.
"""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from paddock.inline import TaskOptions
from paddock.types import Action, Observation, State

__all__ = [
    "Resize",
    "Run",
    "SendKeys",
    "TerminalAction",
    "TerminalObservation",
    "TerminalOptions",
    "TerminalState",
    "Wait",
]

MAX_COMMAND_CHARS = 1 << 20
MAX_OUTPUT_BYTES = 400_000

Seconds = Annotated[float, Field(gt=0, le=3600)]
Rows = Annotated[int, Field(ge=2, le=500)]
Columns = Annotated[int, Field(ge=10, le=1000)]


class Run(Action):
    """Run a command in the shell and wait for it to end.

    The shell stays the same from call to call: working directory, variables, functions and
    background jobs persist. Any bash text is fine: several lines, heredocs, loops.
    """

    type: Literal["run"] = "run"
    command: Annotated[str, StringConstraints(max_length=MAX_COMMAND_CHARS, pattern=r"^[^\x00]*$")]
    """What to run. NUL cannot be in it: bash cannot hold one."""
    timeout_s: Seconds = Field(
        default=30.0,
        description="Seconds to wait. The command goes on afterwards: wait for it, or send C-c.",
    )
    max_output_bytes: int = Field(
        default=30_000,
        ge=100,
        le=MAX_OUTPUT_BYTES,
        description="How much output to return: its beginning and its end.",
    )
    raw: bool = Field(default=False, description="Keep escape sequences in the output.")


class SendKeys(Action):
    """Press keys in the terminal, for programs that read them: editors, pagers, prompts, REPLs.

    Each item is a key name, as in tmux (Enter, Tab, Escape, Up, PageDown, F5, C-c, M-x), or else
    text that is typed as it stands. Returns when the terminal has been quiet for a moment.
    """

    type: Literal["send_keys"] = "send_keys"
    keys: list[Annotated[str, StringConstraints(max_length=65_536)]] = Field(
        min_length=1, max_length=1000, description='For example ["print(1)", "Enter"].'
    )
    timeout_s: Seconds = Field(default=5.0, description="Seconds to wait at most.")
    quiet_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=0.3, description="Return after so many seconds without output."
    )
    max_output_bytes: int = Field(
        default=30_000, ge=100, le=MAX_OUTPUT_BYTES, description="How much output to return."
    )
    raw: bool = Field(default=False, description="Keep escape sequences in the output.")


class Wait(Action):
    """Wait for the command that is running, and return what it has printed meanwhile."""

    type: Literal["wait"] = "wait"
    timeout_s: Seconds = Field(default=10.0, description="Seconds to wait at most.")
    quiet_s: Annotated[float, Field(gt=0, le=3600)] | None = Field(
        default=None, description="Return after so many seconds without output, too."
    )
    max_output_bytes: int = Field(
        default=30_000, ge=100, le=MAX_OUTPUT_BYTES, description="How much output to return."
    )
    raw: bool = Field(default=False, description="Keep escape sequences in the output.")


class Resize(Action):
    """Change the size of the terminal's window; the program in front is told."""

    type: Literal["resize"] = "resize"
    rows: Rows = Field(description="Lines.")
    cols: Columns = Field(description="Columns.")


TerminalAction = Run | SendKeys | Wait | Resize


class TerminalObservation(Observation):
    """What the terminal shows of an action."""

    output: str = Field(default="", description="What was printed since the last observation.")
    exit_code: int | None = Field(
        default=None,
        description="Of the command that ended, 128 + n after signal n; null while one runs.",
    )
    running: bool = Field(default=False, description="A command is running in the foreground.")
    timed_out: bool = Field(default=False, description="The time was up before it ended.")
    background_output: str = Field(
        default="", description="What background jobs printed between two commands."
    )
    cwd: str = Field(default="", description="The shell's working directory.")
    dropped_bytes: int = Field(
        default=0, ge=0, description="Bytes cut out of the middle of the output."
    )
    shell_restarted: bool = Field(
        default=False, description="The shell had ended; this is a new one."
    )
    limit: str | None = Field(
        default=None, description="The limit that was hit: its name, what was used, the most."
    )
    instruction: str | None = Field(default=None, description="The task, at the reset.")
    error: str | None = Field(default=None, description="Why the action was not carried out.")


class TerminalState(State):
    """What a trainer may inspect."""

    task_id: str | None = None
    split: str | None = None
    index: int | None = None
    seed: int | None = None
    task_hash: str | None = Field(
        default=None, description="Of all that is in the task, its check included."
    )
    env: str = Field(default="", description="The environment, as a config names it.")
    version: str = Field(default="", description="The environment's version.")
    instruction: str | None = None
    cwd: str = ""
    running: bool = False
    last_exit_code: int | None = None
    rows: int = 0
    cols: int = 0
    shells_started: int = 0
    workspace: str = ""


class TerminalOptions(TaskOptions):
    """What a reset may ask for: a task, files to begin with, limits, and the window's size."""

    rows: Rows = 40
    cols: Columns = 120
