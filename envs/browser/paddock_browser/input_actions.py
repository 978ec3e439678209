"""What an agent can do on a page with mouse and keyboard, by element or by coordinates."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from paddock_browser.base import (
    TARGET,
    BrowserTool,
    Button,
    Element,
    Modifier,
    OptionalTarget,
    Record,
    Target,
    TimeoutS,
)

__all__ = [
    "Check",
    "Clear",
    "Click",
    "Drag",
    "Drop",
    "FillForm",
    "FormField",
    "Hover",
    "MouseClick",
    "MouseDown",
    "MouseDrag",
    "MouseMove",
    "MouseUp",
    "MouseWheel",
    "PressKey",
    "Scroll",
    "SelectOption",
    "TypeText",
    "Uncheck",
]

X = Annotated[float, Field(ge=0, description="CSS pixels from the viewport's left edge.")]
Y = Annotated[float, Field(ge=0, description="CSS pixels from the viewport's upper edge.")]


class Click(BrowserTool):
    """Click an element."""

    type: Literal["browser_click"] = "browser_click"
    target: Target
    element: Element = None
    double_click: bool = Field(default=False, description="Click twice.")
    button: Button = "left"
    modifiers: list[Modifier] = Field(
        default_factory=list[Modifier], description="Keys to hold down meanwhile."
    )
    timeout_s: TimeoutS = None


class Hover(BrowserTool):
    """Move the mouse over an element."""

    type: Literal["browser_hover"] = "browser_hover"
    target: Target
    element: Element = None
    timeout_s: TimeoutS = None


class TypeText(BrowserTool):
    """Fill an editable element with text, in place of what is in it."""

    type: Literal["browser_type"] = "browser_type"
    target: Target
    text: str = Field(description="The text.")
    element: Element = None
    submit: bool = Field(default=False, description="Press Enter afterwards.")
    slowly: bool = Field(
        default=False,
        description="Type key by key after what is there, for pages that listen to keys.",
    )
    timeout_s: TimeoutS = None


class Clear(BrowserTool):
    """Empty an editable element."""

    type: Literal["browser_clear"] = "browser_clear"
    target: Target
    element: Element = None
    timeout_s: TimeoutS = None


class FormField(Record):
    """One field of a form."""

    target: str = Field(min_length=1, description=f"The field: {TARGET}")
    name: str = Field(default="", description="The field in words; kept in the log only.")
    type: Literal["textbox", "checkbox", "radio", "combobox", "slider"] = Field(
        default="textbox", description="What kind of field it is."
    )
    value: str = Field(
        description="The text; `true` or `false` for a checkbox or a radio button; an option's"
        " text for a combobox; a number for a slider."
    )
    element: str | None = Field(default=None, description="The same as `name`.")


class FillForm(BrowserTool):
    """Fill several fields of a form, in order."""

    type: Literal["browser_fill_form"] = "browser_fill_form"
    fields: list[FormField] = Field(min_length=1, description="The fields and their values.")
    timeout_s: TimeoutS = None


class PressKey(BrowserTool):
    """Press a key, or keys at once, on whatever has the focus."""

    type: Literal["browser_press_key"] = "browser_press_key"
    key: str = Field(
        min_length=1, description="A name or a character: `Enter`, `ArrowLeft`, `a`, `Control+a`."
    )
    timeout_s: TimeoutS = None


class SelectOption(BrowserTool):
    """Select options of a drop-down list, in place of those selected before."""

    type: Literal["browser_select_option"] = "browser_select_option"
    target: Target
    values: list[str] = Field(description="The options, each by its value or its text.")
    element: Element = None
    timeout_s: TimeoutS = None


class Check(BrowserTool):
    """Tick a checkbox, or choose a radio button; one that is already on stays so."""

    type: Literal["browser_check"] = "browser_check"
    target: Target
    element: Element = None
    timeout_s: TimeoutS = None


class Uncheck(BrowserTool):
    """Untick a checkbox; one that is already off stays so."""

    type: Literal["browser_uncheck"] = "browser_uncheck"
    target: Target
    element: Element = None
    timeout_s: TimeoutS = None


class Drag(BrowserTool):
    """Drag one element onto another."""

    type: Literal["browser_drag"] = "browser_drag"
    start_target: str = Field(min_length=1, description=f"What to drag: {TARGET}")
    end_target: str = Field(min_length=1, description=f"Where to drop it: {TARGET}")
    start_element: Element = None
    end_element: Element = None
    timeout_s: TimeoutS = None


class Drop(BrowserTool):
    """Drop files or data onto an element, as if dragged from outside the page."""

    type: Literal["browser_drop"] = "browser_drop"
    target: Target
    element: Element = None
    paths: list[str] | None = Field(
        default=None, description="Names of files in the session's upload folder."
    )
    data: dict[str, str] | None = Field(
        default=None, description='Data by MIME type: {"text/plain": "hello"}.'
    )
    timeout_s: TimeoutS = None

    @model_validator(mode="after")
    def _drops_something(self) -> "Drop":
        if not self.paths and not self.data:
            raise ValueError("give paths or data")
        return self


class Scroll(BrowserTool):
    """Scroll the page, or an element, by a screenful or by pixels."""

    type: Literal["browser_scroll"] = "browser_scroll"
    direction: Literal["up", "down", "left", "right"] | None = Field(
        default=None, description="Scroll one screenful this way."
    )
    target: OptionalTarget = None
    element: Element = None
    dx: float = Field(default=0, description="CSS pixels to the right; negative to the left.")
    dy: float = Field(default=0, description="CSS pixels down; negative up.")
    timeout_s: TimeoutS = None

    @model_validator(mode="after")
    def _one_measure(self) -> "Scroll":
        if (self.direction is None) == (self.dx == 0 and self.dy == 0):
            raise ValueError("give either direction, or dx and dy")
        return self


class MouseMove(BrowserTool):
    """Move the mouse to a point."""

    type: Literal["browser_mouse_move_xy"] = "browser_mouse_move_xy"
    x: X
    y: Y
    timeout_s: TimeoutS = None


class MouseClick(BrowserTool):
    """Click at a point."""

    type: Literal["browser_mouse_click_xy"] = "browser_mouse_click_xy"
    x: X
    y: Y
    button: Button = "left"
    click_count: int = Field(default=1, ge=1, le=3, description="1, 2 or 3 clicks.")
    delay: float = Field(
        default=0, ge=0, le=5000, description="Milliseconds between pressing and releasing."
    )
    timeout_s: TimeoutS = None


class MouseDrag(BrowserTool):
    """Drag with the left mouse button from one point to another."""

    type: Literal["browser_mouse_drag_xy"] = "browser_mouse_drag_xy"
    start_x: X
    start_y: Y
    end_x: X
    end_y: Y
    timeout_s: TimeoutS = None


class MouseDown(BrowserTool):
    """Press a mouse button where the mouse is, and hold it."""

    type: Literal["browser_mouse_down"] = "browser_mouse_down"
    button: Button = "left"
    timeout_s: TimeoutS = None


class MouseUp(BrowserTool):
    """Release a mouse button where the mouse is."""

    type: Literal["browser_mouse_up"] = "browser_mouse_up"
    button: Button = "left"
    timeout_s: TimeoutS = None


class MouseWheel(BrowserTool):
    """Turn the mouse wheel where the mouse is."""

    type: Literal["browser_mouse_wheel"] = "browser_mouse_wheel"
    delta_x: float = Field(default=0, description="CSS pixels to the right; negative to the left.")
    delta_y: float = Field(default=0, description="CSS pixels down; negative up.")
    timeout_s: TimeoutS = None
