"""Watch a real episode: a scripted agent finds and repairs a bug in a real shell.

``make demo`` runs this. The server is started from the catalog by name, the agent sees nothing but
what the shell prints, and the verdict comes from the task's own check.
"""

import sys
import textwrap
import time
from typing import Any

import paddock
from paddock import StepResult

FIXED = '''
"""Print the median of the numbers in a file."""

import statistics
import sys


def main():
    with open(sys.argv[1]) as file:
        values = [float(line) for line in file if line.strip()]
    if not values:
        sys.exit("no numbers in the file")
    print(statistics.median(values))


main()
'''

SCRIPT: list[tuple[str, dict[str, Any]]] = [
    ("What is there?", {"command": "ls -R && cat median.py"}),
    (
        "What goes wrong?",
        {"command": "python3 median.py samples/even.txt; sort -n samples/even.txt"},
    ),
    (
        "It sorts text, and takes one number where two are in the middle. Try that in a REPL.",
        {"command": "python3 -q", "timeout_s": 1},
    ),
    (
        "The lines are text: '10' sorts before '2'.",
        {"type": "send_keys", "keys": ["sorted(['10', '2', '9', '1'])", "Enter"]},
    ),
    ("Leave the REPL.", {"type": "send_keys", "keys": ["C-d"]}),
    ("Repair it.", {"command": f"cat > median.py <<'END'{FIXED}END"}),
    (
        "Does it work now?",
        {"command": "for f in samples/*; do echo $f: $(python3 median.py $f); done"},
    ),
    ("And for an empty file?", {"command": "python3 median.py /dev/null"}),
]


def show(title: str, text: str) -> None:
    """Print a titled, indented block."""
    print(f"\n\033[1m{title}\033[0m", flush=True)
    print(textwrap.indent(text.rstrip() or "(nothing)", "    "), flush=True)


def play() -> StepResult[Any]:
    """Play the episode and return the verdict."""
    print("starting the terminal environment from the catalog ...", flush=True)
    started = time.perf_counter()
    with paddock.make("terminal").sync() as env:
        print(f"serving after {time.perf_counter() - started:.1f} s; resetting ...", flush=True)
        first = env.reset(task_id="fix-the-median", seed=7)
        show("The task", first.observation.instruction)
        for number, (thought, action) in enumerate(SCRIPT, 1):
            typed = action.get("command") or " ".join(action["keys"])
            show(f"[{number}/{len(SCRIPT)}] {thought}", "$ " + typed)
            seen = env.step(action).observation
            status = "" if seen.exit_code is None else f"[exit status {seen.exit_code}]"
            show("", f"{seen.output}{'(still running)' if seen.running else status}")
        print("\nevaluating ...", flush=True)
        return env.evaluate()


def main() -> int:
    """Play, print the verdict, and return 0 if the task was solved."""
    verdict = play()
    show("The task's check says", verdict.observation.output)
    print(f"\nreward: {verdict.reward}  done: {verdict.done}")
    return 0 if verdict.reward == 1.0 else 1


if __name__ == "__main__":
    sys.exit(main())
