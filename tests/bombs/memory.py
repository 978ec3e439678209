"""Bombs that use up memory, seen and unseen."""

from tests.bombs.bomb import Bomb, python

__all__ = ["BOMBS"]

# No more than 1 GiB, should nothing stop them.
GROW = """
import os, time
for _ in range({processes} - 1):
    if os.fork() == 0:
        break
kept = []
for _ in range(1024 // {processes} // 4):
    kept.append(b"x" * (4 << 20))
    time.sleep(0.005)
time.sleep(60)
"""

# One after the other is ended, and not who starts them.
AGAIN = """
import os
while True:
    if os.fork() == 0:
        kept = b"x" * (300 << 20)
        os._exit(0)
    os.wait()
"""

SHARED = """
import mmap, time
kept = []
for _ in range(64):
    memory = mmap.mmap(-1, 16 << 20)
    for at in range(0, 16 << 20, 4096):
        memory[at] = 1
    kept.append(memory)
time.sleep(60)
"""

MEMFD = """
import os
try:
    os.memfd_create("bomb")
except OSError as exc:
    print("memfd:", exc.strerror)
"""

# A page that is only read is the one zero page, but the way to it is memory: 4 KiB for each 2 MiB.
TABLES = """
import mmap, time
kept = []
for _ in range(6):
    memory = mmap.mmap(-1, 16 << 30, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ)
    memory.madvise(mmap.MADV_NOHUGEPAGE)
    kept.append(memory)
    for at in range(0, 16 << 30, 2 << 20):
        memory[at]
time.sleep(60)
"""

SOCKETS = """
import os, socket, time
for _ in range(20):
    if os.fork() == 0:
        break
kept = []
try:
    while True:
        pair = socket.socketpair()
        kept.append(pair)
        for one in pair:
            one.setblocking(False)
            try:
                while True:
                    one.send(b"x" * 65536)
            except BlockingIOError:
                pass
except OSError as exc:
    print(f"{len(kept)} pairs: {exc.strerror}", flush=True)
time.sleep(1)
"""

PIPES = """
import fcntl, os, time
kept, size = 0, 0
try:
    while kept < 100_000:
        read, write = os.pipe()
        os.set_blocking(write, False)
        kept += 1
        try:
            fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 1 << 20)
        except PermissionError:
            pass
        try:
            while True:
                size += os.write(write, b"x" * 65536)
        except BlockingIOError:
            pass
except OSError as exc:
    print(f"{size >> 20} MiB in {kept} pipes: {exc.strerror}", flush=True)
"""

# At most 512 MiB, should nothing stop it.
FILES_IN_MEMORY = """
import os, time
for number in range(32):
    try:
        with open(f"/dev/shm/bomb-{number}", "wb") as file:
            for _ in range(16):
                file.write(b"x" * (1 << 20))
                time.sleep(0.005)
    except OSError as exc:
        print(f"{number} files of 16 MiB: {exc.strerror}", flush=True)
        break
else:
    time.sleep(60)
"""

BOMBS = (
    Bomb("memory, 1 process", python(GROW.format(processes=1)), says="limit: memory: "),
    Bomb(
        "memory, 21 processes",
        python(GROW.format(processes=21)),
        timeout_s=4,
        says="limit: memory: ",
    ),
    Bomb("memory, again and again", python(AGAIN), timeout_s=4, says="limit: memory: "),
    Bomb("MAP_SHARED", python(SHARED), says="limit: memory: "),
    Bomb("memfd", python(MEMFD), says="memfd: Operation not permitted"),
    Bomb("page tables", python(TABLES), says="limit: memory: ", limits={"memory_mb": 96}),
    Bomb(
        "socket buffers",
        python(SOCKETS),
        says="pairs: Too many open files",
        limits={"open_files": 64},
    ),
    Bomb("pipe buffers", python(PIPES), says=r"\b\d\d?\d? MiB in \d+ pipes: Too many open files"),
    Bomb(
        "/dev/shm",
        python(FILES_IN_MEMORY),
        says="limit: (disk|memory): |No space left on device",
        says_landlock=r"\b0 files of 16 MiB: Permission denied",
    ),
)
