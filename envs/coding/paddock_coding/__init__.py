"""The coding environment: its spec and its models."""

from paddock.catalog import EnvSpec
from paddock_coding.models import (
    Code,
    CodingAction,
    CodingDetails,
    CodingObservation,
    CodingOptions,
    CodingState,
    Interrupt,
    ListFiles,
    ReadFile,
    Restart,
    Run,
    RunTests,
    Submit,
    WriteFile,
)

__all__ = [
    "SPEC",
    "Code",
    "CodingAction",
    "CodingDetails",
    "CodingObservation",
    "CodingOptions",
    "CodingState",
    "Interrupt",
    "ListFiles",
    "ReadFile",
    "Restart",
    "Run",
    "RunTests",
    "Submit",
    "WriteFile",
]

SPEC = EnvSpec(
    name="coding",
    version="0.1.0",
    description="Run code: a Python session that keeps its variables, and programs in several"
    " languages.",
    entry_point="paddock_coding.env:CodingEnv",
    action=CodingAction,
    observation=CodingObservation,
    state=CodingState,
    options=CodingOptions,
    extra="coding",
    session_memory_mb=192,
    tags=("code", "python", "notebook", "tests"),
)
