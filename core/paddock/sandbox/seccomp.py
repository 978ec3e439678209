"""The system call filter: a table of what is refused, and the small assembler that compiles it.

The filter stands inside the other walls: it takes away what Landlock and user ids do not govern
(namespaces, keyrings, sockets by family and type, host-wide resources without a limit) and what
Landlock's network rules miss (MPTCP and TCP Fast Open: landlock-lsm issues 54 and 41).

It refuses by name and answers calls newer than its table as if the kernel did not have them. Calls
with arguments are judged by their low 32 bits, because that is what the kernel looks at. The truth
table of `socket` by family, type, protocol and mode is a unit test, as is one of every refusal: two
mistakes made while jumps were counted by hand were found by nothing else.
"""

import errno
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

from paddock.sandbox.syscall_numbers import AUDIT_ARCH, LAST_KNOWN, NUMBERS

__all__ = ["Filter", "NetworkCalls", "compile_filter"]

NetworkCalls = Literal["off", "tcp", "local", "full"]
"""Which sockets there are: none but UNIX; TCP streams (Landlock says to which port); everything
ordinary on a network of the session's own; everything ordinary."""


@dataclass(frozen=True)
class Filter:
    """What a filter lets through beside the ordinary.

    Attributes:
        network: Which sockets there are.
        unix: UNIX sockets by name; pairs are always there.
        memfd: ``memfd_create``; memory that no per-process counter shows.
        sysv: System V shared memory, semaphores and queues, and POSIX message queues.
        ptrace: Debuggers; only where process ids are the session's own.
        foreign: Calls that act on other processes by id without a signal; off where sessions
            share a user id.
        userns: User namespaces, for a browser that sandboxes itself.
    """

    network: NetworkCalls = "off"
    unix: bool = True
    memfd: bool = False
    sysv: bool = False
    ptrace: bool = False
    foreign: bool = True
    userns: bool = False


# -- the table ------------------------------------------------------------------------------------

_NAMESPACES = ("mount", "umount2", "pivot_root", "open_tree", "move_mount", "fsopen", "fsconfig",
               "fsmount", "fspick", "mount_setattr", "setns")  # fmt: skip
_OTHERS_MEMORY = ("process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease",
                  "pidfd_getfd", "kcmp", "move_pages", "migrate_pages")  # fmt: skip
_KERNEL_SURFACE = (
    "add_key", "request_key", "keyctl", "bpf", "perf_event_open", "userfaultfd", "memfd_secret",
    "open_by_handle_at", "name_to_handle_at", "fanotify_init", "lookup_dcookie", "nfsservctl",
    "io_uring_setup", "io_uring_enter", "io_uring_register", "uselib", "_sysctl", "modify_ldt",
    "iopl", "ioperm", "vhangup", "syslog",
)  # fmt: skip
_MACHINE = (
    "init_module", "finit_module", "delete_module", "create_module", "kexec_load",
    "kexec_file_load", "reboot", "swapon", "swapoff", "acct", "quotactl", "quotactl_fd",
    "sethostname", "setdomainname", "settimeofday", "clock_settime", "clock_adjtime", "adjtimex",
)  # fmt: skip
# One session could use up all contexts of the host: there is no limit per process or user.
_ASYNC_IO = ("io_setup", "io_destroy", "io_getevents", "io_submit", "io_cancel", "io_pgetevents")
_SYSV = (
    "shmget", "shmat", "shmctl", "shmdt", "semget", "semop", "semctl", "semtimedop", "msgget",
    "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "mq_timedsend", "mq_timedreceive",
    "mq_notify", "mq_getsetattr",
)  # fmt: skip
_BY_PID = ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam",
           "sched_setattr")  # fmt: skip  # the first argument is a process id, 0 for oneself
_BY_WHO = ("setpriority", "ioprio_set")  # the second argument is

_NEW_NAMESPACE: Final = 0x7E020000  # CLONE_NEWNS | CGROUP | UTS | IPC | USER | PID | NET
_NEW_TIME: Final = 0x80  # CLONE_NEWTIME, of unshare only: in clone it is part of the exit signal
_PERSONALITIES = (0x0, 0x8, 0x20000, 0xFFFFFFFF)  # plain, 32 bit, UNAME26, and asking
_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C  # typing into a terminal for whoever reads it next
_PR_SET_DUMPABLE = 4
_MSG_FASTOPEN = 0x20000000

_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_STREAM, _DGRAM = 1, 2
_TYPE_MASK = 0xF  # of socket's second argument; the rest are flags
_IPPROTO_TCP = 6
_MPTCP = 262


# -- the assembler --------------------------------------------------------------------------------

_LOAD, _AND, _RET, _JUMP = 0x20, 0x54, 0x06, 0x05
_JEQ, _JGT, _JGE, _JSET = 0x15, 0x25, 0x35, 0x45
_NR, _ARCH, _ARGS = 0, 4, 16  # offsets in struct seccomp_data

ALLOW, KILL = 0x7FFF0000, 0x80000000


def _errno(number: int) -> int:
    return 0x00050000 | number


@dataclass(frozen=True, slots=True)
class _Instruction:
    code: int
    k: int
    true: str = ""
    false: str = ""


class _Assembler:
    """Instructions and labels; `assemble` turns names into distances."""

    def __init__(self) -> None:
        self._items: list[_Instruction | str] = []
        self._fresh = 0

    def label(self, name: str = "") -> str:
        """Return a label of its own, or the given one, not placed yet."""
        self._fresh += 1
        return name or f"L{self._fresh}"

    def place(self, label: str) -> None:
        """Say that a label stands here."""
        self._items.append(label)

    def load(self, offset: int) -> None:
        """Load 32 bits of the call's data."""
        self._items.append(_Instruction(_LOAD, offset))

    def load_argument(self, number: int) -> None:
        """Load the low half of an argument, on a little-endian machine."""
        self.load(_ARGS + 8 * number)

    def mask(self, bits: int) -> None:
        """Keep some bits of what was loaded."""
        self._items.append(_Instruction(_AND, bits))

    def answer(self, value: int) -> None:
        """End here."""
        self._items.append(_Instruction(_RET, value))

    def branch(self, code: int, k: int, *, true: str = "", false: str = "") -> None:
        """Compare what was loaded; a branch without a label goes on with what follows."""
        self._items.append(_Instruction(code, k, true, false))

    def answer_if(self, code: int, k: int, value: int) -> None:
        """End here if what was loaded compares so."""
        past = self.label()
        self.branch(code, k, false=past)
        self.answer(value)
        self.place(past)

    def assemble(self) -> bytes:
        """Return the program.

        Raises:
            ValueError: A jump is longer than 255 instructions, or its label is not placed.
        """
        places: dict[str, int] = {}
        program: list[_Instruction] = []
        for item in self._items:
            if isinstance(item, str):
                places[item] = len(program)
            else:
                program.append(item)
        packed: list[bytes] = []
        for at, item in enumerate(program):
            jumps: list[int] = []
            for name in (item.true, item.false):
                distance = places[name] - at - 1 if name else 0
                if not 0 <= distance <= 255:
                    raise ValueError(f"a jump of {distance} to {name!r}")
                jumps.append(distance)
            packed.append(struct.pack("=HBBI", item.code, *jumps, item.k))
        return b"".join(packed)


# -- the filter -----------------------------------------------------------------------------------


@lru_cache(maxsize=32)
def compile_filter(rules: Filter, arch: str) -> bytes:
    """Compile a filter for an architecture.

    Args:
        rules: What it lets through.
        arch: ``x86_64`` or ``aarch64``.

    Returns:
        The BPF program, 8 bytes an instruction.

    Raises:
        KeyError: The architecture has no table.
    """
    numbers = NUMBERS[arch]
    code = _Assembler()
    code.load(_ARCH)
    # Another architecture's numbers mean other calls; 32-bit code on x86_64, for one.
    here = code.label()
    code.branch(_JEQ, AUDIT_ARCH[arch], true=here)
    code.answer(KILL)
    code.place(here)
    code.load(_NR)
    # The x32 numbers on x86_64 begin at 2**30 and end here, too.
    code.answer_if(_JGT, LAST_KNOWN, _errno(errno.ENOSYS))
    _refuse(code, numbers, _refused(rules), errno.EPERM)
    # Its flags are behind a pointer, which a filter cannot follow; C libraries fall back to clone.
    _refuse(code, numbers, ("clone3",), errno.ENOSYS)
    if not rules.userns:
        _judge_flags(code, numbers["clone"], 0, _NEW_NAMESPACE)
        _judge_flags(code, numbers["unshare"], 0, _NEW_NAMESPACE | _NEW_TIME)
    _judge_foreign(code, numbers, rules)
    _judge_small(code, numbers)
    _judge_sockets(code, numbers, rules)
    code.answer(ALLOW)
    return code.assemble()


def _refused(rules: Filter) -> list[str]:
    names = [*_OTHERS_MEMORY, *_KERNEL_SURFACE, *_MACHINE, *_ASYNC_IO]
    if not rules.userns:
        names += ["chroot", *_NAMESPACES]
    if not rules.ptrace:
        names.append("ptrace")
    if not rules.memfd:
        names.append("memfd_create")
    if not rules.sysv:
        names += _SYSV
    return names


def _refuse(code: _Assembler, numbers: dict[str, int], names: Iterable[str], error: int) -> None:
    for name in names:
        if name in numbers:
            code.answer_if(_JEQ, numbers[name], _errno(error))


class _Call:
    """The block that judges one system call by its arguments; afterwards the number is loaded."""

    def __init__(self, code: _Assembler, number: int) -> None:
        self._code = code
        self._past = code.label()
        code.branch(_JEQ, number, false=self._past)

    def __enter__(self) -> _Assembler:
        return self._code

    def __exit__(self, *_: object) -> None:
        self._code.load(_NR)
        self._code.place(self._past)


def _judge_flags(code: _Assembler, number: int, argument: int, bits: int) -> None:
    with _Call(code, number):
        code.load_argument(argument)
        code.answer_if(_JSET, bits, _errno(errno.EPERM))


def _judge_foreign(code: _Assembler, numbers: dict[str, int], rules: Filter) -> None:
    if rules.foreign:
        return
    for argument, names in ((0, _BY_PID), (1, _BY_WHO)):
        for name in names:
            with _Call(code, numbers[name]):
                oneself = code.label()
                code.load_argument(argument)
                code.branch(_JEQ, 0, true=oneself)
                code.answer(_errno(errno.EPERM))
                code.place(oneself)


def _judge_small(code: _Assembler, numbers: dict[str, int]) -> None:
    with _Call(code, numbers["ioctl"]):
        code.load_argument(1)
        for request in (_TIOCSTI, _TIOCLINUX):
            code.answer_if(_JEQ, request, _errno(errno.EPERM))
    with _Call(code, numbers["prctl"]):
        # A process that hides from its own kind would hide from the memory watch, too.
        code.load_argument(0)
        code.answer_if(_JEQ, _PR_SET_DUMPABLE, _errno(0))
    with _Call(code, numbers["personality"]):
        known = code.label()
        code.load_argument(0)
        for persona in _PERSONALITIES:
            code.branch(_JEQ, persona, true=known)
        code.answer(_errno(errno.EPERM))
        code.place(known)


def _judge_sockets(code: _Assembler, numbers: dict[str, int], rules: Filter) -> None:
    with _Call(code, numbers["socketpair"]):
        local = code.label()
        code.load_argument(0)
        code.branch(_JEQ, _AF_UNIX, true=local)
        code.answer(_errno(errno.EPERM))
        code.place(local)
    if rules.network != "off":
        for name, argument in (("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)):
            _judge_flags(code, numbers[name], argument, _MSG_FASTOPEN)
    with _Call(code, numbers["socket"]):
        fine = code.label()
        code.load_argument(0)
        if rules.unix:
            code.branch(_JEQ, _AF_UNIX, true=fine)
        if rules.network == "off":
            code.answer(_errno(errno.EACCES))
        else:
            _judge_family(code, rules.network, fine)
        code.place(fine)


def _judge_family(code: _Assembler, network: NetworkCalls, fine: str) -> None:
    """Judge `socket` where there is a network; its family is loaded."""
    internet = code.label()
    for family in (_AF_INET, _AF_INET6):
        code.branch(_JEQ, family, true=internet)
    if network != "tcp":
        code.branch(_JEQ, _AF_NETLINK, true=fine)  # how programs list their own interfaces
    code.answer(_errno(errno.EAFNOSUPPORT))
    code.place(internet)
    typed = code.label()
    code.load_argument(1)
    code.mask(_TYPE_MASK)
    code.branch(_JEQ, _STREAM, true=typed)
    if network != "tcp":
        code.branch(_JEQ, _DGRAM, true=typed)
    code.answer(_errno(errno.EPERM))  # raw sockets, and datagrams where names are not resolved
    code.place(typed)
    code.load_argument(2)
    if network == "tcp":
        for protocol in (0, _IPPROTO_TCP):
            code.branch(_JEQ, protocol, true=fine)
        code.answer(_errno(errno.EPERM))
    else:
        code.answer_if(_JEQ, _MPTCP, _errno(errno.EPERM))
