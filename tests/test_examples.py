"""The examples run, and the smallest environment is a whole one."""

import os
import subprocess
import sys
from pathlib import Path

import paddock

EXAMPLES = Path(__file__).parents[1] / "examples"


def counter() -> paddock.LocalProvider:
    return paddock.LocalProvider(env={"PYTHONPATH": str(EXAMPLES)})


def test_the_smallest_environment_is_played():
    sys.path.insert(0, str(EXAMPLES))
    try:
        with paddock.make("counter_env:SPEC", provider=counter()).sync() as env:
            env.reset(goal=6)
            assert env.step({"amount": 3}).reward is None
            result = env.step({"type": "multiply", "factor": 2})
            assert (result.observation.value, result.reward, result.done) == (6, 1.0, True)
            assert env.state().goal == 6
    finally:
        sys.path.remove(str(EXAMPLES))


def test_it_conforms_with_nothing_short():
    ours = {"PYTHONPATH": str(EXAMPLES)}
    process = subprocess.Popen(
        [sys.executable, "-m", "paddock", "serve", "counter_env:SPEC", "--port", "0"],
        env={**os.environ, **ours},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = process.stderr.readline().split(" on ")[1].split()[0]
        command = [sys.executable, "-m", "paddock", "check", url]
        done = subprocess.run(command, capture_output=True, text=True, timeout=100)
        assert done.returncode == 0, done.stdout
        assert "conforms" in done.stdout
        assert " short" not in done.stdout.splitlines()[-1]
    finally:
        process.kill()
        process.communicate()


def test_the_demo_solves_its_task():
    done = subprocess.run(
        [sys.executable, EXAMPLES / "demo.py"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "reward: 1.0  done: True" in done.stdout
