"""The models of the coding environment: what goes in and what comes out."""

from paddock.inline import CaseResult, InlineTask, TaskOptions, TestPlan, TestReport
from paddock.limits import Limits
from paddock.workspace import FileSpec, GitSource, Workspace
from paddock_coding.actions import (
    Code,
    CodingAction,
    Interrupt,
    ListFiles,
    ReadFile,
    Restart,
    Run,
    RunLimits,
    RunTests,
    Submit,
    WriteFile,
)
from paddock_coding.observations import (
    CodingDetails,
    CodingObservation,
    CodingState,
    ErrorInfo,
    ExecStatus,
    FileContent,
    FileEntry,
    IsolationInfo,
    MimeBundle,
    SessionInfo,
    Truncation,
    WorkspaceDiff,
)

__all__ = [
    "CaseResult",
    "Code",
    "CodingAction",
    "CodingDetails",
    "CodingObservation",
    "CodingOptions",
    "CodingState",
    "ErrorInfo",
    "ExecStatus",
    "FileContent",
    "FileEntry",
    "FileSpec",
    "GitSource",
    "InlineTask",
    "Interrupt",
    "IsolationInfo",
    "Limits",
    "ListFiles",
    "MimeBundle",
    "ReadFile",
    "Restart",
    "Run",
    "RunLimits",
    "RunTests",
    "SessionInfo",
    "Submit",
    "TestPlan",
    "TestReport",
    "Truncation",
    "Workspace",
    "WorkspaceDiff",
    "WriteFile",
]


class CodingOptions(TaskOptions):
    """What a reset may ask for: a task, files to begin with, limits."""
