"""What came of a check."""

from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Trust", "Verdict"]

Trust = Literal["isolated", "cooperative"]
"""``isolated``: values were compared outside the reach of what is judged. ``cooperative``: the
check ran as the same user as any program of the agent's that it started."""


@dataclass(frozen=True)
class Verdict:
    """What a check said, or why it said nothing.

    Attributes:
        reward: The task's reward; ``None`` when there is none, which is not the same as 0.
        rewards: Its parts, as the check named them.
        exit_code: The check's exit status.
        output: The end of what it printed.
        error: Why there is no reward.
        seconds: How long it took, with all that is done before and after.
        trust: Who could have bent it.
        left_out: What could not be copied and was left out: sockets, FIFOs, devices.
    """

    reward: float | None
    rewards: dict[str, float] = field(default_factory=dict[str, float])
    exit_code: int | None = None
    output: bytes = b""
    error: str | None = None
    seconds: float = 0.0
    trust: Trust = "cooperative"
    left_out: tuple[str, ...] = ()

    def as_metadata(self) -> dict[str, Any]:
        """Return the parts beside reward and output, for an observation's metadata."""
        return {
            "rewards": self.rewards,
            "check": {
                "exit_code": self.exit_code,
                "error": self.error,
                "seconds": round(self.seconds, 3),
                "trust": self.trust,
                "left_out": list(self.left_out),
            },
        }
