"""Attacks on processes: their names, memory, descriptors, environment, signals and limits."""

import ctypes
import os
import signal
import struct
import time

from raw import Answer, Target, call

_PTRACE_SEIZE = 0x4206  # attaches without stopping anybody; ends with the attacker
_PRIO_PROCESS = 0
_RLIMIT_CORE = 4


def proc_list_others(target: Target, answer: Answer) -> None:
    with answer.trying("list /proc"):
        names = set(os.listdir("/proc"))  # noqa: PTH208
        found = names & {str(target["server_pid"]), str(target["victim_pid"])}
        answer.did.extend(f"process {pid}" for pid in found)


def victim_cmdline(target: Target, answer: Answer) -> None:
    answer.file(f"/proc/{target['victim_pid']}/cmdline")


def server_environ(target: Target, answer: Answer) -> None:
    answer.file(f"/proc/{target['server_pid']}/environ")


def victim_environ(target: Target, answer: Answer) -> None:
    answer.file(f"/proc/{target['victim_pid']}/environ")


def server_mem(target: Target, answer: Answer) -> None:
    for pid, address in (
        (target["server_pid"], target["server_memory"]),
        (target["victim_pid"], target["victim_memory"]),
    ):
        with answer.trying(f"/proc/{pid}/mem"):
            fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
            answer.read.append(os.pread(fd, 64, address).decode(errors="replace"))


def server_mem_write(target: Target, answer: Answer) -> None:
    with answer.trying("write"):
        fd = os.open(f"/proc/{target['server_pid']}/mem", os.O_RDWR)
        os.pwrite(fd, target["nonce"].encode(), target["server_scratch"])


def server_fds(target: Target, answer: Answer) -> None:
    answer.file(f"/proc/{target['server_pid']}/fd/{target['answers_fd']}")


def server_root_magic(target: Target, answer: Answer) -> None:
    answer.file(f"/proc/{target['server_pid']}/root{target['answers']}")


def server_cwd_magic(target: Target, answer: Answer) -> None:
    # The server works in the folder that its answers are in.
    name = os.path.basename(target["answers"])  # noqa: PTH119
    answer.file(f"/proc/{target['server_pid']}/cwd/{name}")


def ptrace_server(target: Target, answer: Answer) -> None:
    with answer.trying("ptrace"):
        call("ptrace", _PTRACE_SEIZE, target["server_pid"], 0, 0)
        answer.did.append("attached")


def ptrace_victim(target: Target, answer: Answer) -> None:
    with answer.trying("ptrace"):
        call("ptrace", _PTRACE_SEIZE, target["victim_pid"], 0, 0)
        answer.did.append("attached")


def process_vm_readv(target: Target, answer: Answer) -> None:
    buffer = ctypes.create_string_buffer(64)
    local = struct.pack("QQ", ctypes.addressof(buffer), 64)
    for pid, address in (
        (target["server_pid"], target["server_memory"]),
        (target["victim_pid"], target["victim_memory"]),
    ):
        with answer.trying(f"process {pid}"):
            remote = struct.pack("QQ", address, 64)
            call("process_vm_readv", pid, local, 1, remote, 1, 0)
            answer.read.append(buffer.raw.decode(errors="replace"))


def pidfd_getfd_server(target: Target, answer: Answer) -> None:
    with answer.trying("pidfd_open"):
        pidfd = call("pidfd_open", target["server_pid"], 0)
        with answer.trying("pidfd_getfd"):
            fd = call("pidfd_getfd", pidfd, target["answers_fd"], 0)
            answer.read.append(os.pread(fd, 4096, 0).decode())


def kill_server(target: Target, answer: Answer) -> None:
    _signal(target["server_pid"], signal.SIGURG, answer)
    with answer.trying("by pidfd"):
        pidfd = call("pidfd_open", target["server_pid"], 0)
        signal.pidfd_send_signal(pidfd, signal.SIGURG)
        answer.partly.append("sent by pidfd")


def kill_victim_canary(target: Target, answer: Answer) -> None:
    _signal(target["canary_pid"], signal.SIGKILL, answer)


def kill_all_broadcast(target: Target, answer: Answer) -> None:
    # A signal that nobody minds who does not wait for it: if it gets out, nothing is lost.
    _signal(-1, signal.SIGURG, answer)


def prlimit_server(target: Target, answer: Answer) -> None:
    for name in ("server_pid", "victim_pid"):
        with answer.trying(f"prlimit of {name}"):
            # Neither the server nor its sessions have any use for core files.
            call("prlimit64", target[name], _RLIMIT_CORE, struct.pack("QQ", 0, 0), 0)
            answer.did.append(f"limited {name}")


def affinity_server(target: Target, answer: Answer) -> None:
    for name in ("server_pid", "victim_pid"):
        with answer.trying(f"sched_setaffinity of {name}"):
            os.sched_setaffinity(target[name], os.sched_getaffinity(0))
            answer.did.append(f"set that of {name}")


def renice_server(target: Target, answer: Answer) -> None:
    for name in ("server_pid", "victim_pid"):
        with answer.trying(f"setpriority of {name}"):
            now = os.getpriority(_PRIO_PROCESS, target[name])
            os.setpriority(_PRIO_PROCESS, target[name], now)
            answer.did.append(f"set that of {name}")


def inherited_fds(target: Target, answer: Answer) -> None:
    # The first three are its own, and one more is what names the attacks.
    for fd in range(4, 1024):
        with answer.trying("descriptors from 4 on" if fd == 4 else "closed"):
            os.fstat(fd)
            answer.partly.append(f"descriptor {fd}")
            answer.read.append(os.pread(fd, 4096, 0).decode(errors="replace"))
    answer.refused = answer.refused[:1]


def inherited_env(target: Target, answer: Answer) -> None:
    answer.read.extend(f"{name}={value}" for name, value in os.environ.items())


def env_clean_exec(target: Target, answer: Answer) -> None:
    """Start over, as a daemon with an empty environment, and try the doors again."""
    told, tells = os.pipe()
    wanted = " ".join((target["answers"], f"{target['victim_workspace']}/secret.txt"))
    script = f"cat {wanted}; cat /proc/{target['server_pid']}/environ; kill -URG -1"
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.dup2(tells, 1)
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what it says there are the paths
            os.execve("/bin/sh", ["sh", "-c", script], {})
        os._exit(0)
    os.wait()
    os.close(tells)
    deadline = time.monotonic() + 3
    os.set_blocking(told, False)
    while time.monotonic() < deadline:
        try:
            text = os.read(told, 65536)
        except BlockingIOError:
            time.sleep(0.005)
            continue
        if not text:
            break
        answer.read.append(text.decode(errors="replace"))


def _signal(pid: int, number: int, answer: Answer) -> None:
    # A process of one's own that has the same number in a private /proc is nobody's loss.
    with answer.trying(f"kill({pid})"):
        os.kill(pid, number)
        answer.partly.append(f"sent to {pid}")
