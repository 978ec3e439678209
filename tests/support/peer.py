"""OpenEnv 0.10.0 in a virtual environment of its own, and its echo environment, served.

The virtual environment is made once and kept: in ``$PADDOCK_TEST_CACHE``, or ``.cache/tests``.
"""

import fcntl
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VERSION = "0.10.0"
START_S = 60
_URL = re.compile(r"running on (http://\S+)")


def openenv_python() -> Path:
    """Return a Python that has OpenEnv installed."""
    default = Path(__file__).parents[2] / ".cache" / "tests"
    cache = Path(os.environ.get("PADDOCK_TEST_CACHE", default))
    tag = f"openenv-{VERSION}-py{sys.version_info.major}.{sys.version_info.minor}"
    venv = cache / tag
    python, complete = venv / "bin" / "python", venv / "complete"
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / f"{tag}.lock").open("w") as lock:  # test workers run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            _run(sys.executable, "-m", "venv", "--clear", str(venv))
            _run(str(python), "-m", "pip", "install", "--quiet", f"openenv=={VERSION}")
            complete.touch()
    return python


def echo_project(python: Path, folder: Path) -> Path:
    """Generate OpenEnv's echo environment and return its folder."""
    _run(str(python.with_name("openenv")), "init", "echo_env", "--output-dir", str(folder))
    return folder / "echo_env"


@contextmanager
def serving(python: Path, project: Path) -> Iterator[str]:
    """Serve an OpenEnv project with its own uvicorn for as long as the block lasts."""
    log = project.parent / f"{project.name}.log"
    command = [str(python), "-m", "uvicorn", "server.app:app", "--port", "0"]
    with log.open("w") as output:
        process = subprocess.Popen(command, cwd=project, stdout=output, stderr=output)
    try:
        yield _url(process, log)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if (found := _URL.search(log.read_text())) is not None:
            return found[1]
        time.sleep(0.05)
    raise RuntimeError(f"OpenEnv's server did not start:\n{log.read_text()}")


def _run(*command: str) -> None:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout}{done.stderr}")
