"""Whether tasks are sound: solvable, not by doing nothing, checked alike each time, and tight."""

from paddock.verification.verify import Finding, verify

__all__ = ["Finding", "verify"]
