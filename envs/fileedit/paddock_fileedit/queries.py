"""What an agent can do without changing a file: look, search, compare, check."""

from typing import Annotated, Literal

from pydantic import Field

from paddock.types import Action

__all__ = ["Check", "Diff", "Find", "Grep", "Path", "TimeoutS", "View"]

Path = Annotated[str, Field(min_length=1, description="Path relative to the workspace.")]

TimeoutS = Annotated[
    float | None,
    Field(
        gt=0,
        le=3600,
        description="Seconds to allow; the episode's limit (30 by default) when left out, and"
        " never more than the server's ceiling (55 by default).",
    ),
]

IncludeIgnored = Annotated[
    bool, Field(description="Also look at what .gitignore leaves out, and at hidden files.")
]


class View(Action):
    """Show a file with line numbers, or a directory two levels deep.

    A long file is cut; the answer then gives the range to go on with. The answer's `etag` names
    this version of the file, for `expected_etag`.
    """

    type: Literal["view"] = "view"
    path: Path
    view_range: list[int] | None = Field(
        default=None,
        min_length=2,
        max_length=2,
        description="First and last line to show, counted from 1; -1 as the last is the end.",
    )
    max_characters: int | None = Field(
        default=None, gt=0, description="Characters to show at most; lines are kept whole."
    )
    encoding: str | None = Field(
        default=None, description="The file's encoding; found out when left out."
    )


class Find(Action):
    """Find files by name, sorted by path."""

    type: Literal["find"] = "find"
    glob: str = Field(description="What paths must match: `*.py` at any depth, `src/**/test_*`.")
    path: Path = "."
    include_ignored: IncludeIgnored = False
    max_results: int = Field(default=200, gt=0, description="Paths to return at most.")
    timeout_s: TimeoutS = None


class Grep(Action):
    """Search the contents of files, sorted by path and line."""

    type: Literal["grep"] = "grep"
    pattern: str = Field(min_length=1, description="A regular expression in ripgrep's syntax.")
    path: Path = "."
    glob: str | None = Field(default=None, description="Only files whose path matches this.")
    mode: Literal["lines", "files", "count"] = Field(
        default="lines",
        description="Return the matching lines, the files that have any, or how many each has.",
    )
    regex: bool = Field(default=True, description="False takes the pattern literally.")
    ignore_case: bool = Field(default=False, description="Whether letter case is ignored.")
    multiline: bool = Field(default=False, description="Whether a match may span lines.")
    context: int = Field(
        default=0, ge=0, le=100, description="Lines to show before and after each match."
    )
    include_ignored: IncludeIgnored = False
    max_results: int = Field(default=200, gt=0, description="Matches to return at most.")
    timeout_s: TimeoutS = None


class Diff(Action):
    """Show what has changed since the episode began, as a unified diff."""

    type: Literal["diff"] = "diff"
    path: Path = "."
    context: int = Field(default=3, ge=0, le=100, description="Unchanged lines around a change.")
    timeout_s: TimeoutS = None


class Check(Action):
    """Look for syntax errors that were not there when the episode began."""

    type: Literal["check"] = "check"
    path: str | None = Field(
        default=None, description="A file or directory; when left out, all files you changed."
    )
    timeout_s: TimeoutS = None
