"""``paddock info NAME``: an environment's actions, options and tasks."""

import argparse
import json
import textwrap
from typing import Any

from paddock.catalog import Catalog, EnvSpec, load
from paddock.tasks import TaskSet
from paddock.tools import action_models, tools_of

__all__ = ["add_arguments", "describe_field", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("env", help="name, name@version or module:SPEC")
    parser.add_argument("--json", action="store_true", help="print the JSON schemas")


def run(args: argparse.Namespace) -> int:
    """Print what there is to know."""
    spec = Catalog()[args.env]
    tools = tools_of(action_models(spec.action))
    if args.json:
        actions = {t.name: {"description": t.description, **t.input_schema} for t in tools.values()}
        options = spec.options.model_json_schema()
        shown = {"name": spec.name, "version": spec.version, "actions": actions, "reset": options}
        print(json.dumps(shown, indent=2))
        return 0
    print(f"{spec.name} {spec.version}: {spec.description}\n\nactions (the first is the default):")
    for tool in tools.values():
        print(f"\n  {tool.name}: {tool.description.splitlines()[0]}")
        _print_fields(tool.input_schema)
    print("\nreset options:\n\n  seed: integer\n  episode_id: string")
    _print_fields(spec.options.model_json_schema(), indent="  ")
    _print_tasks(spec)
    return 0


def _print_fields(schema: dict[str, Any], indent: str = "    ") -> None:
    for name, field in schema.get("properties", {}).items():
        required = "" if name not in schema.get("required", ()) else " (required)"
        text = f"{name}: {describe_field(field)}{required}"
        print(textwrap.fill(text, 96, initial_indent=indent, subsequent_indent=indent + "    "))


def describe_field(field: dict[str, Any]) -> str:
    """Say a field's JSON schema in a few words: its type, default and description."""
    kinds = [f.get("type", "any") for f in field.get("anyOf", [field])]
    words = " or ".join(kinds)
    if field.get("default") is not None:
        words += f", default {field['default']!r}"
    if "description" in field:
        words += f". {field['description']}"
    return words


def _print_tasks(spec: EnvSpec) -> None:
    if spec.tasks is None:
        return
    tasks = load(spec.tasks)
    assert isinstance(tasks, TaskSet)
    for split in tasks.splits:
        there = "without end" if tasks.count(split) is None else ", ".join(tasks.ids(split))
        print(f"\ntasks in split {split!r}: {there}")
