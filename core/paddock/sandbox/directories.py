"""Where sandboxes are on the disk: made, moved out of the way, removed, and swept after a crash.

Below the root each has a directory of its own, under a random name that nobody can list::

    <root>/<name>/workspace, home, tmp    the session's
    <root>/<name>/control                 the server's; the session can read what is in it
    <root>/.trash-<name>                  a closed one, until it is removed
"""

import contextlib
import fcntl
import logging
import os
import re
import secrets
import shutil
import stat
import tempfile
import time
from pathlib import Path

from paddock.sandbox import threads
from paddock.sandbox.files import SERVER, Identity, remove_tree
from paddock.sandbox.rules import CONTROL, WRITABLE

__all__ = ["Root", "default_root"]

PREFIX = "paddock-"
TRASH = ".trash-"
REMOVE_S = 0.5  # at a time; between two goes others get the thread
REMOVE_GOES = 240

YOUNG_S = 10.0

_ROOT = re.compile(rf"{PREFIX}[0-9a-f]{{12}}")
_OURS = re.compile(rf"(?:{re.escape(TRASH)})?[0-9a-f]{{32}}")

logger = logging.getLogger(__name__)


def default_root() -> Path:
    """Return where this server's sandboxes go.

    Below the directory ``PADDOCK_SESSIONS`` names, ``/sessions``, or the one for temporary files.
    """
    base = os.environ.get("PADDOCK_SESSIONS")
    if base is None:
        base = "/sessions" if os.access("/sessions", os.W_OK | os.X_OK) else tempfile.gettempdir()
    return Path(base) / f"{PREFIX}{secrets.token_hex(6)}"


class Root:
    """The directory of one server's sandboxes, locked as long as the server lives.

    Args:
        path: Where; made if it is missing. Its parents must let the sessions' users through.
        separate: Each session has a user of its own.

    Raises:
        OSError: It cannot be made, or another server has it.
    """

    def __init__(self, path: Path, *, separate: bool) -> None:
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        # Through, but not in: nobody can list the others' names.
        self._mode = 0o711 if separate else 0o700
        path.chmod(self._mode)
        self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise

    def make(self, name: str, uid: int | None) -> Path:
        """Make a sandbox's directories, empty."""
        path = self.path / name
        path.mkdir(mode=0o700)
        for part in WRITABLE:
            (path / part).mkdir(mode=0o700)
            if uid is not None:
                os.chown(path / part, uid, uid)
        (path / CONTROL).mkdir(mode=0o700)
        if uid is not None:
            for shared in (path, path / CONTROL):
                os.chown(shared, -1, uid)
                shared.chmod(0o750)
        return path

    def repair(self) -> None:
        """Give the root its mode back: a session that shares the server's user can change it."""
        if stat.S_IMODE(os.fstat(self._lock).st_mode) != self._mode:
            logger.warning("%s had its mode changed", self.path)
            os.fchmod(self._lock, self._mode)

    def discard(self, name: str) -> Path:
        """Move a sandbox's directory out of the way, and return where it is to be removed."""
        trash = self.path / f"{TRASH}{name}"
        (self.path / name).rename(trash)
        return trash

    async def remove(self, trash: Path, identity: Identity) -> bool:
        """Remove a discarded one: the session's parts as the session, piece by piece.

        Returns:
            Whether it is gone.
        """
        try:
            for _ in range(REMOVE_GOES):
                if await threads.run_sync(_remove_some, trash, identity):
                    return True
        except OSError as exc:
            logger.error("%s cannot be removed: %s", trash, exc)
        else:
            logger.error("%s could not be removed in %g s", trash, REMOVE_S * REMOVE_GOES)
        return False

    async def sweep(self) -> None:
        """Remove what servers that are gone have left next to this one."""
        for path in await threads.run_sync(_abandoned, self.path):
            logger.info("removing what a server that is gone has left: %s", path)
            for _ in range(REMOVE_GOES):
                # As the server: nothing of it runs any more, and no link in it is followed.
                try:
                    if await threads.run_sync(remove_tree, path, SERVER, REMOVE_S):
                        break
                except OSError as exc:
                    logger.error("%s cannot be removed: %s", path, exc)
                    break

    def close(self) -> None:
        """Remove the root, if nothing is left in it, and give up the lock."""
        with contextlib.suppress(OSError):  # what is left is removed by the next server's sweep
            self.path.rmdir()
        os.close(self._lock)


def _remove_some(trash: Path, identity: Identity) -> bool:
    if not all(remove_tree(trash / part, identity, REMOVE_S) for part in WRITABLE):
        return False
    # What is left was never the session's to change.
    shutil.rmtree(trash, ignore_errors=True)
    return True


def _abandoned(own: Path) -> list[Path]:
    """Return the roots beside one that no server holds the lock of."""
    found: list[Path] = []
    for path in own.parent.iterdir():
        if path == own or _ROOT.fullmatch(path.name) is None:
            continue
        try:
            status = path.lstat()
            # One that has just been made has not been locked yet, maybe.
            young = time.time() - status.st_mtime < YOUNG_S
            if status.st_uid != os.geteuid() or not stat.S_ISDIR(status.st_mode) or young:
                continue
            if not all(_OURS.fullmatch(entry.name) for entry in path.iterdir()):
                continue
            fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:  # gone meanwhile
            continue
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        else:
            found.append(path)
        finally:
            os.close(fd)
    return found
