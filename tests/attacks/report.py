"""Print the table, attack by level: ``python -m tests.attacks.report``.

Holds every arena that can be held here: on this machine as root, in containers if an engine answers
and the base image is built. Exits with 1 when something is more open than it is known to be.
"""

import argparse
import os
import shutil
import subprocess
import sys

from tests.attacks.contexts import CONTEXTS, IMAGE, Context, expected, more_open, run
from tests.attacks.names import ATTACKS

_SHOWN = {"open": "OPEN", "broken": "BROKEN"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", help="columns whose name contains this")
    options = parser.parse_args()
    columns: dict[str, dict[str, str]] = {}
    worse = False
    for context in CONTEXTS:
        if options.only and options.only not in context.name:
            continue
        if why := _impossible(context):
            _say(f"{context.name}: left out ({why})")
            continue
        report = run(context)
        columns[context.name] = {name: verdict for name, (verdict, _) in report["attacks"].items()}
        further, less = more_open(columns[context.name], expected(context))
        worse = worse or bool(further)
        for name in further:
            _say(f"{context.name}: {name} is more open than known: {report['attacks'][name]}")
        for name in less:
            _say(f"{context.name}: {name} is less open than known: update expected.json")
    _print_table(columns)
    sys.exit(1 if worse else 0)


def _impossible(context: Context) -> str:
    if context.flags is None:
        return "" if os.geteuid() in (0, context.user) else "needs root"
    if not shutil.which("docker"):
        return "no Docker"
    command = ["docker", "image", "inspect", IMAGE]
    built = subprocess.run(command, capture_output=True, check=False).returncode == 0
    return "" if built else f"no engine answers, or {IMAGE} is not built"


def _print_table(columns: dict[str, dict[str, str]]) -> None:
    _say("\n| attack | " + " | ".join(columns) + " |")
    _say("|---" * (1 + len(columns)) + "|")
    for name in ATTACKS:
        row = [_SHOWN.get(column[name], column[name]) for column in columns.values()]
        _say(f"| {name} | " + " | ".join(row) + " |")
    totals: list[str] = []
    for column in columns.values():
        found = list(column.values())
        partial = found.count("partial")
        blocked = found.count("blocked") + found.count("private")
        totals.append(f"{blocked}/{partial}/{len(found) - blocked - partial}")
    _say("| blocked/partial/OPEN | " + " | ".join(totals) + " |")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
