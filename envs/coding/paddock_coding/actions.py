"""What an agent can do: run code in a session, run programs, and handle the workspace's files."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from paddock.types import Action
from paddock.workspace import Base64, Files, Record

__all__ = [
    "Code",
    "CodingAction",
    "Interrupt",
    "ListFiles",
    "ReadFile",
    "Restart",
    "Run",
    "RunLimits",
    "RunTests",
    "Submit",
    "WriteFile",
]

# Not `session_id`: on every door that names the client's hold on the whole environment.
SessionName = Annotated[
    str,
    Field(
        min_length=1,
        max_length=64,
        description="Which Python session; a name not used before starts a fresh one.",
    ),
]

TimeoutS = Annotated[
    float | None,
    Field(
        gt=0,
        le=3600,
        description="Seconds to allow; the episode's limit (30 by default) when left out, and"
        " never more than the server's ceiling (55 by default).",
    ),
]

Path = Annotated[str, Field(min_length=1, description="Path relative to the workspace.")]


class Code(Action):
    """Run Python code in a session that keeps its variables, imports and files between calls.

    It behaves like a notebook cell: the last expression's value is shown, plots and tables are
    captured, top-level `await`, `%magics` and `!commands` work. There is no standard input. Code
    that runs too long is interrupted and the variables stay; only if it cannot be interrupted is
    the session restarted, and the answer says so.
    """

    type: Literal["code"] = "code"
    code: str = Field(description="Python source, any number of lines.")
    session: SessionName = "default"
    timeout_s: TimeoutS = None


class RunLimits(Record):
    """Limits of one program, each at most the episode's; null takes the episode's."""

    cpu_s: float | None = Field(default=None, gt=0, description="CPU seconds.")
    memory_mb: int | None = Field(default=None, gt=0, description="MiB of memory.")
    processes: int | None = Field(default=None, gt=0, description="Processes and threads.")
    file_mb: int | None = Field(default=None, gt=0, description="MiB of a single file.")
    output_chars: int | None = Field(
        default=None, gt=0, description="Characters of output to keep, for each stream."
    )


class Run(Action):
    """Run a program in a fresh process in the workspace, apart from any session.

    The program is compiled first where its language needs that. It ends with its main process:
    whatever it leaves running is killed.
    """

    type: Literal["run"] = "run"
    code: str = Field(description="The program's source.")
    language: str = Field(
        default="python",
        description="The program's language: python, bash, node, c, cpp, or another that the"
        " server's image has.",
    )
    stdin: str | None = Field(
        default=None, description="Standard input; when left out, reading it finds its end at once."
    )
    args: list[str] = Field(
        default_factory=list[str], description="Command line arguments of the program."
    )
    env: dict[str, str] = Field(
        default_factory=dict[str, str], description="Environment variables to set for it."
    )
    files: Files = Field(
        default_factory=Files, description="Files to write into the workspace first, by path."
    )
    fetch: list[str] = Field(
        default_factory=list[str],
        description="Paths or globs of files to return with the answer once it has ended.",
    )
    limits: RunLimits | None = Field(default=None, description="Tighter limits for this run.")
    timeout_s: TimeoutS = None


class RunTests(Action):
    """Run the task's visible tests against the workspace and report each test's result.

    They are for your own use: the tests that decide about the task may be others.
    """

    type: Literal["run_tests"] = "run_tests"
    select: list[str] = Field(
        default_factory=list[str], description="Ids of the tests to run; empty runs them all."
    )
    timeout_s: TimeoutS = None


class Interrupt(Action):
    """Stop what a session still runs (threads, tasks, child processes) and keep its variables.

    What does not stop within a second is killed; the session then starts anew, and the answer
    says so.
    """

    type: Literal["interrupt"] = "interrupt"
    session: SessionName = "default"


class Restart(Action):
    """Start a session anew: its variables and imports are gone, the workspace's files stay."""

    type: Literal["restart"] = "restart"
    session: SessionName = "default"


class WriteFile(Action):
    """Write a file into the workspace, creating its directories and replacing what was there.

    Give the text in `content`, or the bytes in `content_b64`.
    """

    type: Literal["write_file"] = "write_file"
    path: Path
    content: str | None = Field(default=None, description="The text, written as UTF-8.")
    content_b64: Base64 | None = Field(
        default=None, description="The bytes as base64, instead of `content`."
    )
    append: bool = Field(default=False, description="Add to the end of the file instead.")

    @model_validator(mode="after")
    def _one_content(self) -> "WriteFile":
        if (self.content is None) == (self.content_b64 is None):
            raise ValueError("give exactly one of content, content_b64")
        return self


class ReadFile(Action):
    """Read a file of the workspace: its text is the output, bytes that are no text are base64."""

    type: Literal["read_file"] = "read_file"
    path: Path
    offset: int = Field(default=0, ge=0, description="Bytes to skip.")
    max_bytes: int = Field(default=100_000, gt=0, description="Bytes to read at most.")


class ListFiles(Action):
    """List the files below a directory of the workspace, sorted by path."""

    type: Literal["list_files"] = "list_files"
    path: str = Field(default=".", description="Directory, relative to the workspace.")
    pattern: str | None = Field(
        default=None, description="Glob that paths below the directory must match: `**/*.py`."
    )
    max_results: int = Field(default=1000, gt=0, description="Entries to list at most.")


class Submit(Action):
    """Say that you are finished. The workspace is taken as it is and the episode ends."""

    type: Literal["submit"] = "submit"
    answer: str | None = Field(default=None, description="The answer, if the task asks for one.")


# The first is the default action: `CodingEnv`, OpenEnv's client, sends `{"code": ...}` without a
# type.
CodingAction = (
    Code | Run | RunTests | Interrupt | Restart | WriteFile | ReadFile | ListFiles | Submit
)
