"""Harbor's reward files: ``reward.txt`` is one number, ``reward.json`` an object of numbers."""

import json
import math
import re
from typing import Any, cast

__all__ = ["MAX_BYTES", "Unreadable", "parse"]

MAX_BYTES = 65_536
MAX_PARTS = 1000
MAIN = "reward"

_NUMBER = re.compile(r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")


class Unreadable(ValueError):
    """What a check wrote is no reward."""


def parse(text: bytes | None, document: bytes | None) -> tuple[float, dict[str, float]]:
    """Return the reward and its parts.

    Args:
        text: What is in ``reward.txt``, if it is there.
        document: What is in ``reward.json``, if it is there.

    Raises:
        Unreadable: There is none, it is not what it should be, or the two do not agree.
    """
    if text is None and document is None:
        raise Unreadable("the check wrote neither reward.txt nor reward.json")
    if document is None:
        assert text is not None
        reward = _number(text)
        return reward, {MAIN: reward}
    rewards = _object(document)
    if MAIN not in rewards and len(rewards) != 1:
        raise Unreadable(f"reward.json has no {MAIN!r}, and not one entry that could be it")
    reward = rewards.get(MAIN, next(iter(rewards.values())))
    if text is not None and _number(text) != reward:
        raise Unreadable("reward.txt and reward.json do not agree")
    return reward, rewards


def _number(text: bytes) -> float:
    _bounded(text, "reward.txt")
    said = text.decode("utf-8", "replace").strip()
    if _NUMBER.fullmatch(said) is None or not math.isfinite(value := float(said)):
        raise Unreadable(f"reward.txt is not a number: {said[:80]!r}")
    return value


def _object(document: bytes) -> dict[str, float]:
    _bounded(document, "reward.json")
    try:
        found = json.loads(document, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError) as exc:
        raise Unreadable(f"reward.json cannot be read: {str(exc)[:200]}") from exc
    if not isinstance(found, dict):
        raise Unreadable("reward.json is not an object")
    parts = cast("dict[str, Any]", found)
    if len(parts) > MAX_PARTS:
        raise Unreadable(f"reward.json has more than {MAX_PARTS} entries")
    return {name: _finite(name, value) for name, value in parts.items()}


def _finite(name: str, value: object) -> float:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    raise Unreadable(f"reward.json: {name[:80]!r} is not a number")


def _bounded(data: bytes, name: str) -> None:
    if len(data) > MAX_BYTES:
        raise Unreadable(f"{name} has more than {MAX_BYTES} bytes")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name is there twice")
    return found


def _refuse(name: str) -> float:
    raise ValueError(f"{name} is not a number")
