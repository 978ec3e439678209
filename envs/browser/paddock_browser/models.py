"""The models of the browser environment: what goes in and what comes out."""

from typing import Annotated, Any, Literal

from pydantic import Field

from paddock.types import ResetOptions
from paddock_browser.base import BrowserTool, ObserveSpec
from paddock_browser.input_actions import (
    Check,
    Clear,
    Click,
    Drag,
    Drop,
    FillForm,
    FormField,
    Hover,
    MouseClick,
    MouseDown,
    MouseDrag,
    MouseMove,
    MouseUp,
    MouseWheel,
    PressKey,
    Scroll,
    SelectOption,
    TypeText,
    Uncheck,
)
from paddock_browser.observations import (
    ActionError,
    BrowserObservation,
    BrowserState,
    DialogInfo,
    DownloadInfo,
    ErrorCode,
    Event,
    Message,
    NetworkSummary,
    ScrollInfo,
    TabInfo,
    TerminationReason,
)
from paddock_browser.page_actions import (
    BrowserGym,
    ConsoleMessages,
    Evaluate,
    FileUpload,
    Find,
    Finish,
    HandleDialog,
    Navigate,
    NavigateBack,
    NavigateForward,
    NetworkRequests,
    Noop,
    Reload,
    ReportInfeasible,
    SendMessage,
    Snapshot,
    Tabs,
    TakeScreenshot,
    WaitFor,
)

__all__ = [
    "ActionError",
    "BrowserAction",
    "BrowserGym",
    "BrowserObservation",
    "BrowserOptions",
    "BrowserState",
    "BrowserTool",
    "Check",
    "Clear",
    "Click",
    "ConsoleMessages",
    "DialogInfo",
    "DownloadInfo",
    "Drag",
    "Drop",
    "ErrorCode",
    "Evaluate",
    "Event",
    "FileUpload",
    "FillForm",
    "Find",
    "Finish",
    "FormField",
    "HandleDialog",
    "Hover",
    "Message",
    "MouseClick",
    "MouseDown",
    "MouseDrag",
    "MouseMove",
    "MouseUp",
    "MouseWheel",
    "Navigate",
    "NavigateBack",
    "NavigateForward",
    "NetworkRequests",
    "NetworkSummary",
    "Noop",
    "ObserveSpec",
    "PressKey",
    "Reload",
    "ReportInfeasible",
    "Scroll",
    "ScrollInfo",
    "SelectOption",
    "SendMessage",
    "Snapshot",
    "TabInfo",
    "Tabs",
    "TakeScreenshot",
    "TerminationReason",
    "TypeText",
    "Uncheck",
    "WaitFor",
]

# The first is the default action: OpenEnv's BrowserGym client sends `{"action_str": ...}` without
# a type.
BrowserAction = (
    BrowserGym
    | Navigate
    | NavigateBack
    | NavigateForward
    | Reload
    | Tabs
    | Snapshot
    | Find
    | TakeScreenshot
    | Click
    | Hover
    | TypeText
    | Clear
    | FillForm
    | PressKey
    | SelectOption
    | Check
    | Uncheck
    | Drag
    | Drop
    | Scroll
    | FileUpload
    | HandleDialog
    | WaitFor
    | ConsoleMessages
    | NetworkRequests
    | MouseMove
    | MouseClick
    | MouseDrag
    | MouseDown
    | MouseUp
    | MouseWheel
    | Evaluate
    | SendMessage
    | ReportInfeasible
    | Finish
    | Noop
)

Pixels = Annotated[int, Field(ge=1, le=16_384)]


class BrowserOptions(ResetOptions):
    """What a reset may ask for: a task, a browser to carry it out in, and what to observe."""

    task_id: str | None = Field(
        default=None,
        description="A task: `miniwob/<name>`, one of the environment's own, or `open`, which"
        " begins at `start_url` and is not scored.",
    )
    split: str | None = Field(default=None, description="The split that `index` counts in.")
    index: int | None = Field(default=None, ge=0, description="A task's place in its split.")
    start_url: str | None = Field(default=None, description="Where the task `open` begins.")
    goal: str | None = Field(default=None, description="What the agent of `open` is told.")
    max_steps: int | None = Field(
        default=None,
        ge=1,
        description="Steps after which the episode ends; the task's own if null.",
    )
    viewport: tuple[Pixels, Pixels] = Field(
        default=(1280, 720), description="Width and height in CSS pixels."
    )
    locale: str = Field(default="en-US", description="The pages' language, as a BCP 47 tag.")
    timezone: str = Field(default="UTC", description="The pages' time zone: `Europe/Berlin`.")
    reduced_motion: bool = Field(default=False, description="Ask pages to do without animation.")
    clock: Literal["real", "frozen"] = Field(
        default="real", description="`frozen`: page time passes only while a step runs, exactly."
    )
    storage_state: dict[str, Any] | None = Field(
        default=None, description="Cookies and storage to begin with, in Playwright's format."
    )
    allow_hosts: list[str] = Field(
        default_factory=list[str], description="Host names to reach beside the task's own."
    )
    allow_evaluate: bool = Field(
        default=False, description="Allow `browser_evaluate`; without effect in a scored episode."
    )
    ref_rebind: bool = Field(
        default=False,
        description="Give a re-rendered element its old ref when exactly one element fits.",
    )
    record: list[Literal["trace", "har", "screenshots"]] = Field(
        default_factory=list[Literal["trace", "har", "screenshots"]],
        description="What to record of the episode.",
    )
    observe: ObserveSpec = Field(
        default_factory=ObserveSpec, description="What observations hold unless an action says."
    )
