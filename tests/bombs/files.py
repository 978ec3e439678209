"""Bombs that fill the disk, and the way to the client."""

from tests.bombs.bomb import Bomb, python

__all__ = ["BOMBS"]

# No more than 512 MiB, should nothing stop them.
FILL = """
import os, time
try:
    for number in range(32):
        with open(f"{os.environ['%s']}/bomb-{number}", "wb") as file:
            for _ in range(16):
                file.write(b"x" * (1 << 20))
except OSError as exc:
    print(exc.strerror, flush=True)
time.sleep(60)
"""

UNLINKED = """
import os, time
kept = open("bomb", "wb")
os.unlink("bomb")
for _ in range(240):
    kept.write(b"x" * (1 << 20))
time.sleep(60)
"""

MANY = """
import time
for number in range(50_000):
    open(f"bomb-{number}", "w").close()
time.sleep(60)
"""

DEEP = """
import os
for _ in range(3000):
    os.mkdir("d")
    os.chdir("d")
print("down there", flush=True)
"""

# In places that others use as well, closed to whoever has to remove it, and of use to nobody.
LEFT = """
import ctypes, os, socket, time
refused = 0
for place in ("/tmp", "/dev/shm", "."):
    for name in ("bomb-file", ".bomb-hidden"):
        try:
            open(f"{place}/{name}", "w").close()
        except OSError:
            refused += 1
for top in ("/tmp/bomb-directory", "closed"):
    try:
        os.makedirs(f"{top}/in/it")
        open(f"{top}/in/it/file", "w").close()
        os.chmod(f"{top}/in", 0)
        os.chmod(top, 0)
    except OSError:
        refused += 1
libc = ctypes.CDLL(None)
print(refused, "files refused;", end=" ")
print("System V:", libc.shmget(0, 4096, 0o1666), libc.semget(0, 1, 0o1666), libc.msgget(0, 0o1666))
if os.fork() == 0:
    os.setsid()
    try:
        listener = socket.socket(socket.AF_UNIX)
        listener.bind("\\0bomb")
        listener.listen()
        listener.accept()
    except PermissionError:
        time.sleep(60)
"""

BOMBS = (
    Bomb("disk", python(FILL % "PWD"), says="limit: disk: "),
    Bomb("disk, temporary files", python(FILL % "TMPDIR"), says="limit: disk: "),
    Bomb(
        "unlinked file",
        python(UNLINKED),
        says="limit: disk: ",
        # A server without CAP_SYS_PTRACE cannot see what a process in a user namespace has open.
        unstopped_in="container, namespaces",
    ),
    Bomb("50,000 files", python(MANY), says="limit: files: "),
    Bomb("3,000 directories deep", python(DEEP), says="down there", resets=True),
    Bomb(
        "leftovers",
        python(LEFT),
        says=r"\b0 files refused; System V: ",
        says_landlock=r"\b5 files refused; System V: -1 -1 -1$",
        comes_to=2,
        survives=0.3,
    ),
    Bomb("1 GB of output", "head -c 1G /dev/zero | tr '\\0' x", says="limit: output: "),
)
