"""The attacker, inside its sandbox: ``python3 -I -S attack.py TARGETS``.

Reads names of attacks from descriptor 3 and runs each in a child of its own: a started Python costs
more than an attack. A line of JSON says what each saw and did. What that amounts to is not decided
here but by the arena, which knows the secrets and looks at what became of its own things.
"""

import json
import os
import signal
import sys

LIMIT_S = 5
COMMANDS = 3


def main() -> None:
    folder, targets = os.path.dirname(__file__), sys.argv[1]  # noqa: PTH120
    # Isolated mode leaves a script's own folder out.
    sys.path.insert(0, folder)
    os.chdir(folder)
    with open(targets) as file:  # noqa: PTH123
        target = json.load(file)
    import files  # noqa: PLC0415
    import kernel  # noqa: PLC0415
    import network  # noqa: PLC0415
    import privileges  # noqa: PLC0415
    from raw import Answer  # noqa: PLC0415

    import processes  # noqa: PLC0415

    themes = (files, kernel, network, privileges, processes)
    with open(COMMANDS) as commands:
        for line in commands:
            name = line.strip()
            pid = os.fork()
            if pid == 0:
                signal.alarm(LIMIT_S)
                attack = next(getattr(theme, name) for theme in themes if hasattr(theme, name))
                answer = Answer()
                attack(target, answer)
                os.write(1, json.dumps(vars(answer)).encode() + b"\n")
                os._exit(0)
            status = os.waitpid(pid, 0)[1]
            if status:
                os.write(1, json.dumps({"status": status}).encode() + b"\n")


if __name__ == "__main__":
    main()
