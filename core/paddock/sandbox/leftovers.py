"""What a session leaves in places it shared with others: files by their owner, System V objects."""

import contextlib
import logging
import os
import stat
from pathlib import Path

from paddock.sandbox.files import Identity, remove_tree
from paddock.sandbox.files.identity import acting_as

__all__ = ["SHARED", "sweep_shared"]

SHARED = (Path("/tmp"), Path("/dev/shm"))
REMOVE_S = 2.0

logger = logging.getLogger(__name__)


def sweep_shared(identity: Identity, places: tuple[Path, ...] = SHARED) -> None:
    """Remove what a user that will never come back owns in directories that all may write to.

    For a worker thread, after the last of the user's processes has ended.

    Args:
        identity: The session's user; there is nothing to tell apart without one of its own.
        places: Sticky directories.
    """
    if identity.uid is None:
        return
    for place in places:
        with contextlib.suppress(FileNotFoundError), os.scandir(place) as entries:
            found = [entry for entry in entries if _owner(entry) == identity.uid]
            for entry in found:
                _remove(Path(entry.path), identity)


def _owner(entry: "os.DirEntry[str]") -> int | None:
    try:
        return entry.stat(follow_symlinks=False).st_uid
    except OSError:  # gone meanwhile
        return None


def _remove(path: Path, identity: Identity) -> None:
    try:
        if stat.S_ISDIR(path.lstat().st_mode):
            # Emptied as the session; the last step is the server's, which the sticky bit allows.
            if not remove_tree(path, identity, REMOVE_S):
                logger.warning("%s was not removed within %g s", path, REMOVE_S)
        else:
            with acting_as(identity):
                path.unlink()
    except FileNotFoundError:
        pass
    except OSError as exc:
        logger.warning("%s cannot be removed: %s", path, exc)
