"""Attacks on what the kernel shares: terminals, its newer interfaces, IPC, limits, information."""

import ctypes
import mmap
import os
import resource
import signal
import struct

from raw import X86, Answer, Target, call

_TIOCSTI, _TIOCLINUX = 0x5412, 0x541C
_PTMX_TRIES = 64
_NULL_MAP = struct.pack("=5I", 2, 4, 4, 1, 0) + bytes(100)  # an array of one element


def tiocsti(target: Target, answer: Answer) -> None:
    # The second is the same to the kernel, which looks at 32 bits, and not to a careless filter.
    for request in (_TIOCSTI, 1 << 32 | _TIOCSTI):
        with answer.trying(f"TIOCSTI {request:#x}"):
            call("ioctl", 0, request, b"x")
            answer.partly.append("typed into its own terminal")
    with answer.trying("TIOCLINUX"):
        call("ioctl", 0, _TIOCLINUX, b"\x02")
        answer.partly.append("TIOCLINUX")


def victim_pty(target: Target, answer: Answer) -> None:
    for flags in (os.O_RDONLY, os.O_WRONLY):
        with answer.trying(target["victim_pty"]):
            fd = os.open(target["victim_pty"], flags | os.O_NOCTTY | os.O_NONBLOCK)
            answer.did.append("open")
            if flags == os.O_WRONLY:
                os.write(fd, target["nonce"].encode())


def io_uring(target: Target, answer: Answer) -> None:
    with answer.trying("io_uring_setup"):
        call("io_uring_setup", 1, ctypes.create_string_buffer(120))
        answer.did.append("a ring")


def aio_host_limit(target: Target, answer: Answer) -> None:
    with answer.trying("io_setup"):
        context = ctypes.c_ulong(0)
        call("io_setup", 1000, ctypes.byref(context))
        answer.did.append("1000 of the machine's contexts")


def pty_exhaustion(target: Target, answer: Answer) -> None:
    kept: list[int] = []
    with answer.trying("/dev/ptmx"):
        while len(kept) < _PTMX_TRIES:
            kept.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
    if kept:
        # A devpts of its own keeps off some that are left to the machine.
        private = os.fstat(kept[0]).st_dev != target["ptmx_device"]
        (answer.partly if private else answer.did).append(f"{len(kept)} terminals")


def userfaultfd(target: Target, answer: Answer) -> None:
    for flags in (1, 0):
        with answer.trying(f"userfaultfd({flags})"):
            call("userfaultfd", flags)
            answer.did.append("made")


def bpf(target: Target, answer: Answer) -> None:
    with answer.trying("bpf"):
        call("bpf", 0, _NULL_MAP, len(_NULL_MAP))
        answer.did.append("a map")


def perf(target: Target, answer: Answer) -> None:
    # A software clock on oneself, user space only: the least that can be asked for.
    attributes = struct.pack("=IIQQQQQ", 1, 112, 0, 0, 0, 0, 1 << 5 | 1 << 6) + bytes(64)
    with answer.trying("perf_event_open"):
        call("perf_event_open", attributes, 0, -1, -1, 0)
        answer.did.append("a counter")


def keyring(target: Target, answer: Answer) -> None:
    with answer.trying("add_key"):
        call("add_key", b"user", target["nonce"].encode(), b"x", 1, -4)
        answer.did.append("a key that outlives the session")
    with answer.trying("keyctl"):
        call("keyctl", 0, -4, 1)
        answer.did.append("a keyring")


def x32_abi(target: Target, answer: Answer) -> None:
    if not X86:
        answer.refused.append("not on this machine")
        return
    with answer.trying("x32 getpid"):
        call(0x40000000 | 39)
        answer.did.append("calls by their x32 numbers")


def i386_int80(target: Target, answer: Answer) -> None:
    if not X86:
        answer.refused.append("not on this machine")
        return
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    pid = os.fork()
    if pid == 0:
        os._exit(7 if ctypes.CFUNCTYPE(ctypes.c_int)(address)() == os.getpid() else 8)
    status = os.waitpid(pid, 0)[1]
    if os.WIFSIGNALED(status):
        answer.refused.append(f"killed by signal {os.WTERMSIG(status)}")
    elif os.WEXITSTATUS(status) == 7:
        answer.partly.append("32-bit calls")


def sysv_shm_victim(target: Target, answer: Answer) -> None:
    with answer.trying("shmat"):
        address = call("shmat", target["shm_id"], 0, 0o10000)
        answer.read.append(ctypes.string_at(address, 64).decode(errors="replace"))


def sysv_shm_leftover(target: Target, answer: Answer) -> None:
    with answer.trying("shmget"):
        answer.made.append(f"shm {call('shmget', target['shm_key'], 4096, 0o1600)}")


def posix_mq_leftover(target: Target, answer: Answer) -> None:
    with answer.trying("mq_open"):
        call("mq_open", target["mq_name"].encode(), os.O_CREAT | os.O_RDWR, 0o600, 0)
        answer.made.append(target["mq_name"])


def core_dump(target: Target, answer: Answer) -> None:
    pid = os.fork()
    if pid == 0:
        hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
        resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGSEGV)
    status = os.waitpid(pid, 0)[1]
    (answer.partly if os.WCOREDUMP(status) else answer.refused).append(f"status {status:#x}")


def raise_rlimits(target: Target, answer: Answer) -> None:
    for name in ("AS", "CORE", "DATA", "FSIZE", "MSGQUEUE", "NOFILE", "NPROC", "SIGPENDING"):
        which = getattr(resource, f"RLIMIT_{name}")
        hard = resource.getrlimit(which)[1]
        if hard == resource.RLIM_INFINITY:
            answer.did.append(f"{name} has no limit")
            continue
        try:
            resource.setrlimit(which, (hard + 1, hard + 1))
            answer.did.append(f"{name} raised")
        except (OSError, ValueError) as exc:
            answer.refused.append(f"{name}: {exc}")


def oom_adj_lower(target: Target, answer: Answer) -> None:
    path = "/proc/self/oom_score_adj"
    for wanted in ("0", "999"):
        with answer.trying(path):
            fd = os.open(path, os.O_RDWR)
            os.write(fd, wanted.encode())
            answer.did.append(f"{wanted}: {os.pread(fd, 16, 0).decode().strip()}")


def docker_metadata(target: Target, answer: Answer) -> None:
    for path in (
        "/proc/self/mountinfo",
        "/proc/self/cgroup",
        "/proc/1/cgroup",
        "/proc/1/mountinfo",
    ):
        with answer.trying(path):
            fd = os.open(path, os.O_RDONLY)
            if os.read(fd, 4096):
                answer.partly.append(path)
