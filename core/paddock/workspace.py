"""What a session starts from and what it may use."""

import base64
import binascii
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Base64",
    "FileSpec",
    "Files",
    "GitSource",
    "Record",
    "Workspace",
]


class Record(BaseModel):
    """What lies inside an action, an observation, a state or the options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _decodable(text: str) -> str:
    try:
        base64.b64decode(text, validate=True)
    except binascii.Error as exc:
        raise ValueError(f"not base64: {exc}") from None
    return text


Base64 = Annotated[str, AfterValidator(_decodable)]
"""Bytes as base64 text, refused at the door when it cannot be decoded."""


class FileSpec(Record):
    """One file of a workspace: exactly one of ``content``, ``content_b64`` and ``symlink_to``."""

    content: str | None = Field(default=None, description="The text, written as UTF-8.")
    content_b64: Base64 | None = Field(default=None, description="The bytes, as base64.")
    symlink_to: str | None = Field(default=None, description="Target of a symbolic link.")
    mode: str = Field(
        default="644", pattern="^[0-7]{3,4}$", description="Permission bits, in octal digits."
    )

    @model_validator(mode="after")
    def _one_source(self) -> "FileSpec":
        if [self.content, self.content_b64, self.symlink_to].count(None) != 2:
            raise ValueError("give exactly one of content, content_b64, symlink_to")
        return self


Files = dict[str, str | FileSpec]
"""Files by their path below the workspace; a plain string is the file's text."""


class GitSource(Record):
    """A repository to start from: exactly one of ``path``, ``bundle_b64`` and ``url``."""

    path: str | None = Field(default=None, description="A repository inside the image.")
    bundle_b64: Base64 | None = Field(default=None, description="A git bundle, as base64.")
    url: str | None = Field(default=None, description="A URL; needs a network.")
    ref: str = Field(default="HEAD", description="The branch, tag or commit to check out.")

    @model_validator(mode="after")
    def _one_source(self) -> "GitSource":
        if [self.path, self.bundle_b64, self.url].count(None) != 2:
            raise ValueError("give exactly one of path, bundle_b64, url")
        return self


class Workspace(Record):
    """The files an episode begins with. Later sources go on top of earlier ones."""

    preset: str | None = Field(default=None, description="A directory that is part of the image.")
    git: GitSource | None = Field(default=None, description="A repository to check out.")
    archive_b64: Base64 | None = Field(
        default=None, description="A tar archive, plain or compressed (gzip, bzip2, xz), as base64."
    )
    files: Files = Field(default_factory=Files, description="Files by path, with their content.")
    setup: list[list[str]] = Field(
        default_factory=list[list[str]],
        description="Commands (argument vectors) to run in the sandbox before the episode begins.",
    )
