"""What an agent sees of the page, and what a trainer may inspect."""

from typing import Literal

from pydantic import Field

from paddock.types import Observation, State
from paddock_browser.base import Record

__all__ = [
    "ActionError",
    "BrowserObservation",
    "BrowserState",
    "DialogInfo",
    "DownloadInfo",
    "ErrorCode",
    "Event",
    "Message",
    "NetworkSummary",
    "ScrollInfo",
    "TabInfo",
    "TerminationReason",
]

ErrorCode = Literal[
    "invalid_action",
    "stale_ref",
    "ref_not_found",
    "ambiguous_selector",
    "not_visible",
    "obscured",
    "disabled",
    "not_editable",
    "option_not_found",
    "timeout",
    "blocked_scheme",
    "blocked_url",
    "navigation_failed",
    "dialog_open",
    "no_dialog",
    "no_file_chooser",
    "tab_not_found",
    "file_not_allowed",
    "not_allowed",
    "download_denied",
    "quota",
    "page_crashed",
    "page_unresponsive",
    "browser_restarted",
    "episode_done",
]

TerminationReason = Literal["finished", "infeasible", "task", "evaluated", "max_steps"]


class ActionError(Record):
    """Why an action failed, and what to do next."""

    code: ErrorCode = Field(description="For programs.")
    message: str = Field(description="For the model.")
    target: str | None = Field(default=None, description="The element it is about.")
    hint: str | None = Field(
        default=None, description="What to do next: the ref that is in the way, the options."
    )


class TabInfo(Record):
    """One tab."""

    index: int = Field(ge=0, description="Its place, counted from 0.")
    tab_id: str = Field(description="Names it for as long as it lives.")
    url: str = Field(default="", description="Its URL.")
    title: str = Field(default="", description="Its title.")
    opener: str | None = Field(default=None, description="The tab that opened it.")
    crashed: bool = Field(default=False, description="Whether its page has crashed.")


class ScrollInfo(Record):
    """Which part of the page is in view, in CSS pixels."""

    x: float = Field(default=0, description="Pixels left of the view.")
    y: float = Field(default=0, description="Pixels above the view.")
    width: float = Field(default=0, ge=0, description="The view's width.")
    height: float = Field(default=0, ge=0, description="The view's height.")
    page_width: float = Field(default=0, ge=0, description="The whole page's width.")
    page_height: float = Field(default=0, ge=0, description="The whole page's height.")


class DialogInfo(Record):
    """A dialog that is open and must be answered first."""

    type: Literal["alert", "confirm", "prompt", "beforeunload"] = Field(description="Its kind.")
    message: str = Field(default="", description="What it says, cut when it is long.")
    default_value: str = Field(default="", description="What a prompt offers.")


class Event(Record):
    """Something that happened by itself since the last step."""

    kind: Literal[
        "popup_opened",
        "popup_closed",
        "download",
        "console_error",
        "blocked_request",
        "dialog_auto_dismissed",
        "script_terminated",
        "page_replaced",
        "browser_restarted",
    ] = Field(description="What happened.")
    message: str = Field(default="", description="More of it.")
    tab_id: str | None = Field(default=None, description="The tab it happened in.")
    count: int = Field(default=1, ge=1, description="How often; equal events are one.")


class DownloadInfo(Record):
    """A file that a page offered."""

    name: str = Field(description="The file's name.")
    url: str = Field(default="", description="Where it came from.")
    size: int = Field(default=0, ge=0, description="Bytes so far.")
    status: Literal["running", "done", "denied", "failed"] = Field(
        default="running", description="What became of it."
    )


class Message(Record):
    """One message between the agent and the user."""

    role: Literal["user", "assistant"] = Field(description="Who said it.")
    text: str = Field(description="The message.")


class BrowserObservation(Observation):
    """The page after an action, and what became of the action."""

    snapshot: str = Field(default="", description="The accessibility snapshot, refs included.")
    snapshot_id: int = Field(default=0, ge=0, description="Counts snapshots of the episode.")
    snapshot_kind: Literal["full", "viewport", "diff", "none"] = Field(
        default="viewport", description="What `snapshot` covers."
    )
    truncated: bool = Field(default=False, description="Whether `snapshot` was cut.")
    elements_below: int = Field(default=0, ge=0, description="Elements further down, not shown.")
    url: str = Field(default="", description="The current tab's URL.")
    title: str = Field(default="", description="The current tab's title.")
    http_status: int | None = Field(default=None, description="Of the page's own response.")
    tabs: list[TabInfo] = Field(default_factory=list[TabInfo], description="The open tabs.")
    active_tab: int = Field(default=0, ge=0, description="The current tab's index.")
    focused_ref: str | None = Field(default=None, description="The element that has the focus.")
    scroll: ScrollInfo | None = Field(default=None, description="Which part is in view.")
    dialog: DialogInfo | None = Field(default=None, description="The dialog that is open.")
    file_chooser: bool = Field(default=False, description="Whether a file chooser is open.")
    result: str = Field(
        default="", description="What a tool found or returned: matches, messages, requests, JSON."
    )
    # Both, and strings rather than null here and below: OpenEnv's BrowserGym client reads them so.
    error: str = Field(default="", description="Why the action failed; empty if it did not.")
    last_action_error: bool = Field(default=False, description="Whether the action failed.")
    error_info: ActionError | None = Field(default=None, description="The same, for programs.")
    settled: bool = Field(default=True, description="Whether the page had come to rest.")
    pending_requests: int = Field(default=0, ge=0, description="Requests still under way.")
    events: list[Event] = Field(
        default_factory=list[Event], description="What happened by itself since the last step."
    )
    downloads: list[DownloadInfo] = Field(
        default_factory=list[DownloadInfo], description="The episode's downloads."
    )
    screenshot: str | None = Field(default=None, description="The picture, as base64.")
    screenshot_mime: str | None = Field(default=None, description="image/jpeg or image/png.")
    screenshot_scale: float = Field(
        default=1, gt=0, description="Pixels of the picture for each CSS pixel."
    )
    html: str = Field(default="", description="The page's pruned HTML, when asked for.")
    text: str = Field(default="", description="The page's visible text, when asked for.")
    goal: str = Field(default="", description="What the agent is to do.")
    messages: list[Message] = Field(
        default_factory=list[Message], description="The conversation with the user."
    )
    success: bool | None = Field(default=None, description="The verdict; null means not scored.")
    raw_reward: float | None = Field(
        default=None, description="The task's own measure, before its threshold."
    )
    termination_reason: TerminationReason | None = Field(
        default=None,
        description="Why the episode is over; `max_steps` is what Gymnasium calls truncated.",
    )
    elapsed_ms: float = Field(default=0, ge=0, description="Milliseconds the step took.")


class NetworkSummary(Record):
    """What the session could reach, and what it asked for."""

    allow_hosts: list[str] = Field(default_factory=list[str], description="Reachable host names.")
    requests: int = Field(default=0, ge=0, description="Requests made.")
    blocked: int = Field(default=0, ge=0, description="Requests refused.")
    received_bytes: int = Field(default=0, ge=0, description="Bytes received.")


class BrowserState(State):
    """What a trainer may inspect of an episode."""

    task_id: str = Field(default="", description="The task, once resolved.")
    seed: int | None = Field(default=None, description="The seed the reset asked for.")
    goal: str = Field(default="", description="What the agent is to do.")
    current_url: str = Field(default="", description="The current tab's URL.")
    tabs: int = Field(default=0, ge=0, description="Open tabs.")
    max_steps: int | None = Field(default=None, ge=1, description="Steps the episode may have.")
    cum_reward: float = Field(default=0, description="The rewards so far, added up.")
    done: bool = Field(default=False, description="Whether the episode is over.")
    clock: Literal["real", "frozen"] = Field(default="real", description="The page's clock.")
    page_time: float | None = Field(
        default=None, description="A frozen clock's time, in seconds since 1970."
    )
    viewport: tuple[int, int] = Field(default=(1280, 720), description="Width, height in CSS px.")
    locale: str = Field(default="en-US", description="The pages' language.")
    timezone: str = Field(default="UTC", description="The pages' time zone.")
    network: NetworkSummary = Field(
        default_factory=NetworkSummary, description="What it could reach and asked for."
    )
    sandbox: bool = Field(default=False, description="Whether Chromium's own sandbox is on.")
    browser_version: str = Field(default="", description="The browser's version.")
    restarts: int = Field(default=0, ge=0, description="How often the browser was replaced.")
    page_replacements: int = Field(default=0, ge=0, description="How often a page was replaced.")
    artifacts: list[str] = Field(
        default_factory=list[str], description="Recordings there are: trace, HAR, screenshots."
    )
