"""What an agent sees of the files, and what a trainer may inspect."""

from typing import Literal

from pydantic import Field

from paddock.inline import TestReport
from paddock.types import Observation, State
from paddock.workspace import Record
from paddock_fileedit.edits import Fuzzy

__all__ = [
    "Diagnostic",
    "ErrorCode",
    "FileChange",
    "FileEditObservation",
    "FileEditState",
    "Match",
]

ErrorCode = Literal[
    "not_found",
    "exists",
    "not_unique",
    "no_match",
    "outside_workspace",
    "is_directory",
    "binary",
    "too_large",
    "encoding",
    "stale",
    "invalid_argument",
    "patch_failed",
    "permission",
    "limit",
]
"""Why an action was refused. Nothing has changed then."""


class Match(Record):
    """A place in a file: a hit of a search, an occurrence, or what comes close to one."""

    path: str = Field(description="Path relative to the workspace.")
    line: int | None = Field(default=None, ge=1, description="First line, counted from 1.")
    end_line: int | None = Field(default=None, ge=1, description="Last line, inclusive.")
    text: str = Field(default="", description="The line or lines, long ones cut.")
    before: list[str] = Field(default_factory=list[str], description="Lines before, for context.")
    after: list[str] = Field(default_factory=list[str], description="Lines after, for context.")
    count: int | None = Field(default=None, ge=0, description="Matches in the file, when counted.")
    score: float | None = Field(
        default=None, ge=0, le=1, description="How close it comes; null for a real match."
    )
    hint: str | None = Field(
        default=None, description="What differs: whitespace, tabs, quotes, copied line numbers."
    )


class FileChange(Record):
    """What happened to one file."""

    path: str = Field(description="Path relative to the workspace.")
    kind: Literal["A", "M", "D", "R"] = Field(
        description="Added, modified, deleted, or renamed, in git's letters."
    )
    old_path: str | None = Field(default=None, description="The path before it was renamed.")
    added: int = Field(default=0, ge=0, description="Lines added.")
    removed: int = Field(default=0, ge=0, description="Lines removed.")
    diff: str = Field(default="", description="A unified diff, cut when it is long.")
    diff_truncated: bool = Field(default=False, description="Whether `diff` was cut.")
    etag: str | None = Field(default=None, description="The new version's etag; none if deleted.")
    fuzzy: Fuzzy = Field(default="off", description="What the match had to overlook.")


class Diagnostic(Record):
    """A syntax error that was not there before."""

    path: str = Field(description="Path relative to the workspace.")
    line: int = Field(ge=1, description="Line, counted from 1.")
    column: int | None = Field(default=None, ge=1, description="Character, counted from 1.")
    message: str = Field(description="What is wrong.")
    severity: Literal["error", "warning"] = Field(default="error", description="How bad it is.")
    source: str = Field(default="", description="What found it: `python`, `json`, ...")


class FileEditObservation(Observation):
    """What an action showed or changed, or why it was refused."""

    output: str = Field(default="", description="The answer, as text for the model.")
    error: str | None = Field(default=None, description="Why the action was refused.")
    error_code: ErrorCode | None = Field(default=None, description="The same, for programs.")
    path: str | None = Field(default=None, description="The file it is about.")
    etag: str | None = Field(default=None, description="Names this version of the file.")
    matches: list[Match] = Field(
        default_factory=list[Match], description="Hits, occurrences, or near misses."
    )
    changes: list[FileChange] = Field(
        default_factory=list[FileChange], description="What happened to which file."
    )
    diagnostics: list[Diagnostic] = Field(
        default_factory=list[Diagnostic], description="Syntax errors that were not there before."
    )
    encoding: str | None = Field(
        default=None,
        description="The file's encoding; `unknown-8bit` when no encoding fits all its bytes.",
    )
    eol: Literal["lf", "crlf", "cr", "mixed", "none"] | None = Field(
        default=None, description="The file's line endings."
    )
    total_lines: int | None = Field(default=None, ge=0, description="Lines in the file.")
    truncated: bool = Field(default=False, description="Whether the answer was cut.")
    next_range: list[int] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="The `view_range` that goes on where the answer was cut.",
    )
    instruction: str | None = Field(default=None, description="The task, at the reset.")
    termination_reason: Literal["submitted", "evaluated", "max_steps"] | None = Field(
        default=None,
        description="Why the episode is over; `max_steps` is what Gymnasium calls truncated.",
    )


class FileEditState(State):
    """What a trainer may inspect of an episode."""

    root: str = Field(default="", description="The workspace's path inside the sandbox.")
    files: int = Field(default=0, ge=0, description="Files in the workspace.")
    bytes: int = Field(default=0, ge=0, description="Bytes in all of them.")
    dirty: list[str] = Field(
        default_factory=list[str], description="Files that differ from the episode's beginning."
    )
    history: int = Field(default=0, ge=0, description="Edits that can be taken back.")
    seed: int | None = Field(default=None, description="The seed the reset asked for.")
    task_id: str | None = Field(default=None, description="The task, once resolved.")
    instruction: str | None = Field(default=None, description="What the agent was told.")
    diff: str = Field(
        default="", description="From the beginning to now, as `git diff --binary`; may be cut."
    )
    diff_sha256: str = Field(
        default="", description="Of the whole diff's bytes, in hexadecimal digits."
    )
    diff_truncated: bool = Field(default=False, description="Whether `diff` was cut.")
    tree_hash: str = Field(
        default="", description="Git's tree id of the workspace: contents and modes, exactly."
    )
    tests: TestReport | None = Field(default=None, description="What the check's tests said.")
    submitted: bool = Field(default=False, description="Whether the agent said it is finished.")
