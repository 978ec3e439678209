"""The system calls on files that Python does not have, for x86_64 and aarch64.

The calls that change an identity change that of the calling *thread* alone, which is the point of
using them raw: the C library's own versions change every thread of the process.
"""

import ctypes
import errno
import functools
import os
import platform
from collections.abc import Callable, Iterable
from typing import Any, Final

__all__ = [
    "RENAME_NOREPLACE",
    "RESOLVE_BENEATH",
    "RESOLVE_NO_MAGICLINKS",
    "RESOLVE_NO_SYMLINKS",
    "openat2",
    "renameat2",
    "setfsgid",
    "setfsuid",
    "setgroups",
]

RESOLVE_NO_MAGICLINKS: Final = 0x02
RESOLVE_NO_SYMLINKS: Final = 0x04
RESOLVE_BENEATH: Final = 0x08

RENAME_NOREPLACE: Final = 1

_NUMBERS: Final[dict[str, dict[str, int]]] = {
    "x86_64": {
        "setgroups": 116, "setfsuid": 122, "setfsgid": 123, "renameat2": 316, "openat2": 437,
    },
    "aarch64": {
        "setfsuid": 151, "setfsgid": 152, "setgroups": 159, "renameat2": 276, "openat2": 437,
    },
}  # fmt: skip

_NOBODY: Final = 0xFFFFFFFF
"""The one id that is nobody's: asking for it changes nothing and answers with the current one."""

_libc = ctypes.CDLL(None, use_errno=True)


def _call(name: str, *types: Any) -> Callable[..., int]:
    number = _NUMBERS.get(platform.machine(), {}).get(name)
    if number is None:
        return functools.partial(_unknown, name)
    # An item, unlike an attribute, is a function object of its own, with argument types of its own.
    function = _libc["syscall"]
    function.argtypes = (ctypes.c_long, *types)
    function.restype = ctypes.c_long
    return functools.partial(function, number)


def _unknown(name: str, *_: object) -> int:
    why = f"{name} is known for {' and '.join(_NUMBERS)}, not for {platform.machine()}"
    raise OSError(errno.ENOSYS, why)


_setgroups = _call("setgroups", ctypes.c_size_t, ctypes.c_void_p)
_setfsuid = _call("setfsuid", ctypes.c_uint)
_setfsgid = _call("setfsgid", ctypes.c_uint)
_renameat2 = _call(
    "renameat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint
)
_openat2 = _call("openat2", ctypes.c_int, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_size_t)


def _failure(*names: bytes) -> OSError:
    number = ctypes.get_errno()
    if len(names) == 2:
        return OSError(number, os.strerror(number), names[0], None, names[1])
    return OSError(number, os.strerror(number), *names)


def _change(call: Callable[..., int], wanted: int) -> None:
    call(wanted)
    # These calls cannot fail, they only do nothing.
    now = call(_NOBODY) & 0xFFFFFFFF
    if now != wanted:
        why = f"{wanted} was not accepted as this thread's file user or group, which stays {now}"
        raise PermissionError(errno.EPERM, why)


def setfsuid(uid: int) -> None:
    """Let this thread's file accesses be those of a user.

    While that is not root, and the process is, the thread has none of the capabilities that
    override permissions.

    Raises:
        PermissionError: The kernel did not do it.
    """
    _change(_setfsuid, uid)


def setfsgid(gid: int) -> None:
    """Let this thread's file accesses be those of a group. Raises as `setfsuid` does."""
    _change(_setfsgid, gid)


def setgroups(groups: Iterable[int]) -> None:
    """Set the supplementary groups of this thread.

    Raises:
        PermissionError: The process may not, or its user namespace forbids it.
    """
    gids = list(groups)
    if _setgroups(len(gids), (ctypes.c_uint * len(gids))(*gids)) < 0:
        raise _failure()


@functools.lru_cache(maxsize=256)
def _open_how(flags: int, mode: int, resolve: int) -> Any:
    return (ctypes.c_uint64 * 3)(flags, mode, resolve)


def openat2(directory: int, path: bytes, flags: int, resolve: int, mode: int = 0) -> int:
    """Open a path under rules for its resolution: ``RESOLVE_*``. Linux 5.6.

    Raises:
        OSError: ``EXDEV`` when the path leaves ``directory`` against ``RESOLVE_BENEATH``; ``ELOOP``
            for a link that the rules forbid, or too many; ``EAGAIN`` when a rename elsewhere made
            it impossible to tell; else as `os.open`.
        ValueError: The path has a NUL in it.
    """
    _refuse_nul(path)
    fd = _openat2(directory, path, _open_how(flags, mode, resolve), 24)
    if fd < 0:
        raise _failure(path)
    return fd


def renameat2(
    source: bytes, target: bytes, flags: int, *, source_directory: int, target_directory: int
) -> None:
    """Rename, under a ``RENAME_*`` rule.

    Raises:
        OSError: ``EEXIST`` for a target that is there against ``RENAME_NOREPLACE``; else as
            `os.rename`.
        ValueError: A name has a NUL in it.
    """
    _refuse_nul(source)
    _refuse_nul(target)
    if _renameat2(source_directory, source, target_directory, target, flags) < 0:
        raise _failure(source, target)


def _refuse_nul(path: bytes) -> None:
    # ctypes would hand over what stands before it.
    if b"\0" in path:
        raise ValueError("embedded null byte")
