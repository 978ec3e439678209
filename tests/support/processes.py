"""What runs on this machine."""

from pathlib import Path

__all__ = ["owned_by"]


def owned_by(uid: int) -> int:
    """Return how many processes have a user id, dead ones that nobody waited for included."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                status = (entry / "status").read_text()
            except OSError:
                continue
            found += f"\nUid:\t{uid}\t" in status
    return found
