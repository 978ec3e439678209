"""Key names as tmux spells them, and the bytes a terminal sends for them (xterm's)."""

import re

__all__ = ["encode"]

_LETTER_FINALS = {"Up": "A", "Down": "B", "Right": "C", "Left": "D", "Home": "H", "End": "F"}
_TILDE_NUMBERS = {
    "IC": 2, "Insert": 2, "DC": 3, "Delete": 3,
    "PPage": 5, "PageUp": 5, "PgUp": 5, "NPage": 6, "PageDown": 6, "PgDn": 6,
    "F5": 15, "F6": 17, "F7": 18, "F8": 19, "F9": 20, "F10": 21, "F11": 23, "F12": 24,
}  # fmt: skip
_SS3_FINALS = {"F1": "P", "F2": "Q", "F3": "R", "F4": "S"}
_PLAIN = {
    "Enter": "\r", "Return": "\r", "Tab": "\t", "Escape": "\x1b", "Esc": "\x1b", "Space": " ",
    "BSpace": "\x7f", "Backspace": "\x7f", "BTab": "\x1b[Z",
}  # fmt: skip
_CONTROL = {" ": "\0", "Space": "\0", "@": "\0", "?": "\x7f", "-": "\x1f", "/": "\x1f"}
_MODIFIED = re.compile(r"((?:[CMS]-)+)(.+)", re.DOTALL)
_BITS = {"S": 1, "M": 2, "C": 4}  # of xterm's modifier parameter, which is their sum plus one


def encode(key: str) -> bytes:
    """Return the bytes for a key name; what is no key name is text and goes through as it is.

    ``C-`` is control, ``M-`` is meta (sent as an escape in front), ``S-`` is shift; they combine.
    """
    if not key:
        return b""
    match = _MODIFIED.fullmatch(key)
    modifiers, name = (frozenset(match[1].split("-")[:-1]), match[2]) if match else ((), key)
    if not modifiers:
        return (_PLAIN.get(name) or _function(name, 1) or name).encode()
    parameter = 1 + sum(_BITS[m] for m in modifiers)
    if (sequence := _function(name, parameter)) is not None:
        return sequence.encode()
    text = _PLAIN.get(name, name)
    if "C" in modifiers and (text := _control(name)) is None:
        return key.encode()
    if "S" in modifiers and name == "Tab":
        text = _PLAIN["BTab"]
    elif len(text) > 1 and name not in _PLAIN:
        return key.encode()  # "M-foo" is not a key
    return (("\x1b" if "M" in modifiers else "") + text).encode()


def _function(name: str, parameter: int) -> str | None:
    """Return the sequence of a cursor or function key with xterm's modifier parameter."""
    if name in _LETTER_FINALS:
        middle = "" if parameter == 1 else f"1;{parameter}"
        return f"\x1b[{middle}{_LETTER_FINALS[name]}"
    if name in _SS3_FINALS:
        final = _SS3_FINALS[name]
        return f"\x1bO{final}" if parameter == 1 else f"\x1b[1;{parameter}{final}"
    if name in _TILDE_NUMBERS:
        middle = "" if parameter == 1 else f";{parameter}"
        return f"\x1b[{_TILDE_NUMBERS[name]}{middle}~"
    return None


def _control(name: str) -> str | None:
    """Return the control character of a key, or nothing when it has none."""
    if name in _CONTROL:
        return _CONTROL[name]
    if len(name) == 1 and "@" <= name.upper() <= "_":
        return chr(ord(name.upper()) & 0x1F)
    return None
