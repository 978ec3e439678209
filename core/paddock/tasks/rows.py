"""A task as a row: of a JSON Lines file, or made in Python."""

from typing import Any

from pydantic import Field

from paddock.inline import InlineTask
from paddock.workspace import Workspace

__all__ = ["TaskRow"]


class TaskRow(InlineTask):
    """A task by value that belongs to a set: what a reset takes, and what its author adds."""

    workspace: Workspace | None = Field(default=None, description="Files the episode begins with.")
    solution: str | None = Field(
        default=None, description="A bash script that solves it, for verifying the task."
    )
    answers: list[str] = Field(
        default_factory=list[str],
        description="Texts that would give the task away; the leak scan looks for them.",
    )
    min_reward: float = Field(default=0.0, description="What doing nothing earns.")
    max_reward: float = Field(default=1.0, description="What solving it earns.")
    metadata: dict[str, Any] = Field(
        default_factory=dict[str, Any], description="The author's remarks; public."
    )

    def inline(self) -> InlineTask:
        """Return what of it goes into a reset."""
        return InlineTask.model_construct(
            **{name: getattr(self, name) for name in InlineTask.model_fields}
        )
