"""What an agent can do with pages as a whole: go somewhere, look, wait, finish."""

from typing import Literal

from pydantic import Field, model_validator

from paddock_browser.base import BrowserTool, Element, OptionalTarget, TimeoutS

__all__ = [
    "BrowserGym",
    "ConsoleMessages",
    "Evaluate",
    "FileUpload",
    "Find",
    "Finish",
    "HandleDialog",
    "Navigate",
    "NavigateBack",
    "NavigateForward",
    "NetworkRequests",
    "Noop",
    "Reload",
    "ReportInfeasible",
    "SendMessage",
    "Snapshot",
    "Tabs",
    "TakeScreenshot",
    "WaitFor",
]


class BrowserGym(BrowserTool):
    """Carry out one call in BrowserGym's notation, such as `click('e12')` or `fill('e3', 'x')`.

    The text is parsed and only literal arguments are taken; it is never run as code.
    """

    type: Literal["browsergym"] = "browsergym"
    # Not camelCase: OpenEnv's BrowserGym client sends it under this name.
    action_str: str = Field(
        min_length=1, validation_alias="action_str", description="One function call."
    )
    timeout_s: TimeoutS = None


class Navigate(BrowserTool):
    """Go to a URL in the current tab."""

    type: Literal["browser_navigate"] = "browser_navigate"
    url: str = Field(description="An http or https URL, or about:blank; no other scheme.")
    timeout_s: TimeoutS = None


class NavigateBack(BrowserTool):
    """Go back to the previous page in the history."""

    type: Literal["browser_navigate_back"] = "browser_navigate_back"
    timeout_s: TimeoutS = None


class NavigateForward(BrowserTool):
    """Go forward to the next page in the history."""

    type: Literal["browser_navigate_forward"] = "browser_navigate_forward"
    timeout_s: TimeoutS = None


class Reload(BrowserTool):
    """Load the current page again."""

    type: Literal["browser_reload"] = "browser_reload"
    timeout_s: TimeoutS = None


class Tabs(BrowserTool):
    """List, open, close or select a tab."""

    type: Literal["browser_tabs"] = "browser_tabs"
    action: Literal["list", "new", "close", "select"] = Field(description="What to do.")
    index: int | None = Field(
        default=None,
        ge=0,
        description="The tab to close or select, counted from 0; when left out, the current one"
        " is closed.",
    )
    url: str | None = Field(default=None, description="Where a new tab goes.")
    timeout_s: TimeoutS = None

    @model_validator(mode="after")
    def _select_says_which(self) -> "Tabs":
        if self.action == "select" and self.index is None:
            raise ValueError("give the index of the tab to select")
        return self


class Snapshot(BrowserTool):
    """Return the accessibility snapshot: roles, names, states, and the refs other tools take."""

    type: Literal["browser_snapshot"] = "browser_snapshot"
    target: OptionalTarget = None
    depth: int | None = Field(default=None, ge=1, description="Levels of the tree to show.")
    boxes: bool = Field(
        default=False, description="Add each element's box, in CSS pixels of the viewport."
    )
    timeout_s: TimeoutS = None


class Find(BrowserTool):
    """Search the page snapshot; returns matching elements with their refs and surroundings."""

    type: Literal["browser_find"] = "browser_find"
    text: str | None = Field(
        default=None, min_length=1, description="Text to find, in any letter case."
    )
    regex: str | None = Field(
        default=None,
        min_length=1,
        description="A regular expression instead; as `/pattern/i` it ignores letter case.",
    )
    timeout_s: TimeoutS = None

    @model_validator(mode="after")
    def _one_pattern(self) -> "Find":
        if (self.text is None) == (self.regex is None):
            raise ValueError("give exactly one of text, regex")
        return self


class TakeScreenshot(BrowserTool):
    """Take a picture of what is in view, of the whole page, or of one element."""

    type: Literal["browser_take_screenshot"] = "browser_take_screenshot"
    target: OptionalTarget = None
    element: Element = None
    # Playwright MCP says `type`, which names the action here.
    format: Literal["jpeg", "png"] = Field(default="png", description="The picture's format.")
    quality: int = Field(default=70, ge=1, le=100, description="JPEG quality.")
    full_page: bool = Field(
        default=False, description="The whole scrollable page; not with a target."
    )
    scale: Literal["css", "device"] = Field(
        default="css", description="One pixel for each CSS pixel, or for each of the device's."
    )
    marks: bool = Field(default=False, description="Draw the elements' refs into the picture.")
    timeout_s: TimeoutS = None

    @model_validator(mode="after")
    def _page_or_element(self) -> "TakeScreenshot":
        if self.full_page and self.target is not None:
            raise ValueError("give either fullPage or a target")
        return self


class WaitFor(BrowserTool):
    """Wait until a text appears, until one is gone, or for some seconds."""

    type: Literal["browser_wait_for"] = "browser_wait_for"
    time: float | None = Field(default=None, gt=0, le=30, description="Seconds to wait.")
    text: str | None = Field(default=None, min_length=1, description="The text to appear.")
    text_gone: str | None = Field(default=None, min_length=1, description="The text to disappear.")
    timeout_s: TimeoutS = None

    @model_validator(mode="after")
    def _waits_for_something(self) -> "WaitFor":
        if self.time is None and self.text is None and self.text_gone is None:
            raise ValueError("give time, text or textGone")
        return self


class HandleDialog(BrowserTool):
    """Answer the dialog that is open (alert, confirm, prompt, or leaving a page)."""

    type: Literal["browser_handle_dialog"] = "browser_handle_dialog"
    accept: bool = Field(description="OK or Cancel.")
    prompt_text: str | None = Field(default=None, description="What to enter into a prompt.")
    timeout_s: TimeoutS = None


class FileUpload(BrowserTool):
    """Choose files in the file chooser that is open."""

    type: Literal["browser_file_upload"] = "browser_file_upload"
    paths: list[str] | None = Field(
        default=None,
        description="Names of files in the session's upload folder; left out, the chooser is"
        " cancelled.",
    )
    timeout_s: TimeoutS = None


class ConsoleMessages(BrowserTool):
    """Return what the page wrote to its console."""

    type: Literal["browser_console_messages"] = "browser_console_messages"
    level: Literal["error", "warning", "info", "debug"] = Field(
        default="info", description="The least severe messages to return."
    )
    all: bool = Field(
        default=False, description="Since the episode began, not only since the last navigation."
    )
    timeout_s: TimeoutS = None


class NetworkRequests(BrowserTool):
    """Return the requests since the page was loaded, as a numbered list."""

    type: Literal["browser_network_requests"] = "browser_network_requests"
    static: bool = Field(
        default=False, description="Also successful ones for images, fonts, scripts and the like."
    )
    filter: str | None = Field(
        default=None, description="A regular expression that the URL must match."
    )
    timeout_s: TimeoutS = None


class Evaluate(BrowserTool):
    """Run JavaScript in the page and return its value as JSON.

    Refused unless the reset allowed it, and always in an episode that is scored.
    """

    # Playwright MCP's name. Bare `evaluate` is the verb that ends an episode: a tool that is called
    # so would be taken for it.
    type: Literal["browser_evaluate"] = "browser_evaluate"
    function: str = Field(
        min_length=1,
        description="`() => { ... }`, or `(element) => { ... }` with a target.",
    )
    target: OptionalTarget = None
    element: Element = None
    timeout_s: TimeoutS = None


class SendMessage(BrowserTool):
    """Say something to the user."""

    type: Literal["send_message"] = "send_message"
    text: str = Field(min_length=1, description="The message.")


class ReportInfeasible(BrowserTool):
    """Say that the task cannot be done, and why. The episode ends."""

    type: Literal["report_infeasible"] = "report_infeasible"
    reason: str = Field(min_length=1, description="Why it cannot be done.")


class Finish(BrowserTool):
    """Say that you are finished. The episode ends."""

    type: Literal["finish"] = "finish"
    answer: str | None = Field(default=None, description="The answer, if the task asks for one.")


class Noop(BrowserTool):
    """Do nothing; the answer shows how the page is now."""

    type: Literal["noop"] = "noop"
    timeout_s: TimeoutS = None
