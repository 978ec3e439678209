"""``paddock check``: prove a running server against the protocol's requirements."""

import argparse
import json
import os
from pathlib import Path

import httpx
import pytest

import paddock.conformance
from paddock.conformance.plugin import Recorder
from paddock.conformance.report import Report
from paddock.errors import EnvLost

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("url", help="the server: http(s)://host:port[/prefix]")
    parser.add_argument("--token", default=os.environ.get("PADDOCK_TOKEN"),
                        help="bearer token (PADDOCK_TOKEN)")  # fmt: skip
    parser.add_argument("--action", metavar="JSON", type=_action,
                        help="an action to step with (made from the schema)")  # fmt: skip
    parser.add_argument("--slow-action", metavar="JSON", type=_action,
                        help="one that takes 5 s or more, to see what goes on then")  # fmt: skip
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S",
                        help="how long to wait for an answer (%(default)g)")  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE",
                        help="write the report as JSON, too")  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Run the suite and print its report: 0 if no *must* failed, else 1."""
    _ping(args.url)
    report = Report()
    _run_suite(args, report)
    print(report.text())
    if args.json is not None:
        args.json.write_text(report.json() + "\n")
    return 0 if report.conforms else 1


def _action(text: str) -> str:
    try:
        good = isinstance(json.loads(text), dict)
    except ValueError as exc:
        raise argparse.ArgumentTypeError(f"not JSON: {exc}") from None
    if not good:
        raise argparse.ArgumentTypeError("an action is a JSON object")
    return text


def _ping(url: str) -> None:
    try:
        httpx.get(f"{url.rstrip('/')}/health", timeout=10)
    except (httpx.HTTPError, httpx.InvalidURL) as exc:
        raise EnvLost(f"{url} does not answer: {exc or type(exc).__name__}") from exc


def _run_suite(args: argparse.Namespace, report: Report) -> None:
    suite = Path(paddock.conformance.__file__).parent
    # Whatever configures pytest in the folder, or in the environment of whoever runs this command,
    # is meant for their tests and not for ours.
    for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
        os.environ.pop(name, None)
    options = {
        "-c": os.devnull,
        "--rootdir": suite,
        "--confcutdir": suite,
        "--import-mode": "importlib",
        "--env-url": args.url,
        "--env-token": args.token,
        "--env-action": args.action,
        "--env-slow-action": args.slow_action,
        "--env-timeout": args.timeout,
    }
    plugins = ["paddock.conformance.plugin", "no:cacheprovider", "no:terminal"]
    command = ["--disable-plugin-autoload", *(f"-p{plugin}" for plugin in plugins)]
    command += [f"{name}={value}" for name, value in options.items() if value is not None]
    # By path: given a package's name, pytest would load the current folder's conftest.py first.
    pytest.main([*command, str(suite)], plugins=[Recorder(report)])
