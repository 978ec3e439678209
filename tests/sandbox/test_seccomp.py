"""The system call filter, answer by answer: compiled, run on a model, and run by the kernel."""

import ctypes
import errno
import os
import platform
from itertools import product

import pytest

import bpf
from paddock.sandbox import linux
from paddock.sandbox.seccomp import ALLOW, KILL, Filter, compile_filter
from paddock.sandbox.syscall_numbers import AUDIT_ARCH, LAST_KNOWN, NUMBERS

ARCHES = sorted(NUMBERS)
MODES = ("off", "tcp", "local", "full")
OK = 0
FLAGS = 0o2000000 | 0o4000  # SOCK_CLOEXEC | SOCK_NONBLOCK

# (family, type, protocol) -> what each mode answers. Families: 1 UNIX, 2 INET, 10 INET6,
# 16 NETLINK, 17 PACKET, 38 ALG, 40 VSOCK. Types: 1 stream, 2 datagram, 3 raw, 5 seqpacket.
SOCKETS = {
    (1, 1, 0): {"off": OK, "tcp": OK, "local": OK, "full": OK},
    (1, 2, 0): {"off": OK, "tcp": OK, "local": OK, "full": OK},
    (1, 5, 0): {"off": OK, "tcp": OK, "local": OK, "full": OK},
    (2, 1, 0): {"off": "EACCES", "tcp": OK, "local": OK, "full": OK},
    (2, 1, 6): {"off": "EACCES", "tcp": OK, "local": OK, "full": OK},
    (2, 1, 262): {"off": "EACCES", "tcp": "EPERM", "local": "EPERM", "full": "EPERM"},
    (2, 1, 132): {"off": "EACCES", "tcp": "EPERM", "local": OK, "full": OK},
    (2, 2, 0): {"off": "EACCES", "tcp": "EPERM", "local": OK, "full": OK},
    (2, 3, 1): {"off": "EACCES", "tcp": "EPERM", "local": "EPERM", "full": "EPERM"},
    (2, 5, 0): {"off": "EACCES", "tcp": "EPERM", "local": "EPERM", "full": "EPERM"},
    (2, 1 | FLAGS, 6): {"off": "EACCES", "tcp": OK, "local": OK, "full": OK},
    (2, 3 | FLAGS, 1): {"off": "EACCES", "tcp": "EPERM", "local": "EPERM", "full": "EPERM"},
    (10, 1, 0): {"off": "EACCES", "tcp": OK, "local": OK, "full": OK},
    (10, 2, 0): {"off": "EACCES", "tcp": "EPERM", "local": OK, "full": OK},
    (10, 3, 58): {"off": "EACCES", "tcp": "EPERM", "local": "EPERM", "full": "EPERM"},
    (16, 3, 0): {"off": "EACCES", "tcp": "EAFNOSUPPORT", "local": OK, "full": OK},
    **{
        call: {m: "EACCES" if m == "off" else "EAFNOSUPPORT" for m in MODES}
        for call in ((17, 3, 0), (38, 5, 0), (40, 1, 0))
    },
}  # fmt: skip


def answer(rules: Filter, arch: str, name: str | int, *args: int) -> int | str:
    """Return 0 for allowed, an error's name, or "KILL"."""
    number = NUMBERS[arch][name] if isinstance(name, str) else name
    value = bpf.run(compile_filter(rules, arch), arch=AUDIT_ARCH[arch], number=number, args=args)
    if value == ALLOW:
        return OK
    if value == KILL:
        return "KILL"
    assert value & 0xFFFF0000 == 0x00050000
    return errno.errorcode.get(value & 0xFFFF, "0")


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("call", SOCKETS, ids=str)
def test_sockets_by_family_type_and_protocol(arch: str, mode: str, call: tuple[int, int, int]):
    assert answer(Filter(network=mode), arch, "socket", *call) == SOCKETS[call][mode]


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("mode", MODES)
def test_without_unix_sockets_only_pairs_are_left(arch: str, mode: str):
    rules = Filter(network=mode, unix=False)
    assert answer(rules, arch, "socket", 1, 1, 0) in ("EACCES", "EAFNOSUPPORT")
    assert answer(rules, arch, "socketpair", 1, 1, 0) == OK
    assert answer(rules, arch, "socketpair", 2, 1, 0) == "EPERM"


@pytest.mark.parametrize("arch", ARCHES)
def test_high_bits_of_an_argument_change_nothing(arch: str):
    # The kernel cuts these arguments to 32 bits after the filter has looked.
    high = 1 << 32
    assert answer(Filter(), arch, "socket", high | 2, 1, 0) == "EACCES"
    assert answer(Filter(), arch, "ioctl", 0, high | 0x5412) == "EPERM"
    assert answer(Filter(network="tcp"), arch, "socket", 2, high | 3, 0) == "EPERM"


@pytest.mark.parametrize("arch", ARCHES)
def test_another_architecture_s_calls_are_fatal(arch: str):
    program = compile_filter(Filter(), arch)
    for other in (0x40000003, 0x40000028, 0, *(set(AUDIT_ARCH.values()) - {AUDIT_ARCH[arch]})):
        assert bpf.run(program, arch=other, number=1) == KILL


@pytest.mark.parametrize("arch", ARCHES)
def test_calls_of_the_future_and_of_x32_do_not_exist(arch: str):
    for number in (LAST_KNOWN + 1, 500, 0x40000000, 0x40000000 + 101, 0xFFFFFFFF):
        assert answer(Filter(), arch, number) == "ENOSYS"
    assert answer(Filter(), arch, LAST_KNOWN) == OK


ALWAYS = [
    "process_vm_readv", "process_vm_writev", "pidfd_getfd", "kcmp", "process_madvise",
    "process_mrelease", "add_key", "request_key", "keyctl", "bpf", "perf_event_open",
    "userfaultfd", "open_by_handle_at", "io_uring_setup", "io_uring_enter", "io_uring_register",
    "init_module", "finit_module", "delete_module", "kexec_load", "reboot", "swapon", "acct",
    "quotactl", "sethostname", "clock_settime", "io_setup", "io_submit", "syslog", "memfd_secret",
    "fanotify_init",
]  # fmt: skip


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize("name", ALWAYS)
def test_what_is_refused_always(arch: str, name: str):
    generous = Filter("full", memfd=True, sysv=True, ptrace=True, userns=True)
    assert answer(generous, arch, name) == answer(Filter(), arch, name) == "EPERM"


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize(
    ("name", "option"),
    [
        ("memfd_create", "memfd"),
        ("shmget", "sysv"),
        ("semget", "sysv"),
        ("msgget", "sysv"),
        ("mq_open", "sysv"),
        ("ptrace", "ptrace"),
        ("mount", "userns"),
        ("chroot", "userns"),
        ("setns", "userns"),
        ("pivot_root", "userns"),
    ],
)
def test_what_an_option_opens(arch: str, name: str, option: str):
    assert answer(Filter(), arch, name) == "EPERM"
    assert answer(Filter(**{option: True}), arch, name) == OK


@pytest.mark.parametrize("arch", ARCHES)
def test_namespaces_are_refused_by_their_flags(arch: str):
    flags = [0x20000, 0x02000000, 0x04000000, 0x08000000, 0x10000000, 0x20000000, 0x40000000]
    for flag, call in product(flags, ("clone", "unshare")):
        assert answer(Filter(), arch, call, flag | 17) == "EPERM"
        assert answer(Filter(userns=True), arch, call, flag | 17) == OK
    assert answer(Filter(), arch, "unshare", 0x80) == "EPERM"
    assert answer(Filter(), arch, "clone3") == "ENOSYS"
    # What fork, vfork and threads use.
    for plain in (17, 0x4111, 0x3D0F00, 0x1200011):
        assert answer(Filter(), arch, "clone", plain) == OK


@pytest.mark.parametrize("arch", ARCHES)
def test_where_the_user_id_is_shared_nobody_is_acted_on_by_id(arch: str):
    shared = Filter(foreign=False)
    for name in ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setattr"):
        assert answer(shared, arch, name, 1234) == "EPERM"
        assert answer(shared, arch, name, 0) == OK
        assert answer(Filter(), arch, name, 1234) == OK
    for name in ("setpriority", "ioprio_set"):
        assert answer(shared, arch, name, 0, 1234) == "EPERM"
        assert answer(shared, arch, name, 0, 0) == OK


@pytest.mark.parametrize("arch", ARCHES)
def test_small_things(arch: str):
    assert answer(Filter(), arch, "ioctl", 0, 0x5412) == "EPERM"
    assert answer(Filter(), arch, "ioctl", 0, 0x541C) == "EPERM"
    assert answer(Filter(), arch, "ioctl", 0, 0x5401) == OK
    assert answer(Filter(), arch, "prctl", 4, 0) == "0"
    assert answer(Filter(), arch, "prctl", 15, 0) == OK
    for persona in (0, 8, 0x20000, 0xFFFFFFFF):
        assert answer(Filter(), arch, "personality", persona) == OK
    assert answer(Filter(), arch, "personality", 0x0400000) == "EPERM"


@pytest.mark.parametrize("arch", ARCHES)
@pytest.mark.parametrize(("name", "at"), [("sendto", 3), ("sendmsg", 2), ("sendmmsg", 3)])
def test_data_in_the_first_packet_is_refused(arch: str, name: str, at: int):
    args = [0] * 6
    args[at] = 0x20000000
    for mode in ("tcp", "local", "full"):
        assert answer(Filter(network=mode), arch, name, *args) == "EPERM"
        assert answer(Filter(network=mode), arch, name) == OK


@pytest.mark.parametrize("arch", ARCHES)
def test_every_filter_is_short_enough_for_the_kernel(arch: str):
    for network, unix, memfd, sysv, ptrace, foreign, userns in product(MODES, *[(False, True)] * 6):
        rules = Filter(network, unix, memfd, sysv, ptrace, foreign, userns)
        assert len(compile_filter(rules, arch)) // 8 < 512


@pytest.mark.parametrize("mode", MODES)
def test_the_kernel_answers_as_the_model_does(mode: str):
    arch = platform.machine()
    libc = ctypes.CDLL(None, use_errno=True)
    calls = [("socket", call) for call in SOCKETS] + [
        (name, ()) for name in ALWAYS if name in NUMBERS[arch]
    ]
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        said = []
        linux.no_new_privs()
        linux.set_seccomp(compile_filter(Filter(network=mode), arch))
        for name, args in calls:
            wide = [ctypes.c_long(a) for a in (*args, *[-1] * (6 - len(args)))]
            result = libc.syscall(ctypes.c_long(NUMBERS[arch][name]), *wide)
            said.append("0" if result >= 0 else errno.errorcode[ctypes.get_errno()])
        os.write(write, " ".join(said).encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        said = pipe.read().split()
    assert os.waitpid(pid, 0)[1] == 0
    assert len(said) == len(calls)
    for (name, args), kernel in zip(calls, said, strict=True):
        model = answer(Filter(network=mode), arch, name, *args)
        if model == OK:
            # Allowed by the filter; the kernel may have no such protocol, or refuse by itself.
            assert kernel in ("0", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EAFNOSUPPORT"), (
                name,
                args,
            )
        else:
            assert kernel == model, (name, args)
