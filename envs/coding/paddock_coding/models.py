"""The models of the coding environment: what goes in and what comes out."""

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
from paddock_coding.task import CaseResult, Task, TaskOptions, TestPlan, TestReport
from paddock_coding.workspace import FileSpec, GitSource, Limits, Workspace

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
    "Task",
    "TestPlan",
    "TestReport",
    "Truncation",
    "Workspace",
    "WorkspaceDiff",
    "WriteFile",
]


class CodingOptions(TaskOptions):
    """What a reset may ask for: a task, files to begin with, limits."""
