"""The command line: ``paddock list | info | tasks | serve | mcp | run | check | doctor``.

Each command is a module of this package with `add_arguments` and `run`. It is imported only when
it is the one that was asked for, so that ``paddock list`` needs no web server and ``paddock check``
no environment.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence
from typing import Protocol, cast

from paddock.errors import CatalogError, ConfigurationError, PaddockError

__all__ = ["main"]

COMMANDS = {
    "list": "list the environments that are installed",
    "info": "show an environment's actions, options and tasks",
    "tasks": "list, show, try and verify an environment's tasks",
    "serve": "serve an environment",
    "mcp": "serve an environment's tools to one MCP client over stdio",
    "run": "play an environment yourself at a prompt",
    "check": "check that a server conforms to the protocol",
    "doctor": "say what this machine offers and what is missing",
}
EX_USAGE, EX_CONFIG = 64, 78  # sysexits.h


class _Command(Protocol):
    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace) -> int: ...


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit status: 0 good, 1 failed, 64 usage, 78 configuration.

    Args:
        argv: The arguments; the process's own by default.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="paddock", description=_summary())
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    chosen = next((word for word in argv if not word.startswith("-")), "")
    try:
        for name, what in COMMANDS.items():
            sub = commands.add_parser(name, help=what, description=f"{what.capitalize()}.")
            if name == chosen:
                _module(name).add_arguments(sub)
        args = parser.parse_args(argv)
        return _module(args.command).run(args)
    except CatalogError as exc:
        return _complain(exc, EX_USAGE)
    except ConfigurationError as exc:
        return _complain(exc, EX_CONFIG)
    except PaddockError as exc:
        return _complain(exc, 1)
    except ModuleNotFoundError as exc:
        return _complain(f"{exc}; {_EXTRA.get(chosen, 'reinstall paddock')}", 1)
    except (KeyboardInterrupt, BrokenPipeError):
        return 130


_EXTRA = {
    "serve": "pip install 'paddock[server]' and the environment's own extra",
    "mcp": "pip install 'paddock[server]' and the environment's own extra",
    "tasks": "pip install 'paddock[server]' and the environment's own extra",
    "check": "pip install 'paddock[conformance]'",
}


def _module(name: str) -> _Command:
    return cast("_Command", importlib.import_module(f"paddock.cli.{name}_command"))


def _complain(what: object, status: int) -> int:
    sys.stderr.write(f"paddock: {what}\n")
    return status


def _summary() -> str:
    return "Sandboxed, OpenEnv-compatible environments for agentic RL, by name."
