"""``paddock list``: the environments that are installed."""

import argparse
import json

from paddock.catalog import Catalog

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(args: argparse.Namespace) -> int:
    """Print one line per environment."""
    catalog = Catalog()
    specs = [catalog[name] for name in catalog]
    if args.json:
        rows = [
            {"name": s.name, "version": s.version, "description": s.description, "tags": s.tags}
            for s in specs
        ]
        print(json.dumps(rows, indent=2))
        return 0
    width = max((len(s.reference) for s in specs), default=0)
    for spec in specs:
        print(f"{spec.reference:{width}}  {spec.description}")
    if not specs:
        print("no environment is installed; try `pip install 'paddock[terminal]'`")
    return 0
