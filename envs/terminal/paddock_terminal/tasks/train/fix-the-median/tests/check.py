import random
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

workspace = Path(sys.argv[1])
samples = {"odd.txt": "3\n1\n2\n", "even.txt": "10\n2\n9\n1\n"}


def run(text):
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write(text)
        file.flush()
        command = [sys.executable, "-I", "median.py", file.name]
        return subprocess.run(command, cwd=workspace, capture_output=True, text=True, timeout=10)


def fail(why):
    print(f"FAIL: {why}")
    sys.exit(1)


for name, text in samples.items():
    if (workspace / "samples" / name).read_text() != text:
        fail(f"samples/{name} was changed")

rng = random.Random(20)
cases = [[5], [10, 2, 9, 1], [-3, -10, 4], [2.5, 1.5], [100, 20, 3, 11, 5, 7]]
cases += [[rng.randint(-999, 999) for _ in range(n)] for n in (2, 3, 50, 51, 1000)]
for values in cases:
    result = run("".join(f"{v}\n" for v in values))
    try:
        right = abs(float(result.stdout) - statistics.median(values)) < 1e-9
    except ValueError:
        right = False
    if not right or result.returncode != 0:
        said = (result.stdout + result.stderr)[-200:]
        fail(f"the median of {values[:8]} ({len(values)} numbers) came out as {said!r}")

empty = run("")
if empty.returncode != 1 or not empty.stderr.strip() or "Traceback" in empty.stderr:
    fail(f"an empty file: exit status {empty.returncode}, stderr {empty.stderr[-200:]!r}")
print(f"PASS: {len(cases)} files and the empty one")
