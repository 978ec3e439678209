"""Attacks on files: another session's, the server's, the machine's."""

import os

from raw import Answer, Target

_FOLDERS = (
    "/", "/bin", "/boot", "/dev", "/dev/mqueue", "/dev/shm", "/etc", "/home", "/lib", "/media",
    "/mnt", "/opt", "/proc", "/root", "/run", "/run/lock", "/run/user", "/sbin", "/srv", "/sys",
    "/sys/fs/cgroup", "/tmp", "/usr", "/usr/lib", "/usr/local", "/usr/local/bin", "/usr/share",
    "/var", "/var/cache", "/var/lib", "/var/lock", "/var/log", "/var/spool", "/var/tmp",
)  # fmt: skip
_SMALL_MB = 256


def other_session_read(target: Target, answer: Answer) -> None:
    answer.file(f"{target['victim_workspace']}/secret.txt")


def other_session_list(target: Target, answer: Answer) -> None:
    for path in (target["victim_workspace"], target["victim_path"]):
        _list(path, answer)


def other_session_write(target: Target, answer: Answer) -> None:
    path = f"{target['victim_workspace']}/write-me"
    with answer.trying(path):
        fd = os.open(path, os.O_WRONLY)
        os.write(fd, target["nonce"].encode())
        os.close(fd)
    answer.make(f"{target['victim_workspace']}/new-{target['nonce']}", target["nonce"])


def other_session_unlink(target: Target, answer: Answer) -> None:
    with answer.trying("unlink"):
        os.unlink(f"{target['victim_workspace']}/unlink-me")  # noqa: PTH108


def other_session_stat(target: Target, answer: Answer) -> None:
    with answer.trying("stat"):
        found = os.stat(f"{target['victim_workspace']}/secret.txt")  # noqa: PTH116
        answer.partly.append(f"size {found.st_size}")


def other_session_chmod(target: Target, answer: Answer) -> None:
    with answer.trying("chmod"):
        os.chmod(f"{target['victim_workspace']}/chmod-me", 0o666)  # noqa: PTH101


def sessions_enumerate(target: Target, answer: Answer) -> None:
    for path in (target["sessions"], os.path.dirname(target["sessions"])):  # noqa: PTH120
        _list(path, answer)


def server_answers_read(target: Target, answer: Answer) -> None:
    answer.file(target["answers"])


def server_source_read(target: Target, answer: Answer) -> None:
    answer.file(target["source"])


def write_usr_bin(target: Target, answer: Answer) -> None:
    for folder in ("/usr/bin", "/usr/sbin", "/usr/local/bin"):
        answer.make(f"{folder}/attack-{target['nonce']}", target["nonce"])


def write_site_packages(target: Target, answer: Answer) -> None:
    for folder in target["site_packages"]:
        answer.make(f"{folder}/attack-{target['nonce']}.txt", target["nonce"])


def write_ld_so_preload(target: Target, answer: Answer) -> None:
    # An empty file there does nothing; the arena takes it away again.
    answer.make("/etc/ld.so.preload", "")


def write_etc_passwd(target: Target, answer: Answer) -> None:
    for path in ("/etc/passwd", "/etc/group", "/etc/shadow"):
        with answer.trying(path):
            os.close(os.open(path, os.O_WRONLY | os.O_APPEND))
            answer.did.append(f"{path} open for writing")


def cron_persist(target: Target, answer: Answer) -> None:
    for folder in ("/etc/cron.d", "/var/spool/cron/crontabs", "/etc/profile.d", "/etc/init.d"):
        answer.make(f"{folder}/attack-{target['nonce']}", f"# {target['nonce']}\n")


def etc_shadow_read(target: Target, answer: Answer) -> None:
    for path in ("/etc/shadow", "/etc/gshadow"):
        with answer.trying(path):
            fd = os.open(path, os.O_RDONLY)
            answer.did.append(f"{path}: {len(os.read(fd, 4096))} bytes")
            os.close(fd)


def hardlink_secret(target: Target, answer: Answer) -> None:
    for path in (target["answers"], f"{target['victim_workspace']}/secret.txt"):
        with answer.trying(f"link {path}"):
            os.link(path, "hard")
            answer.did.append(f"a link to {path}")
            answer.file("hard")
            os.unlink("hard")  # noqa: PTH108


def tmp_victim_read(target: Target, answer: Answer) -> None:
    answer.file(target["tmp_secret"])
    with answer.trying("unlink"):
        os.unlink(target["tmp_secret"])  # noqa: PTH108
        answer.partly.append("taken away, whether it is the victim's or a private one")


def tmp_squat(target: Target, answer: Answer) -> None:
    answer.make(target["tmp_name"], target["nonce"])


def devshm_victim_read(target: Target, answer: Answer) -> None:
    answer.file(target["shm_secret"])


def devshm_list(target: Target, answer: Answer) -> None:
    _list("/dev/shm", answer)


def write_anywhere_outside_ws(target: Target, answer: Answer) -> None:
    for folder in _FOLDERS:
        path = f"{folder.rstrip('/')}/attack-{target['nonce']}"
        answer.make(path, target["nonce"])
        if path in answer.made:
            found = os.statvfs(folder)
            megabytes = found.f_blocks * found.f_frsize >> 20
            if megabytes > _SMALL_MB:
                # In memory, it counts as nobody's.
                answer.partly.append(f"{folder} of {megabytes} MiB")


def _list(path: str, answer: Answer) -> None:
    with answer.trying(f"list {path}"):
        answer.read.extend(os.listdir(path))  # noqa: PTH208
