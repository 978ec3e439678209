"""The models of the file editing environment: what goes in and what comes out."""

from typing import Literal

from pydantic import Field

from paddock.inline import CaseResult, InlineTask, TaskOptions, TestPlan, TestReport
from paddock.limits import Limits
from paddock.workspace import FileSpec, GitSource, Workspace
from paddock_fileedit.edits import (
    ApplyDiff,
    ApplyPatch,
    Copy,
    Create,
    Delete,
    Edit,
    Fuzzy,
    Insert,
    Mkdir,
    Move,
    MultiEdit,
    Redo,
    StrReplace,
    Submit,
    Undo,
)
from paddock_fileedit.observations import (
    Diagnostic,
    ErrorCode,
    FileChange,
    FileEditObservation,
    FileEditState,
    Match,
)
from paddock_fileedit.queries import Check, Diff, Find, Grep, View

__all__ = [
    "ApplyDiff",
    "ApplyPatch",
    "CaseResult",
    "Check",
    "Copy",
    "Create",
    "Delete",
    "Diagnostic",
    "Diff",
    "Edit",
    "ErrorCode",
    "FileChange",
    "FileEditAction",
    "FileEditObservation",
    "FileEditOptions",
    "FileEditState",
    "FileSpec",
    "Find",
    "Fuzzy",
    "GitSource",
    "Grep",
    "InlineTask",
    "Insert",
    "Limits",
    "Match",
    "Mkdir",
    "Move",
    "MultiEdit",
    "Redo",
    "StrReplace",
    "Submit",
    "TestPlan",
    "TestReport",
    "Undo",
    "View",
    "Workspace",
]

# The first is the default action: a bare `{"path": ...}` shows the file.
FileEditAction = (
    View
    | Create
    | StrReplace
    | Insert
    | Delete
    | Move
    | Copy
    | Mkdir
    | MultiEdit
    | ApplyPatch
    | ApplyDiff
    | Undo
    | Redo
    | Find
    | Grep
    | Diff
    | Check
    | Submit
)


class FileEditOptions(TaskOptions):
    """What a reset may ask for: a task, files to begin with, limits, and how to edit."""

    toolset: Literal["anthropic", "claude_code", "codex", "mcp_filesystem"] | None = Field(
        default=None,
        description="Offer the model the tools it was trained with instead of the environment's.",
    )
    require_read: bool = Field(
        default=False,
        description="Refuse to edit a file that was not viewed, or has changed since.",
    )
    encoding: str | None = Field(
        default=None, description="Encoding of files that are neither UTF-8 nor say theirs."
    )
    on_syntax_error: Literal["report", "revert"] = Field(
        default="report", description="What follows an edit that breaks a file's syntax."
    )
