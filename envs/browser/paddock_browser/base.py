"""What the browser's actions have in common: their target, their time, what they give back.

Names and arguments are those of Playwright MCP, camelCase included, where it has the tool: a model
that has learned them needs to learn nothing here. In Python they are snake_case, and the wire takes
both. Left out are its `filename` arguments (answers come inline: an agent need not share a file
system with the server) and the tools with which an agent could forge a reward: running code in the
driver, cookies and storage, request routing.
"""

from typing import Annotated, Literal

from pydantic import AliasChoices, AliasGenerator, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel
from pydantic.json_schema import SkipJsonSchema

from paddock.types import Action

__all__ = [
    "BrowserTool",
    "Button",
    "Element",
    "Modifier",
    "ObserveSpec",
    "OptionalTarget",
    "Record",
    "Target",
    "TimeoutS",
]


class Record(BaseModel):
    """What lies inside an action, an observation, a state or the options."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ObserveSpec(Record):
    """What to put into an observation."""

    snapshot: Literal["full", "viewport", "diff", "none"] = Field(
        default="viewport",
        description="The page's accessibility snapshot: all of it, what is in view, what changed"
        " since the last one, or nothing.",
    )
    max_chars: int = Field(default=48_000, gt=0, description="Characters of snapshot at most.")
    boxes: bool = Field(
        default=False, description="Add each element's box, in CSS pixels of the viewport."
    )
    html: bool = Field(default=False, description="Add the page's pruned HTML.")
    text: bool = Field(default=False, description="Add the page's visible text.")
    screenshot: Literal["none", "viewport", "full", "element"] = Field(
        default="none",
        description="Add a picture: of what is in view, of the whole page, or of the action's"
        " target.",
    )
    format: Literal["jpeg", "png"] = Field(default="jpeg", description="The picture's format.")
    quality: int = Field(default=70, ge=1, le=100, description="JPEG quality.")
    marks: bool = Field(
        default=False, description="Draw the elements' refs into the picture, never into the page."
    )


class BrowserTool(Action):
    """The base of the browser's actions."""

    model_config = ConfigDict(
        alias_generator=AliasGenerator(validation_alias=to_camel),
        validate_by_alias=True,
        validate_by_name=True,
        allow_inf_nan=False,
    )

    # For the trainer, so not in the tools' schemas, where it would be repeated for every tool.
    observe: SkipJsonSchema[ObserveSpec | None] = Field(
        default=None, description="What this step's observation holds; the reset's when left out."
    )


TARGET = "A ref from the page snapshot, such as `e12`, or a unique selector (`css=`, `role=`)."

# `ref` is what Playwright MCP called it before, `bid` what BrowserGym does.
_TARGET_NAMES = AliasChoices("target", "ref", "bid")

Target = Annotated[
    str, Field(min_length=1, validation_alias=_TARGET_NAMES, description=f"The element: {TARGET}")
]

OptionalTarget = Annotated[
    str | None,
    Field(
        min_length=1,
        validation_alias=_TARGET_NAMES,
        description=f"The element; the whole page when left out. {TARGET}",
    ),
]

Element = Annotated[
    str | None, Field(description="The element in words; kept in the log and nothing else.")
]

TimeoutS = Annotated[
    float | None,
    Field(
        gt=0,
        le=3600,
        validation_alias="timeout_s",
        description="Seconds the step may take, with waiting for the page to settle; never more"
        " than the server's ceiling (55 by default).",
    ),
]

Button = Annotated[
    Literal["left", "right", "middle"], Field(description="The mouse button to use.")
]

Modifier = Literal["Alt", "Control", "ControlOrMeta", "Meta", "Shift"]
