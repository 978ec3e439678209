"""``name=value`` words of a command line."""

import json
from collections.abc import Sequence
from typing import Any

from paddock.errors import InvalidMessage

__all__ = ["read_arguments"]


def read_arguments(words: Sequence[str]) -> dict[str, Any]:
    """Read ``name=value`` words; a value is JSON where it can be, or else text.

    Raises:
        InvalidMessage: A word is not of that form.
    """
    arguments: dict[str, Any] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            raise InvalidMessage(f"{word!r}: say name=value")
        try:
            arguments[name] = json.loads(value)
        except ValueError:
            arguments[name] = value
    return arguments
