"""A task by value, the options that name one, and what its tests said."""

from typing import Literal

from pydantic import Field

from paddock.limits import Limits
from paddock.types import ResetOptions
from paddock.workspace import Files, Record, Workspace

__all__ = ["CaseResult", "InlineTask", "TaskOptions", "TestPlan", "TestReport"]


class TestPlan(Record):
    """How a task given by value is checked, as in Harbor's task directories."""

    __test__ = False  # pytest would take the name for a test class

    command: list[str] = Field(
        default_factory=lambda: ["bash", "tests/test.sh"],
        min_length=1,
        description="The check's argument vector, run in the workspace; where it names one of"
        " `files`, it gets the path that this has then. Exit status 0 is done.",
    )
    files: Files = Field(
        default_factory=Files,
        description="Files the check needs; they reach the sandbox only when it runs.",
    )
    visible_files: Files = Field(
        default_factory=Files,
        description="Tests the agent may read and run itself; they count for nothing.",
    )
    timeout_s: float = Field(default=45, gt=0, description="Seconds the check may take.")
    fresh: bool = Field(
        default=False, description="Check a copy of the workspace in a sandbox of its own."
    )


class InlineTask(Record):
    """A task by value, for trainers that own their data."""

    id: str = Field(description="Names the task in logs.")
    instruction: str = Field(default="", description="What the agent is told.")
    tests: TestPlan | None = Field(default=None, description="The check; none means not scored.")
    protected: list[str] = Field(
        default_factory=list[str],
        description="Globs of files that are put back as they were before the check runs; `*`"
        " stands for slashes, too.",
    )
    max_steps: int | None = Field(
        default=None, ge=1, description="Steps after which the episode ends; null for no limit."
    )


class TaskOptions(ResetOptions):
    """A reset names at most one task: by id, by split and index, or by value."""

    task_id: str | None = Field(default=None, description="A task of the environment's own.")
    split: str | None = Field(default=None, description="The split that `index` counts in.")
    index: int | None = Field(default=None, ge=0, description="A task's place in its split.")
    task: InlineTask | None = Field(default=None, description="A task by value.")
    workspace: Workspace | None = Field(
        default=None, description="Files to begin with, on top of the task's."
    )
    limits: Limits | None = Field(
        default=None, description="What the session may use; the defaults when left out."
    )


class CaseResult(Record):
    """One test's result."""

    id: str = Field(description="The test's id.")
    outcome: Literal["passed", "failed", "error", "skipped", "missing"] = Field(
        description="`missing`: the test was expected and never reported."
    )
    duration_s: float = Field(default=0, ge=0, description="Seconds.")
    message: str = Field(default="", description="Why it did not pass.")
    diff: str | None = Field(
        default=None, description="Expected against actual; only of a visible test."
    )


class TestReport(Record):
    """The results of a run of tests."""

    __test__ = False  # pytest would take the name for a test class

    trust: Literal["isolated", "cooperative"] = Field(
        default="cooperative",
        description="`cooperative`: the tests ran in one process with the code they judge, which"
        " could have deceived them.",
    )
    total: int = Field(default=0, ge=0, description="Tests that were expected.")
    passed: int = Field(default=0, ge=0, description="Tests that passed.")
    failed: int = Field(default=0, ge=0, description="Tests whose assertion failed.")
    errors: int = Field(default=0, ge=0, description="Tests that could not be carried out.")
    skipped: int = Field(default=0, ge=0, description="Tests that were skipped.")
    missing: int = Field(default=0, ge=0, description="Expected tests that never reported.")
    cases: list[CaseResult] = Field(
        default_factory=list[CaseResult], description="Each test's result."
    )
