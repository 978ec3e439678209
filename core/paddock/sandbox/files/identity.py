"""As whom a thread touches files."""

import errno
import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from paddock.sandbox.fs_syscalls import setfsgid, setfsuid, setgroups

__all__ = ["SERVER", "Identity", "acting_as"]


@dataclass(frozen=True)
class Identity:
    """A user and a group.

    Attributes:
        uid: The user; None for the server's own.
        gid: The group; None for the server's own.
    """

    uid: int | None
    gid: int | None


SERVER = Identity(None, None)


@contextmanager
def acting_as(identity: Identity) -> Generator[None]:
    """Make this thread's file accesses those of an identity, and nobody else's of the process.

    A root server has no more rights than the session then: the kernel takes ``CAP_DAC_OVERRIDE``
    and its like from a thread while its file user is not root, and its supplementary groups are put
    away. It stays out of the session's reach: signals go by other ids. The kernel marks a process
    that does this as not dumpable, which suits a server.

    Raises:
        PermissionError: The server may not act as this identity, or could only do so with some of
            its own rights left.
    """
    uid, gid = os.geteuid(), os.getegid()
    if identity.uid in (None, uid) and identity.gid in (None, gid):
        yield
        return
    if uid != 0:
        # From another user than root the kernel would leave the thread its capabilities.
        why = f"Only root can act as {identity}; the server runs as user {uid}"
        raise PermissionError(errno.EPERM, why)
    groups = os.getgroups()
    try:
        if groups:
            setgroups(())
        if identity.gid is not None:
            setfsgid(identity.gid)
        if identity.uid is not None:
            setfsuid(identity.uid)
        yield
    finally:
        setfsuid(uid)
        setfsgid(gid)
        if groups:
            setgroups(groups)
