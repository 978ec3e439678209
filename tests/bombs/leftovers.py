"""What there is of a session on the machine, and what is left of it."""

import os
from pathlib import Path

from tests.bombs.place import Place

from processes import owned_by

__all__ = ["Traces"]

_SHARED = (Path("/tmp"), Path("/dev/shm"))
_UID_COLUMN = {"shm": 7, "sem": 4, "msg": 7}


class Traces:
    """Finds what is a session's: by its user, or by its directory where all have one user.

    Args:
        place: Where its server runs.
        directory: What the server calls the session's directory.
    """

    def __init__(self, place: Place, directory: Path) -> None:
        self._place = place
        self._name = os.fsencode(directory)
        self._directory = place.path(directory)
        self._uid: int | None = (self._directory / "workspace").stat().st_uid
        if place.level == "landlock":
            self._uid = None
        else:
            assert self._uid >= 1 << 16, f"the session has no user of its own, but {self._uid}"

    def processes(self) -> int:
        """Return how many processes it has."""
        return _named(self._name) if self._uid is None else owned_by(self._uid)

    def left(self) -> list[str]:
        """Return what there is of it: processes, files where all may write, System V objects."""
        found = [f"{number} processes"] if (number := self.processes()) else []
        for place in _SHARED:
            found += [str(path) for path in self._place.path(place).iterdir() if self._owns(path)]
        if self._uid is not None and not self._place.in_container:
            # Those of a container are seen in its own namespace only.
            for kind, column in _UID_COLUMN.items():
                lines = Path(f"/proc/sysvipc/{kind}").read_text().splitlines()[1:]
                found += [
                    f"{kind} {line}" for line in lines if int(line.split()[column]) == self._uid
                ]
        return found

    def has_directory(self) -> bool:
        """Return whether its directory is there, moved out of the way or not."""
        trash = self._directory.with_name(f".trash-{self._directory.name}")
        return self._directory.exists() or trash.exists()

    def _owns(self, path: Path) -> bool:
        if self._uid is None:
            return "bomb" in path.name  # all files in there are of one user
        try:
            return path.lstat().st_uid == self._uid
        except FileNotFoundError:  # somebody else's, and gone meanwhile
            return False


def _named(directory: bytes) -> int:
    """Return how many processes have a directory in the environment they were started with."""
    found = 0
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                found += directory in (entry / "environ").read_bytes()
            except OSError:  # it has ended
                continue
    return found
