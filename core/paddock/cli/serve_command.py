"""``paddock serve``: serve an environment."""

import argparse
import os
import sys
from typing import Any

from paddock.catalog import Catalog
from paddock.sandbox.confinement import Level
from paddock.server.run import serve
from paddock.server.settings import Settings

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options. What is not given is read from ``PADDOCK_*`` variables."""
    parser.add_argument("env", help="name, name@version or module:SPEC")
    parser.add_argument("--host", default="127.0.0.1", help="address to bind (%(default)s)")
    parser.add_argument("--port", type=int, default=8000, help="0 takes a free one (%(default)s)")
    parser.add_argument("--uds", metavar="PATH", help="bind a UNIX socket instead")
    parser.add_argument("--mode", choices=["simulation", "production"],
                        help="production closes reset, step and state")  # fmt: skip
    parser.add_argument("--token", help="bearer token every door asks for")
    parser.add_argument("--insecure", action="store_true", default=None,
                        help="serve without a token on a public address")  # fmt: skip
    parser.add_argument("--allowed-origin", dest="allowed_origins", action="append",
                        metavar="ORIGIN", help="browser origin to let in")  # fmt: skip
    parser.add_argument("--allowed-host", dest="allowed_hosts", action="append", metavar="HOST",
                        help="only answer to this Host header")  # fmt: skip
    parser.add_argument("--capacity", type=int, help="sessions at once (from the resources)")
    parser.add_argument("--queue", dest="queue_s", type=float, metavar="S",
                        help="how long a client waits for a place (20)")  # fmt: skip
    parser.add_argument("--idle", dest="idle_s", type=float, metavar="S",
                        help="end sessions nobody used for so long (3600)")  # fmt: skip
    parser.add_argument("--grace", dest="grace_s", type=float, metavar="S",
                        help="keep sessions of lost connections for so long (60)")  # fmt: skip
    parser.add_argument("--step-limit", dest="step_s", type=float, metavar="S",
                        help="ceiling of one step (55)")  # fmt: skip
    parser.add_argument("--max-answer-bytes", type=int, metavar="N",
                        help="largest answer (1 MiB)")  # fmt: skip
    parser.add_argument("--isolation", choices=["auto", *map(str, Level)],
                        help="what separates sessions (auto: the strongest)")  # fmt: skip
    parser.add_argument("--allow-weak", action="store_true", default=None,
                        help="serve with auto even where nothing separates them")  # fmt: skip
    parser.add_argument("--log-level", default="info",
                        choices=["debug", "info", "warning", "error"])  # fmt: skip
    parser.add_argument("--log-format", default="text", choices=["text", "json"])
    parser.add_argument("--control-fd", type=int, help=argparse.SUPPRESS)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGTERM or SIGINT."""
    if args.token:
        _start_anew_without_token(args.token)
    names = Settings.__dataclass_fields__
    given: dict[str, Any] = {k: v for k, v in vars(args).items() if k in names}
    for several in ("allowed_origins", "allowed_hosts"):
        given[several] = tuple(given[several]) if given[several] else None
    return serve(
        Catalog()[args.env],
        Settings.from_environment(**given),
        host=args.host,
        port=args.port,
        uds=args.uds,
        control_fd=args.control_fd,
        log_level=args.log_level,
        log_format=args.log_format,
    )


def _start_anew_without_token(token: str) -> None:
    """Move the token from the command line, which sessions may be able to read, where none can."""
    command = [sys.executable]
    words = iter(sys.orig_argv[1:])
    for word in words:
        if word.startswith("--to") and "=" not in word:
            next(words, None)
        elif not word.startswith("--to"):
            command.append(word)
    os.environ["PADDOCK_TOKEN"] = token
    os.execv(command[0], command)
