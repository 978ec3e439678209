"""The system calls that Python does not have, by ctypes, for x86_64 and aarch64.

Everything here may be called between a fork and an exec of a single-threaded process: it is loaded
before, and allocates nothing that another thread could hold a lock on.
"""

import ctypes
import os
import platform
import signal
import struct
from typing import Final

__all__ = [
    "ARCH",
    "LANDLOCK_ACCESS_FS",
    "LandlockRuleset",
    "clone_into_parent",
    "close_from",
    "drop_capabilities",
    "landlock_abi",
    "landlock_restrict",
    "no_new_privs",
    "set_child_subreaper",
    "set_not_dumpable",
    "set_seccomp",
    "setns",
]

ARCH: Final = platform.machine()

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_libc.prctl.restype = ctypes.c_int

_LANDLOCK_CREATE_RULESET, _LANDLOCK_ADD_RULE, _LANDLOCK_RESTRICT_SELF = 444, 445, 446
_CLOSE_RANGE = 436
_CAPSET, _CLONE = {"x86_64": (126, 56), "aarch64": (91, 220)}.get(ARCH, (126, 56))
_CLONE_PARENT = 0x8000

_PR_SET_DUMPABLE, _PR_SET_SECCOMP = 4, 22
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_SECCOMP_MODE_FILTER = 2


def _check(result: int) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, os.strerror(errno))
    return result


def _syscall(number: int, *args: object) -> int:
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    return _check(_libc.syscall(ctypes.c_long(number), *wide))


def _prctl(option: int, value: int = 0, third: object = 0) -> int:
    wide = ctypes.c_ulong(third) if isinstance(third, int) else third
    zero = ctypes.c_ulong(0)
    return _check(_libc.prctl(option, ctypes.c_ulong(value), wide, zero, zero))


# -- processes ------------------------------------------------------------------------------------


def no_new_privs() -> None:
    """Give up gaining privileges by exec, for good: no setuid program works from here on."""
    _prctl(_PR_SET_NO_NEW_PRIVS, 1)


def set_not_dumpable() -> None:
    """Close this process's ``/proc`` entries and its memory to others of the same user.

    An exec opens them again.
    """
    _prctl(_PR_SET_DUMPABLE, 0)


def set_child_subreaper() -> None:
    """Become the parent of descendants whose own parents end."""
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)


def setns(fd: int, kinds: int) -> None:
    """Join the namespaces of a process (by pidfd, ``CLONE_NEW*`` flags). Linux 5.8."""
    _check(_libc.setns(ctypes.c_int(fd), ctypes.c_int(kinds)))


def clone_into_parent() -> int:
    """Fork a sibling: its parent is this process's parent. Return 0 in it, as fork does.

    Only for a single-threaded process: Python's own preparations for a fork are not made.
    """
    return _syscall(_CLONE, _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)


def close_from(fd: int) -> None:
    """Close every descriptor from one on."""
    _syscall(_CLOSE_RANGE, fd, 0xFFFFFFFF, 0)


class _CapHeader(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _CapData(ctypes.Structure):
    _fields_ = (
        ("effective", ctypes.c_uint32),
        ("permitted", ctypes.c_uint32),
        ("inheritable", ctypes.c_uint32),
    )


_CAP_VERSION_3 = 0x20080522


def drop_capabilities() -> None:
    """Give up all capabilities of this thread."""
    header = _CapHeader(_CAP_VERSION_3, 0)
    _syscall(_CAPSET, ctypes.byref(header), ctypes.byref((_CapData * 2)()))


# -- seccomp --------------------------------------------------------------------------------------


class _SockFprog(ctypes.Structure):
    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def set_seccomp(program: bytes) -> None:
    """Install a classic BPF program (8 bytes an instruction) on this thread and its children."""
    buffer = ctypes.create_string_buffer(program, len(program))
    fprog = _SockFprog(len(program) // 8, ctypes.cast(buffer, ctypes.c_void_p))
    _prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, ctypes.byref(fprog))


# -- Landlock -------------------------------------------------------------------------------------

LANDLOCK_ACCESS_FS: Final = {
    "execute": 1 << 0,
    "write_file": 1 << 1,
    "read_file": 1 << 2,
    "read_dir": 1 << 3,
    "remove_dir": 1 << 4,
    "remove_file": 1 << 5,
    "make_char": 1 << 6,
    "make_dir": 1 << 7,
    "make_reg": 1 << 8,
    "make_sock": 1 << 9,
    "make_fifo": 1 << 10,
    "make_block": 1 << 11,
    "make_sym": 1 << 12,
    "refer": 1 << 13,  # ABI 2
    "truncate": 1 << 14,  # ABI 3
    "ioctl_dev": 1 << 15,  # ABI 5
}
_NET_BIND_TCP, _NET_CONNECT_TCP = 1, 2  # ABI 4
_SCOPE_ABSTRACT_UNIX, _SCOPE_SIGNAL = 1, 2  # ABI 6
_RULE_PATH_BENEATH, _RULE_NET_PORT = 1, 2
_CREATE_RULESET_VERSION = 1
_KNOWN_ABI = 7


def landlock_abi() -> int:
    """Return the kernel's Landlock ABI: 0 without Landlock."""
    try:
        return _syscall(_LANDLOCK_CREATE_RULESET, None, 0, _CREATE_RULESET_VERSION)
    except OSError:
        return 0


class LandlockRuleset:
    """What a process may still do; everything else of what is handled is refused.

    Args:
        abi: The kernel's ABI, or an older one to be held to.
        files: Whether files are handled: only the paths that are added can be used.
        network: Whether connecting by TCP is handled: only to the ports that are added.
        bind: Whether binding TCP ports is handled: none can be.
        scope: Whether signals and abstract UNIX sockets stay inside the domain.
    """

    def __init__(
        self,
        abi: int,
        *,
        files: bool = False,
        network: bool = False,
        bind: bool = False,
        scope: bool = False,
    ) -> None:
        abi = min(abi, _KNOWN_ABI)
        handled = sum(LANDLOCK_ACCESS_FS.values()) if files else 0
        for name, since in (("refer", 2), ("truncate", 3), ("ioctl_dev", 5)):
            if abi < since:
                handled &= ~LANDLOCK_ACCESS_FS[name]
        self._handled = handled
        net = _NET_CONNECT_TCP * network | _NET_BIND_TCP * bind if abi >= 4 else 0
        scoped = _SCOPE_ABSTRACT_UNIX | _SCOPE_SIGNAL if scope and abi >= 6 else 0
        # The kernel takes the structure as long as it was when each field came in.
        attributes = struct.pack("QQQ", handled, net, scoped)
        size = 24 if abi >= 6 else 16 if abi >= 4 else 8
        self._fd = _syscall(_LANDLOCK_CREATE_RULESET, attributes[:size], size, 0)

    def allow(self, fd: int, access: int) -> None:
        """Allow access below a directory, or to a file, opened with ``O_PATH``."""
        rule = struct.pack("=Qi", access & self._handled, fd)
        _syscall(_LANDLOCK_ADD_RULE, self._fd, _RULE_PATH_BENEATH, rule, 0)

    def allow_connect(self, port: int) -> None:
        """Allow TCP connections to a port."""
        rule = struct.pack("=QQ", _NET_CONNECT_TCP, port)
        _syscall(_LANDLOCK_ADD_RULE, self._fd, _RULE_NET_PORT, rule, 0)

    def fileno(self) -> int:
        """Return its descriptor, which any number of processes may enforce on themselves."""
        return self._fd

    def close(self) -> None:
        """Close the descriptor; what it was enforced on stays restricted."""
        os.close(self._fd)


def landlock_restrict(fd: int) -> None:
    """Enforce a ruleset on this thread and its children, for good. Needs `no_new_privs`."""
    _syscall(_LANDLOCK_RESTRICT_SELF, fd, 0)
