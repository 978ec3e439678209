"""``paddock mcp NAME``: serve an environment's tools to one client, over stdio."""

import argparse

import anyio

from paddock.catalog import Catalog
from paddock.cli.words import read_arguments
from paddock.sandbox.confinement import Level
from paddock.server.logs import configure_logging
from paddock.server.mcp_stdio import serve_stdio
from paddock.server.settings import Settings

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options. What is not given is read from ``PADDOCK_*`` variables."""
    parser.add_argument("env", help="name, name@version or module:SPEC")
    parser.add_argument("options", nargs="*", metavar="OPTION=VALUE",
                        help="options of a reset, such as task_id=...")  # fmt: skip
    parser.add_argument("--step-limit", dest="step_s", type=float, metavar="S",
                        help="ceiling of one call (55)")  # fmt: skip
    parser.add_argument("--max-answer-bytes", type=int, metavar="N",
                        help="largest answer (1 MiB)")  # fmt: skip
    parser.add_argument("--isolation", choices=["auto", *map(str, Level)],
                        help="what separates the tools from this machine (auto)")  # fmt: skip
    parser.add_argument("--allow-weak", action="store_true", default=None,
                        help="serve with auto even where nothing separates them")  # fmt: skip
    parser.add_argument("--log-level", default="warning",
                        choices=["debug", "info", "warning", "error"])  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Serve until the client closes stdin, or SIGTERM. The log goes to stderr."""
    configure_logging(args.log_level)
    settings = Settings.from_environment(
        step_s=args.step_s,
        max_answer_bytes=args.max_answer_bytes,
        isolation=args.isolation,
        allow_weak=args.allow_weak,
    )
    anyio.run(serve_stdio, Catalog()[args.env], settings, read_arguments(args.options))
    return 0
