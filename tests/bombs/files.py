"""Bombs that fill the disk, and the way to the client."""

from tests.bombs.bomb import Bomb, python

__all__ = ["BOMBS"]

# No more than 512 MiB, should nothing stop them.
FILL = """
import os, time
for number in range(32):
    with open(f"{os.environ['%s']}/bomb-{number}", "wb") as file:
        for _ in range(16):
            file.write(b"x" * (1 << 20))
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
"""

BOMBS = (
    Bomb("disk", python(FILL % "PWD"), limit="disk: "),
    Bomb("disk, temporary files", python(FILL % "TMPDIR"), limit="disk: "),
    Bomb("unlinked file", python(UNLINKED), limit="disk: "),
    Bomb("50,000 files", python(MANY), limit="files: "),
    Bomb("3,000 directories deep", python(DEEP)),
    Bomb("1 GB of output", "head -c 1G /dev/zero | tr '\\0' x", limit="output: "),
)
