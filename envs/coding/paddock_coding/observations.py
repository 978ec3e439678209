"""What an agent sees of its code, and what a trainer may inspect."""

from typing import Any, Literal, Self

from pydantic import Field, JsonValue

from paddock.inline import TestReport
from paddock.limits import Limits
from paddock.types import Observation, State
from paddock.workspace import Record

__all__ = [
    "CodingDetails",
    "CodingObservation",
    "CodingState",
    "ErrorInfo",
    "ExecStatus",
    "FileContent",
    "FileEntry",
    "IsolationInfo",
    "MimeBundle",
    "SessionInfo",
    "Truncation",
    "WorkspaceDiff",
]

ExecStatus = Literal["ok", "error", "timeout", "interrupted", "killed", "crashed", "sandbox_error"]
"""How code ended: by itself, by an exception or a non-zero exit, by its time limit, by an
interrupt, by another limit, by a signal of its own making, or by a failure that is not its own."""


class CodingObservation(Observation):
    """What the code printed and how it ended.

    ``exit_code`` is 0 when all went well, 1 after an uncaught exception, n after ``sys.exit(n)``,
    124 after a time limit, and 128 plus the signal's number for a process that a signal ended.
    """

    # Exactly these three: OpenEnv's typed CodingEnv client forbids others. The rest is
    # `CodingDetails`, in the metadata.
    stdout: str = Field(default="", description="Standard output; undecodable bytes are escaped.")
    stderr: str = Field(default="", description="Standard error; undecodable bytes are escaped.")
    exit_code: int = Field(default=0, description="0 when all went well.")

    @property
    def details(self) -> "CodingDetails":
        """The typed part of the metadata.

        Raises:
            ValidationError: The metadata are not from this environment.
        """
        return CodingDetails.from_metadata(self.metadata)


class ErrorInfo(Record):
    """An uncaught exception."""

    name: str = Field(description="The exception's class: `ValueError`.")
    value: str = Field(default="", description="Its text.")
    traceback: list[str] = Field(
        default_factory=list[str], description="The traceback's lines, without terminal colours."
    )


class MimeBundle(Record):
    """One rich output, in as many formats as it has, as in a notebook."""

    data: dict[str, JsonValue] = Field(
        default_factory=dict[str, JsonValue],
        description="By MIME type: text, JSON, or base64 for binary formats such as image/png.",
    )
    metadata: dict[str, JsonValue] = Field(
        default_factory=dict[str, JsonValue], description="Display hints, such as a picture's size."
    )


class Truncation(Record):
    """How much of a stream was kept."""

    total_bytes: int = Field(default=0, ge=0, description="Bytes the code wrote.")
    kept_bytes: int = Field(default=0, ge=0, description="Bytes that are in the answer.")


class FileContent(Record):
    """A file that was read or fetched: text in ``content``, any other bytes in ``content_b64``."""

    content: str | None = Field(default=None, description="The text.")
    content_b64: str | None = Field(default=None, description="The bytes, as base64.")
    total_bytes: int = Field(default=0, ge=0, description="The whole file's size in bytes.")
    truncated: bool = Field(default=False, description="Whether this is only a part of it.")


class FileEntry(Record):
    """One entry of a listing."""

    path: str = Field(description="Path relative to the workspace.")
    kind: Literal["file", "directory", "symlink", "other"] = Field(
        default="file", description="What it is."
    )
    size: int = Field(default=0, ge=0, description="Bytes.")


class CodingDetails(Record):
    """All there is to know of a step beside its output: the observation's metadata, typed."""

    status: ExecStatus = Field(default="ok", description="How the code ended.")
    reason: str | None = Field(
        default=None,
        description="More of it: the limit that killed it (memory, output, processes, disk, cpu),"
        " or what failed in the sandbox.",
    )
    signal: int | None = Field(default=None, description="Number of the signal that ended it.")
    error: ErrorInfo | None = Field(default=None, description="The uncaught exception.")
    result: str | None = Field(default=None, description="The last expression's value, as text.")
    display: list[MimeBundle] = Field(
        default_factory=list[MimeBundle], description="Plots, tables and other rich outputs."
    )
    execution_count: int | None = Field(
        default=None, ge=1, description="How many pieces of code the session has run."
    )
    session_restarted: bool = Field(
        default=False, description="Whether the session was lost and began anew, variables gone."
    )
    background: bool = Field(
        default=False, description="Whether some of the output is from earlier code's threads."
    )
    duration_s: float = Field(default=0, ge=0, description="Seconds it took.")
    cpu_s: float = Field(default=0, ge=0, description="CPU seconds it took.")
    max_rss_mb: float = Field(default=0, ge=0, description="Peak resident memory in MiB.")
    truncated: dict[str, Truncation] = Field(
        default_factory=dict[str, Truncation],
        description="What was cut, by stream: stdout, stderr, display.",
    )
    files: dict[str, FileContent] = Field(
        default_factory=dict[str, FileContent], description="Files read or fetched, by path."
    )
    entries: list[FileEntry] = Field(
        default_factory=list[FileEntry], description="What `list_files` found."
    )
    files_changed: list[str] = Field(
        default_factory=list[str], description="Workspace files it created, changed or deleted."
    )
    tests: TestReport | None = Field(default=None, description="The results of a run of tests.")
    instruction: str | None = Field(default=None, description="The task, at the reset.")
    termination_reason: Literal["submitted", "evaluated", "max_steps"] | None = Field(
        default=None,
        description="Why the episode is over; `max_steps` is what Gymnasium calls truncated.",
    )

    def as_metadata(self) -> dict[str, Any]:
        """Return what goes into the observation's ``metadata``."""
        return self.model_dump(mode="json")

    @classmethod
    def from_metadata(cls, metadata: dict[str, Any]) -> Self:
        """Read the details out of an observation's metadata, where others may have added theirs.

        Raises:
            ValidationError: The metadata are not from this environment.
        """
        return cls.model_validate({k: v for k, v in metadata.items() if k in cls.model_fields})


class SessionInfo(Record):
    """One Python session."""

    name: str = Field(description="The name actions use.")
    execution_count: int = Field(default=0, ge=0, description="Pieces of code it has run.")
    restarts: int = Field(default=0, ge=0, description="How often it began anew.")
    rss_mb: float = Field(default=0, ge=0, description="Resident memory in MiB.")


class WorkspaceDiff(Record):
    """What has changed in the workspace since the episode began."""

    text: str = Field(default="", description="A unified diff, in git's format.")
    sha256: str = Field(default="", description="Of the whole diff, in hexadecimal digits.")
    truncated: bool = Field(default=False, description="Whether `text` is only its beginning.")
    files: list[str] = Field(default_factory=list[str], description="The files it is about.")


class IsolationInfo(Record):
    """What separates the session from the server and from other sessions."""

    level: Literal["namespaces", "uid", "landlock", "none"] = Field(
        default="none", description="The level in force."
    )
    refused: dict[str, str] = Field(
        default_factory=dict[str, str], description="Why each stronger level was not taken."
    )


class CodingState(State):
    """What a trainer may inspect of an episode."""

    last_exit_code: int = Field(default=0, description="The last observation's exit code.")
    last_status: ExecStatus = Field(default="ok", description="The last details' status.")
    sessions: list[SessionInfo] = Field(
        default_factory=list[SessionInfo], description="The Python sessions there are."
    )
    limits: Limits = Field(default_factory=Limits, description="What the session may use.")
    seed: int | None = Field(default=None, description="The seed the reset asked for.")
    task_id: str | None = Field(default=None, description="The task, once resolved.")
    instruction: str | None = Field(default=None, description="What the agent was told.")
    tests: TestReport | None = Field(default=None, description="The last run of tests.")
    submitted: bool = Field(default=False, description="Whether the agent said it is finished.")
    diff: WorkspaceDiff | None = Field(
        default=None, description="What has changed since the episode began."
    )
    isolation: IsolationInfo = Field(
        default_factory=IsolationInfo, description="What separates the session from others."
    )
