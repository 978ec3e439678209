"""A Docker engine for the tests: the one that runs, or one that is installed and started here."""

import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import urlopen

import machine

ROOT = Path(__file__).parents[2]
PARENT = "paddock/parent:bookworm"
START_S = 60
HEALTHY_S = 10
HARDENED = (
    "--read-only", "--cap-drop", "ALL",
    *(f"--cap-add={cap}" for cap in ("SETUID", "SETGID", "CHOWN", "DAC_OVERRIDE")),
    "--security-opt", "no-new-privileges",
    "--tmpfs", "/tmp:rw,nosuid,nodev,size=64m,mode=1777",
    "--tmpfs", "/sessions:rw,exec,nosuid,nodev,mode=711,size=256m",
)  # fmt: skip
"""Flags that take from a container all that level `uid` does not need."""
NAMESPACES = (
    "--security-opt", f"seccomp={ROOT}/images/seccomp.json",
    "--security-opt", "systempaths=unconfined",
)  # fmt: skip
"""Flags that let a container have level `namespaces`."""


@contextmanager
def engine() -> Iterator[None]:
    """Have an engine for as long as the block lasts.

    Raises:
        RuntimeError: There is none and none can be started. The tests fail then: images nobody
            built are images nobody tested.
    """
    if _answers():
        yield
        return
    if os.geteuid() != 0:
        raise RuntimeError("no Docker engine answers; start one, or run the tests as root")
    machine.install()
    log = Path("/tmp/paddock-dockerd.log")
    with log.open("w") as output:
        process = subprocess.Popen(["dockerd"], stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + START_S
        while not _answers():
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"dockerd did not start:\n{log.read_text()[-3000:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(30)


def build_all() -> None:
    """Build every image, on a parent made from the package mirror."""
    command = ["make", "build-all", f"PARENT={PARENT}"]
    if bundle := os.environ.get("PIP_CERT") or os.environ.get("SSL_CERT_FILE"):
        command.append(f"CA_BUNDLE={bundle}")
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def docker(*args: str) -> str:
    """Run a docker command and return what it printed."""
    done = subprocess.run(["docker", *args], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"docker {' '.join(args)}: {done.stderr}")
    return done.stdout.strip()


@contextmanager
def container(image: str, *flags: str) -> Iterator[tuple[str, str]]:
    """Run a container and yield its id and its URL; remove it after the block."""
    name = docker("run", "-d", "-p", "127.0.0.1::8000", *flags, image)
    try:
        yield name, "http://" + docker("port", name, "8000").splitlines()[0]
    finally:
        docker("rm", "-f", name)


def first_process(name: str) -> int:
    """Return the process id, on this machine, of a container's first process."""
    return int(docker("inspect", "-f", "{{.State.Pid}}", name))


def wait_until_healthy(url: str) -> None:
    """Wait until a container's server answers.

    Raises:
        TimeoutError: It did not in time.
    """
    deadline = time.monotonic() + HEALTHY_S
    while True:
        try:
            with urlopen(f"{url}/health", timeout=1) as answer:
                if answer.status == 200:
                    return
        except OSError as exc:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{url} is not healthy after {HEALTHY_S} s") from exc
        time.sleep(0.05)


def _answers() -> bool:
    if not shutil.which("docker"):
        return False
    return subprocess.run(["docker", "info"], capture_output=True).returncode == 0
