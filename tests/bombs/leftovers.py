"""What is left of a session on the machine."""

from pathlib import Path

from processes import owned_by

__all__ = ["left_by"]

_SHARED = (Path("/tmp"), Path("/dev/shm"))
_UID_COLUMN = {"shm": 7, "sem": 4, "msg": 7}


def left_by(uid: int) -> list[str]:
    """Return what there is of a user: processes, files where all may write, System V objects."""
    found = [f"{number} processes"] if (number := owned_by(uid)) else []
    for place in _SHARED:
        found += [str(path) for path in place.iterdir() if _owner(path) == uid]
    for kind, column in _UID_COLUMN.items():
        lines = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
        found += [f"{kind} {line}" for line in lines if int(line.split()[column]) == uid]
    return found


def _owner(path: Path) -> int | None:
    try:
        return path.lstat().st_uid
    except FileNotFoundError:  # somebody else's, and gone meanwhile
        return None
