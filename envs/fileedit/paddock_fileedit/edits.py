"""What an agent can do to files. An edit happens wholly or not at all, unless told otherwise."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field, model_validator

from paddock.types import Action
from paddock.workspace import Base64, Record
from paddock_fileedit.queries import Path, TimeoutS

__all__ = [
    "ApplyDiff",
    "ApplyPatch",
    "Copy",
    "Create",
    "Delete",
    "Edit",
    "Fuzzy",
    "Insert",
    "Mkdir",
    "Move",
    "MultiEdit",
    "Redo",
    "StrReplace",
    "Submit",
    "Undo",
]

Fuzzy = Literal["off", "trailing_whitespace", "indentation", "punctuation"]
"""What a match may overlook; each level includes those before it."""

FuzzyLevel = Annotated[
    Fuzzy,
    Field(
        description="What a match may overlook: nothing, whitespace at the ends of lines, also"
        " indentation, also look-alike Unicode punctuation. The answer says when it was used."
    ),
]

ExpectedEtag = Annotated[
    str | None,
    Field(description="Refuse the edit unless the file is still the version with this etag."),
]

DryRun = Annotated[bool, Field(description="Say what would change, and change nothing.")]

Atomic = Annotated[
    bool, Field(description="Change everything or nothing; false keeps the parts that worked.")
]

OldStr = Annotated[
    str, Field(min_length=1, description="The text to replace, exactly as it is in the file.")
]

NewStr = Annotated[str, Field(description="The text to put in its place; empty deletes it.")]

ReplaceAll = Annotated[
    bool, Field(description="Replace every occurrence; otherwise there must be exactly one.")
]

Destination = Annotated[
    str, Field(min_length=1, description="The new path, relative to the workspace.")
]

Overwrite = Annotated[
    bool, Field(description="Replace what is already at the new path; otherwise refuse.")
]


class Create(Action):
    """Create a file, and the directories it needs, with the text in `file_text`."""

    type: Literal["create"] = "create"
    path: Path
    file_text: str | None = Field(
        default=None, description="The file's text, written with the line endings it has."
    )
    file_b64: Base64 | None = Field(
        default=None, description="The file's bytes as base64, instead of `file_text`."
    )
    overwrite: bool = Field(
        default=False, description="Replace a file that is already there; otherwise refuse."
    )
    encoding: str | None = Field(
        default=None, description="Encoding of the text; UTF-8, or that of the file it replaces."
    )
    expected_etag: ExpectedEtag = None
    dry_run: DryRun = False

    @model_validator(mode="after")
    def _one_content(self) -> "Create":
        if (self.file_text is None) == (self.file_b64 is None):
            raise ValueError("give exactly one of file_text, file_b64")
        return self


class StrReplace(Action):
    """Replace a piece of text that occurs exactly once in a file.

    Line endings need not be given as the file has them: it keeps its own. When the text is not
    found, the answer shows what comes closest; when it is found more than once, where.
    """

    type: Literal["str_replace"] = "str_replace"
    path: Path
    old_str: OldStr
    new_str: NewStr = ""
    replace_all: ReplaceAll = False
    fuzzy: FuzzyLevel = "off"
    expected_etag: ExpectedEtag = None
    dry_run: DryRun = False


class Insert(Action):
    """Insert text after a line."""

    type: Literal["insert"] = "insert"
    path: Path
    insert_line: int = Field(
        ge=0, description="The line to insert after, counted from 1; 0 is the file's beginning."
    )
    # Anthropic's text editor of 2025-07-28 says `insert_text`, its predecessors `new_str`.
    insert_text: str = Field(
        validation_alias=AliasChoices("insert_text", "new_str"),
        description="The lines to insert; a final newline is added where one is needed.",
    )
    expected_etag: ExpectedEtag = None
    dry_run: DryRun = False


class Delete(Action):
    """Delete a file or a directory. A symbolic link is deleted, not what it points to."""

    type: Literal["delete"] = "delete"
    path: Path
    recursive: bool = Field(default=False, description="Also a directory that is not empty.")
    expected_etag: ExpectedEtag = None
    dry_run: DryRun = False


class Move(Action):
    """Move or rename a file or a directory."""

    type: Literal["move"] = "move"
    path: Path
    destination: Destination
    overwrite: Overwrite = False
    dry_run: DryRun = False


class Copy(Action):
    """Copy a file or a directory, permissions and links included."""

    type: Literal["copy"] = "copy"
    path: Path
    destination: Destination
    overwrite: Overwrite = False
    dry_run: DryRun = False


class Mkdir(Action):
    """Create a directory, and the directories above it; it may exist already."""

    type: Literal["mkdir"] = "mkdir"
    path: Path


class Edit(Record):
    """One replacement of a `multi_edit`."""

    path: str | None = Field(default=None, description="The file; the action's when left out.")
    old_str: OldStr
    new_str: NewStr = ""
    replace_all: ReplaceAll = False
    expected_etag: ExpectedEtag = None


class MultiEdit(Action):
    """Make several replacements in one or more files, one after another."""

    type: Literal["multi_edit"] = "multi_edit"
    edits: list[Edit] = Field(
        min_length=1, description="The replacements; each sees the result of those before it."
    )
    path: str | None = Field(default=None, description="The file of the edits that name none.")
    fuzzy: FuzzyLevel = "off"
    atomic: Atomic = True
    dry_run: DryRun = False

    @model_validator(mode="after")
    def _every_edit_has_a_file(self) -> "MultiEdit":
        if self.path is None and any(edit.path is None for edit in self.edits):
            raise ValueError("give path, for all edits or in each of them")
        return self


class ApplyPatch(Action):
    """Add, update, move and delete files with one patch.

    The patch begins with `*** Begin Patch` and ends with `*** End Patch`; between them are
    sections `*** Add File: path`, `*** Update File: path` (with an optional `*** Move to: path`)
    and `*** Delete File: path`. Changed lines begin with `+` or `-`, unchanged ones with a space,
    and `@@ line` finds the place by a line above it.
    """

    type: Literal["apply_patch"] = "apply_patch"
    patch: str = Field(min_length=1, description="The patch's text.")
    fuzzy: FuzzyLevel = "off"
    atomic: Atomic = True
    dry_run: DryRun = False


class ApplyDiff(Action):
    """Apply a unified diff, as `diff -u` and `git diff` write it. Line counts may be wrong."""

    type: Literal["apply_diff"] = "apply_diff"
    patch: str = Field(min_length=1, description="The diff's text.")
    strip: int = Field(
        default=1, ge=0, description="Leading path components to drop: 1 drops `a/` and `b/`."
    )
    atomic: Atomic = True
    dry_run: DryRun = False
    timeout_s: TimeoutS = None


class Undo(Action):
    """Take the last edit back, whatever it was; again for the one before."""

    type: Literal["undo"] = "undo"


class Redo(Action):
    """Make the edit again that was taken back last."""

    type: Literal["redo"] = "redo"


class Submit(Action):
    """Say that you are finished. The workspace is taken as it is and the episode ends."""

    type: Literal["submit"] = "submit"
    answer: str | None = Field(default=None, description="The answer, if the task asks for one.")
