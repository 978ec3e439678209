"""Attacks on privileges: setuid and file capabilities, user ids, namespaces, mounts, devices."""

import os
import shutil
import stat
import struct
import subprocess
from signal import SIGCHLD

from raw import Answer, Target, call

_PR_GET_NO_NEW_PRIVS = 39
_CLONE_NEWUSER = 0x10000000
_SETUID = ("su", "mount", "umount", "passwd", "chsh", "gpasswd", "newgrp", "chfn")
_FOLDERS = ("/usr/bin", "/bin", "/usr/sbin", "/sbin", "/usr/local/bin")
_START_S = 3


def setuid_binary(target: Target, answer: Answer) -> None:
    for path in _setuid_programs():
        _started(path, answer)


def filecap_binary(target: Target, answer: Answer) -> None:
    for folder in _FOLDERS:
        with answer.trying(folder):
            for entry in os.scandir(folder):
                if _has_capabilities(entry.path):
                    _started(entry.path, answer)
    # One of its own: a copy that may open raw sockets.
    shutil.copy("/usr/bin/true", "capable")
    with answer.trying("set a file's capabilities"):
        os.setxattr(
            "capable", "security.capability", struct.pack("<5I", 0x2000001, 1 << 13, 0, 0, 0)
        )
        _started("./capable", answer)


def su_root(target: Target, answer: Answer) -> None:
    for command in (
        ["su", "root", "-c", "id -u"],
        ["su", "-c", "id -u"],
        ["sudo", "-n", "id", "-u"],
    ):
        with answer.trying(command[0]):
            done = _run(command)
            (answer.did if done.strip() == "0" else answer.refused).append(
                f"{command}: {done[:200]}"
            )


def setuid_own_file(target: Target, answer: Answer) -> None:
    shutil.copy("/usr/bin/id", "mine")
    with answer.trying("chmod"):
        os.chmod("mine", 0o6755)  # noqa: PTH101
        if os.stat("mine").st_mode & stat.S_ISUID:  # noqa: PTH116
            inert = call("prctl", _PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1
            (answer.partly if inert else answer.did).append("the bit is set")


def setuid0(target: Target, answer: Answer) -> None:
    # `docker run --user 1000` leaves the group root's: no gain, and not closed by anything here.
    groups = ("setgid", "setegid") if os.getgid() else ()
    for name in ("setuid", "seteuid", *groups):
        with answer.trying(name):
            getattr(os, name)(0)
            answer.did.append(f"{name}(0)")
    with answer.trying("setgroups"):
        os.setgroups([0])
        answer.did.append("setgroups")


def unshare_user(target: Target, answer: Answer) -> None:
    for flag in (_CLONE_NEWUSER, 0x00020000, 0x20000000, 0x40000000, 0x08000000, 0x80):
        with answer.trying(f"unshare({flag:#x})"):
            call("unshare", flag)
            answer.did.append(f"unshare({flag:#x})")


def clone_newuser(target: Target, answer: Answer) -> None:
    # With garbage in the upper half, too: the kernel looks at the lower one only.
    for flags in (_CLONE_NEWUSER | SIGCHLD, 1 << 40 | _CLONE_NEWUSER | SIGCHLD):
        with answer.trying(f"clone({flags:#x})"):
            _reap(call("clone", flags, 0, 0, 0, 0))
            answer.did.append(f"clone({flags:#x})")


def clone3_newuser(target: Target, answer: Answer) -> None:
    arguments = struct.pack("8Q", _CLONE_NEWUSER, 0, 0, 0, SIGCHLD, 0, 0, 0)
    with answer.trying("clone3"):
        _reap(call("clone3", arguments, len(arguments)))
        answer.did.append("clone3")


def mount_tmpfs(target: Target, answer: Answer) -> None:
    # Something empty and new, never a bind: whoever removes the workspace removes what is below.
    os.mkdir("mounted")  # noqa: PTH102
    with answer.trying("mount"):
        call("mount", b"none", b"mounted", b"tmpfs", 0, 0)
        answer.did.append("a tmpfs")


def chroot(target: Target, answer: Answer) -> None:
    with answer.trying("chroot"):
        os.chroot(".")
        answer.did.append("another root")


def mknod_mem(target: Target, answer: Answer) -> None:
    for name, kind, device in (("mem", stat.S_IFCHR, (1, 1)), ("disk", stat.S_IFBLK, (254, 0))):
        with answer.trying(name):
            os.mknod(name, kind | 0o600, os.makedev(*device))
            os.unlink(name)  # noqa: PTH108
            answer.did.append(name)


def ld_preload_trick(target: Target, answer: Answer) -> None:
    if os.getuid() == 0:
        return  # nothing to gain
    for path in _setuid_programs():
        with answer.trying(path):
            said = _run([path, "--version"], LD_PRELOAD="/nowhere/mine.so", LD_SHOW_AUXV="1")
            if "cannot be preloaded" in said and _value(said, "AT_EUID") == "0":
                answer.did.append(f"{path} loads it as root")


def dev_access(target: Target, answer: Answer) -> None:
    for name in (
        "autofs", "cuse", "dm-0", "fuse", "hpet", "kmem", "kmsg", "kvm", "loop0", "loop-control",
        "mem", "mapper/control", "net/tun", "nvme0n1", "nvram", "port", "sda", "snapshot", "uinput",
        "userfaultfd", "vda", "vhost-net", "vhost-vsock", "vsock", "xvda",
    ):  # fmt: skip
        # Opened and not read. Watchdogs are left out: they act on being closed.
        with answer.trying(name):
            os.close(os.open(f"/dev/{name}", os.O_RDONLY | os.O_NONBLOCK))
            answer.did.append(name)


def _setuid_programs() -> list[str]:
    found: list[str] = []
    for name in _SETUID:
        path = shutil.which(name)
        if path and os.stat(path).st_mode & stat.S_ISUID:  # noqa: PTH116
            found.append(path)
    return found


def _started(path: str, answer: Answer) -> None:
    """Start a program, and see whether it has become somebody else.

    The loader prints the auxiliary vector if it is asked to, except in programs that were given
    privileges.
    """
    with answer.trying(path):
        said = _run([path, "--version"], LD_SHOW_AUXV="1")
        ours = _value(said, "AT_EUID")
        if ours in (None, "0"):
            answer.did.append(f"{path} runs as {'root' if ours else 'somebody else'}")
        else:
            answer.refused.append(f"{path}: without privileges")


def _run(command: list[str], **env: str) -> str:
    try:
        done = subprocess.run(
            command, env={**os.environ, **env}, text=True, timeout=_START_S, check=False,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return "no answer"
    return done.stdout


def _value(said: str, key: str) -> str | None:
    for line in said.splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return value.strip()
    return None


def _has_capabilities(path: str) -> bool:
    try:
        return bool(os.getxattr(path, "security.capability"))
    except OSError:
        return False


def _reap(pid: int) -> None:
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
