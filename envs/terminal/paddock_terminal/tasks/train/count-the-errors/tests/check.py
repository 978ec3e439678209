import gzip
import hashlib
import sys
from pathlib import Path

workspace = Path(sys.argv[1])
expected = [("db.internal", 17), ("cache-7", 9), ("web-1", 9), ("web-10", 4), ("queue", 1)]
original = "8a4e2624af54b9da42a3f30830141c16b4cd6562e449a723f6ef764cf7da78e1"


def fail(why):
    print(f"FAIL: {why}")
    sys.exit(1)


logs = hashlib.sha256()
for path in sorted((workspace / "logs").iterdir()):
    text = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    logs.update(path.name.encode() + b"\0" + text)
if logs.hexdigest() != original:
    fail("logs/ was changed")
try:
    lines = (workspace / "errors.csv").read_text().splitlines()
except (OSError, ValueError) as exc:
    fail(f"errors.csv cannot be read: {exc}")
if lines != [f"{host},{count}" for host, count in expected]:
    fail(f"errors.csv says {lines[:10]}")
print("PASS")
