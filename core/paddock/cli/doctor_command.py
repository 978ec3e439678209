"""``paddock doctor``: what this machine offers, and what is missing."""

import argparse
import importlib.util
import os
import platform
import shutil
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import anyio

from paddock.catalog import Catalog
from paddock.errors import CatalogError

__all__ = ["Finding", "add_arguments", "examine", "run"]


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        what: What was looked at.
        ok: Whether it is as it should be; ``None`` when it is missing but optional.
        said: What was found, or what to do.
    """

    what: str
    ok: bool | None
    said: str


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options: there are none."""


def run(args: argparse.Namespace) -> int:
    """Print the report; 1 when something that is needed is missing."""
    findings = list(examine())
    width = max(len(f.what) for f in findings)
    marks = {True: "ok", False: "MISSING", None: "-"}
    for finding in findings:
        print(f"{marks[finding.ok]:8} {finding.what:{width}}  {finding.said}")
    return 1 if any(f.ok is False for f in findings) else 0


def examine() -> Iterator[Finding]:
    """Look at the machine, the libraries and the environments."""
    linux = sys.platform == "linux"
    yield Finding(
        "system", linux, f"{platform.platform()}{'' if linux else ': servers need Linux'}"
    )
    enough = sys.version_info >= (3, 11)
    yield Finding("python", enough, f"{platform.python_version()} (3.11 or newer is needed)")
    yield Finding(
        "processors", True, str(len(os.sched_getaffinity(0)) if linux else os.cpu_count())
    )
    for name, extra in (
        ("pydantic", ""),
        ("websockets", ""),
        ("fastapi", "server"),
        ("uvicorn", "server"),
        ("uvloop", "server"),
        ("pexpect", "terminal"),
        ("pytest", "conformance"),
    ):
        yield _library(name, extra)
    for program, why in (("bash", "terminal"),):
        path = shutil.which(program)
        yield Finding(program, path is not None, path or f"needed by {why}: install it")
    shm = Path("/dev/shm")
    usable = shm.is_dir() and os.access(shm, os.W_OK)
    yield Finding("/dev/shm", usable or None, "writable" if usable else "a temporary folder serves")
    if linux and importlib.util.find_spec("idna"):
        yield from _isolation()
    yield _docker()
    catalog = Catalog()
    for name in catalog:
        try:
            spec = catalog[name]
            yield Finding(f"env {name}", True, f"{spec.version}: {spec.factory.__module__}")
        except CatalogError as exc:
            yield Finding(f"env {name}", False, str(exc))


def _isolation() -> Iterator[Finding]:
    """Run each level; the strongest that runs is what servers here use."""
    from paddock.sandbox.levels import survey  # noqa: PLC0415 - needs what the server needs

    for level, why in anyio.run(survey).items():
        yield Finding(f"isolation {level}", why is None or None, why or "runs here")


def _library(name: str, extra: str) -> Finding:
    if importlib.util.find_spec(name) is None:
        hint = f"pip install 'paddock[{extra}]'" if extra else f"pip install {name}"
        return Finding(name, None if extra else False, hint)
    try:
        return Finding(name, True, version(name))
    except PackageNotFoundError:
        return Finding(name, True, "installed without metadata")


def _docker() -> Finding:
    path = "/var/run/docker.sock"
    with socket.socket(socket.AF_UNIX) as engine:
        engine.settimeout(2)
        try:
            engine.connect(path)
        except OSError as exc:
            return Finding("docker engine", None, f"{path}: {exc.strerror or exc}")
    return Finding("docker engine", True, path)
