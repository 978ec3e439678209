"""What bash's line editor draws around the output: its prompts, and the echo of what is typed."""

import re

__all__ = ["without_echo", "without_prompt"]

_REDRAWING = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|[\r\n\x08]")
_PROMPT = re.compile(rb"(?:\r?\n)?(?:\x1b\[\?2004[hl]\r?)*\$ ")


def without_prompt(data: bytes) -> bytes:
    """Return what is left of the bytes between two commands without the prompts among them."""
    rest = _PROMPT.sub(b"", data)
    # The line editor wraps, redraws and returns as it likes.
    return rest if _REDRAWING.sub(b"", rest).strip() else b""


def without_echo(data: bytes, trigger: bytes) -> bytes:
    """Return what is left of the bytes that came while the trigger was typed without its echo.

    The line editor may show it twice (typed ahead and again at the prompt), and wraps it in a
    narrow window, so it is recognised by its characters alone.
    """
    rest = _REDRAWING.sub(b"", data)
    squeezed, typed = rest.replace(b" ", b""), trigger.strip().replace(b" ", b"")
    if not squeezed.replace(typed, b"").replace(b"$", b""):
        return b""
    return data.replace(trigger.strip(), b"").lstrip()
