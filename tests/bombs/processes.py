"""Bombs that use up processes, processor time and what a process can open."""

from tests.bombs.bomb import Bomb, python

__all__ = ["BOMBS"]

FORK = """
import os, signal
signal.signal(signal.SIGINT, signal.SIG_DFL)
first = os.getpid()
while True:
    try:
        os.fork()
    except OSError as exc:
        if os.getpid() == first:
            print("fork:", exc.strerror, flush=True)
            first = 0
"""

THREADS = """
import threading, time
started = 0
try:
    while started < 5000:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        started += 1
except RuntimeError as exc:
    print(f"{started} threads: {exc}", flush=True)
    import os
    if started > 40:
        time.sleep(1)
    os._exit(0)
"""

OPEN = """
import os
number = 0
try:
    while number < 100_000:
        os.open("/dev/null", os.O_RDONLY)
        number += 1
except OSError as exc:
    print(f"{number} files: {exc.strerror}")
"""

INOTIFY = """
import ctypes, os
libc, number = ctypes.CDLL(None, use_errno=True), 0
while number < 100_000 and libc.inotify_init() >= 0:
    number += 1
print(f"{number} instances: {os.strerror(ctypes.get_errno())}")
"""

TERMINALS = """
import os, time
number = 0
try:
    while number < 100_000:
        os.openpty()
        number += 1
except OSError as exc:
    print(f"{number} terminals: {exc.strerror}", flush=True)
time.sleep(1)
"""

SPIN = "for i in {1..30}; do while :; do :; done & done 2>/dev/null; sleep 3; kill $(jobs -p); wait"

# Out of its session and its process group, deaf to whatever can be ignored, and nobody's child.
DAEMON = """
import os, signal, time
if os.fork():
    os._exit(0)
os.setsid()
if os.fork():
    os._exit(0)
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, signal.SIG_IGN)
print("at large", flush=True)
os.closerange(0, 64)
while True:
    time.sleep(60)
"""

# Two that stop every process they see but each other: whoever is to kill them, too, if they can.
STOP = """
import os, signal, time
if os.fork():
    time.sleep(1)
    os._exit(0)
os.setsid()
for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
    signal.signal(number, signal.SIG_IGN)
spared = {os.getpid()}
spared.add(os.fork() or os.getppid())
until = time.monotonic() + 60
while time.monotonic() < until:
    spared.add(os.getpid())
    try:
        every = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    except OSError:
        every = range(2, os.getpid() + 300)
    for number in every:
        if number not in spared:
            try:
                os.kill(number, signal.SIGSTOP)
            except OSError:
                pass
"""

BOMBS = (
    Bomb(
        "fork, Python",
        python(FORK),
        timeout_s=2,
        says="fork: Resource temporarily unavailable",
        says_landlock="limit: processes: ",
        comes_to=38,
        holds_up_landlock=5,
    ),
    Bomb(
        "fork, bash",
        "bomb() { bomb | bomb & }; bomb; sleep 2",
        timeout_s=3,
        says="fork: retry: Resource temporarily unavailable",
        says_landlock="limit: processes: ",
        comes_to=38,
        holds_up_landlock=5,
    ),
    Bomb(
        "threads",
        python(THREADS),
        says="threads: can't start new thread",
        says_landlock="limit: processes: ",
    ),
    Bomb("open files", python(OPEN), says=r"\b2[45]\d files: Too many open files"),
    Bomb("inotify instances", python(INOTIFY), says="instances: Too many open files"),
    Bomb(
        "terminals",
        python(TERMINALS),
        says=r"\b1[0-9]\d terminals: Too many open files",
        says_landlock=r"\b0 terminals: ",
    ),
    Bomb("thirty that spin", SPIN, comes_to=31),
    Bomb("daemon", python(DAEMON), says="at large", comes_to=2, survives=0.5),
    Bomb("SIGSTOP storm", python(STOP), timeout_s=2, comes_to=3, resets=True, stops=True),
)
