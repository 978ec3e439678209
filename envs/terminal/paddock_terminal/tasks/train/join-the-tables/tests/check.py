import csv
import io
import json
import random
import subprocess
import sys
import tempfile
from pathlib import Path

program = Path(sys.argv[1]) / "report.py"


def fail(why):
    print(f"FAIL: {why}")
    sys.exit(1)


def table(rows):
    out = io.StringIO()
    csv.writer(out).writerows(rows)
    return out.getvalue()


def report(customers, orders):
    with tempfile.TemporaryDirectory() as made:
        paths = [Path(made) / "c.csv", Path(made) / "o.csv"]
        paths[0].write_text(table([("id", "name"), *customers]), encoding="utf-8", newline="")
        header = ("order", "customer", "cents")
        paths[1].write_text(table([header, *orders]), encoding="utf-8", newline="")
        command = [sys.executable, "-I", str(program), *map(str, paths)]
        return subprocess.run(command, cwd=made, capture_output=True, timeout=10)


def check(customers, orders):
    done = report(customers, orders)
    said = done.stdout.decode("utf-8", "replace")
    lines = said.splitlines() if "\u2028" not in said else said.split("\n")[:-1]
    wanted = []
    for key, name in customers:
        cents = [amount for _, customer, amount in orders if customer == key]
        total = f"{sum(cents) // 100}.{sum(cents) % 100:02}"
        wanted.append({"name": name, "orders": len(cents), "total": total})
    try:
        found = [json.loads(line) for line in lines]
    except ValueError:
        fail(f"this is not JSON: {said[:200]!r} {done.stderr[-300:]!r}")
    if done.returncode != 0 or found != wanted:
        fail(f"{len(customers)} customers, {len(orders)} orders: {said[:300]!r}")
    if any(not name.isascii() and name.isprintable() and name not in said for _, name in customers):
        fail("a name was printed as escapes")


if not program.is_file():
    fail("there is no report.py")
rng = random.Random(11)
check([("7", "Ada"), ("3", "Bell, Inc."), ("9", "Zoë")], [(1, "7", 1000), (2, "3", 99), (3, "7", 250)])
check([("a", 'with "quotes"'), ("b", "two\nlines"), ("c", "日本")], [(1, "c", 5)])
check([("1", "rich")], [(n, "1", 10**17 + 1) for n in range(50)])
check([], [])
people = [(str(n), f"person {n}") for n in range(200)]
check(people, [(n, rng.choice(people)[0], rng.randrange(100000)) for n in range(3000)])
stray = report([("1", "Ada")], [(1, "1", 5), (2, "2", 5)])
if stray.returncode != 1 or stray.stdout:
    fail(f"an unknown customer: exit status {stray.returncode}, {stray.stdout[:100]!r}")
print("PASS")
