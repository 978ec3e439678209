"""What an attack amounts to, by evidence."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Protocol

__all__ = ["OPENNESS", "Answer", "Evidence", "Verdict", "conclude"]


class Verdict(StrEnum):
    """How an attack ended."""

    BLOCKED = "blocked"
    PRIVATE = "private"
    """It got what it wanted, of its own: nobody else's."""
    PARTIAL = "partial"
    OPEN = "open"
    BROKEN = "broken"
    """It did not run to its end, and says nothing about the walls."""


OPENNESS = {
    Verdict.BLOCKED: 0,
    Verdict.PRIVATE: 0,
    Verdict.PARTIAL: 1,
    Verdict.OPEN: 2,
    Verdict.BROKEN: 3,
}
_STICKY = {Path("/tmp"), Path("/dev/shm")}  # where all may make files and none may take another's
# Others tell whether a signal that was sent has arrived.
_UNPROVEN = {"kill_server", "kill_victim_canary", "kill_all_broadcast"}


@dataclass(frozen=True)
class Answer:
    """What the attacker has to show; see `programs/raw.py`."""

    read: list[str]
    did: list[str]
    partly: list[str]
    made: list[str]
    refused: list[str]


class Evidence(Protocol):
    """What the arena knows beside the answer."""

    @property
    def secrets(self) -> dict[str, str]:
        """Secrets by where they are."""
        ...

    def happened(self, name: str) -> str:
        """Return what an attack did to the server or the victim; empty when nothing."""
        ...

    def visible(self, path: str) -> bool:
        """Return whether what an attack made is there for others, too."""
        ...


def conclude(name: str, answer: Answer, evidence: Evidence) -> tuple[Verdict, str]:
    """Return the verdict on an attack, and why."""
    text = "\n".join(answer.read)
    found = [where for where, secret in evidence.secrets.items() if secret in text]
    if found:
        return Verdict.OPEN, "read: " + ", ".join(found)
    if what := evidence.happened(name):
        return Verdict.OPEN, what
    if answer.did:
        return Verdict.OPEN, ", ".join(answer.did)
    if answer.made:
        seen = [path for path in answer.made if evidence.visible(path)]
        if not seen:
            private = Verdict.PARTIAL if answer.partly else Verdict.PRIVATE
            return private, ", ".join(answer.made + answer.partly)
        return _SHARED.get(name, _any_is_open)(seen), ", ".join(seen)
    if answer.partly and name not in _UNPROVEN:
        return Verdict.PARTIAL, ", ".join(answer.partly)
    return Verdict.BLOCKED, "; ".join(answer.refused)


def _any_is_open(paths: list[str]) -> Verdict:
    return Verdict.OPEN


def _sticky_is_partial(paths: list[str]) -> Verdict:
    """Names in a shared directory are a nuisance; files of the server's own user are more."""
    for path in paths:
        if Path(path).parent not in _STICKY or Path(path).stat().st_uid == os.geteuid():
            return Verdict.OPEN
    return Verdict.PARTIAL


def _leftover(paths: list[str]) -> Verdict:
    return Verdict.PARTIAL


_SHARED: dict[str, Callable[[list[str]], Verdict]] = {
    "tmp_squat": _sticky_is_partial,
    "write_anywhere_outside_ws": _sticky_is_partial,
    "sysv_shm_leftover": _leftover,
    "posix_mq_leftover": _leftover,
}
