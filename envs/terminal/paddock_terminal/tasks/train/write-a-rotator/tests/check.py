import subprocess
import sys
import tempfile
from pathlib import Path

script = Path(sys.argv[1]) / "rotate.sh"


def fail(why):
    print(f"FAIL: {why}")
    sys.exit(1)


def contents(folder):
    return {p.name: p.read_text() for p in folder.iterdir()}


def rotate(folder, *words):
    command = ["bash", str(script), *words]
    return subprocess.run(command, cwd=folder, capture_output=True, timeout=5).returncode


if not script.is_file():
    fail("there is no rotate.sh")
for name in ("app.log", "with a space.log", "-dash.log"):
    with tempfile.TemporaryDirectory() as made:
        folder, file = Path(made), f"./{name}"
        for n in range(1, 6):
            (folder / name).write_text(f"version {n}")
            if (code := rotate(folder, file, "3")) != 0:
                fail(f"rotating {name!r} for the {n}th time: exit status {code}")
        wanted = {name: "", f"{name}.1": "version 5", f"{name}.2": "version 4"}
        wanted[f"{name}.3"] = "version 3"
        if contents(folder) != wanted:
            fail(f"after five times: {contents(folder)}")
        if rotate(folder, file, "1") != 0 or sorted(contents(folder)) != [name, f"{name}.1"]:
            fail(f"with N = 1 these are left: {sorted(contents(folder))}")
        before = contents(folder)
        for words in ((file, "0"), (file, "x"), (file, "-1"), (file,), ("./nope", "2")):
            if (code := rotate(folder, *words)) != 2 or contents(folder) != before:
                fail(f"{words}: exit status {code}, {sorted(contents(folder))}")
print("PASS")
