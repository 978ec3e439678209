"""Pictures in an observation: MCP has content of its own for them.

A picture is text in base64 that says what it is, in one of two ways that observation models have:
a field ``x`` beside a field ``x_mime``, or an entry ``"image/png"`` of a bundle of formats.
"""

import base64
from dataclasses import dataclass
from typing import Any, cast

__all__ = ["Picture", "take_pictures"]


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture.

    Attributes:
        mime: ``image/png``, ``image/jpeg``, ...
        data: Its bytes as base64, without white space.
    """

    mime: str
    data: str


def take_pictures(data: dict[str, Any]) -> tuple[dict[str, Any], list[Picture]]:
    """Return an observation's data without its pictures, and the pictures.

    Where one was, a few words say which it is, so that no answer carries a picture twice.
    """
    taken: list[Picture] = []
    return cast("dict[str, Any]", _without(data, taken)), taken


def _without(value: Any, taken: list[Picture]) -> Any:
    if isinstance(value, list):
        return [_without(item, taken) for item in cast("list[Any]", value)]
    if not isinstance(value, dict):
        return value
    fields = cast("dict[str, Any]", value)
    return {name: _field(fields, name, taken) for name in fields}


def _field(fields: dict[str, Any], name: str, taken: list[Picture]) -> Any:
    value = fields[name]
    if not isinstance(value, str):
        return _without(value, taken)
    mime = name if name.startswith("image/") else fields.get(f"{name}_mime")
    if not value or not isinstance(mime, str) or not mime.startswith("image/"):
        return value
    data = "".join(value.split())
    try:
        size = len(base64.b64decode(data, validate=True))
    except ValueError:
        return value  # SVG, for one, is text
    taken.append(Picture(mime, data))
    return f"(picture {len(taken)}: {mime}, {size} bytes)"
