"""``paddock run NAME``: a person plays the environment at a prompt.

What is typed is the default action's text; a line that begins with ``/`` names an action and its
arguments. Tab completes both, the history is kept between games.
"""

import argparse
import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from paddock.catalog import Catalog, EnvSpec
from paddock.cli.words import read_arguments
from paddock.client import SyncEnvClient
from paddock.errors import EnvLost, InvalidMessage, PaddockError
from paddock.factory import make
from paddock.tools import Tool, action_models, tools_of
from paddock.types import StepResult

try:
    import readline as _readline
except ImportError:  # a Python without it still plays, without completion
    _readline = None

__all__ = ["add_arguments", "parse_line", "run"]

readline: ModuleType | None = _readline

VERBS = {
    "/reset": "begin anew: /reset task_id=...",
    "/state": "show the state",
    "/evaluate": "end the episode with the task's check",
    "/help": "show this",
    "/quit": "leave",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("env", help="name, name@version or module:SPEC")
    parser.add_argument("--url", help="play on a server that runs already")
    parser.add_argument("--token", help="its bearer token")
    parser.add_argument("options", nargs="*", metavar="OPTION=VALUE", help="options of the reset")


def run(args: argparse.Namespace) -> int:
    """Play until the person leaves."""
    spec = Catalog()[args.env]
    tools = tools_of(action_models(spec.action))
    options = read_arguments(args.options)
    with make(spec, url=args.url, token=args.token).sync() as env, _History(spec, tools):
        _show(env.reset(**options))
        print(f"({spec.reference}; /help says what there is, /quit leaves)")
        while True:
            try:
                line = input(f"{spec.name}> ").strip()
            except (EOFError, KeyboardInterrupt):
                print()
                return 0
            if line == "/quit":
                return 0
            if line:
                try:
                    _obey(line, env, tools)
                except EnvLost:
                    raise
                except KeyboardInterrupt:
                    print("\n(it goes on; its answer is thrown away)")
                except (PaddockError, ValueError) as exc:
                    print(f"! {exc}")


def _obey(line: str, env: SyncEnvClient[Any, Any], tools: dict[str, Tool]) -> None:
    match line.split(maxsplit=1):
        case ["/help"]:
            for verb, what in VERBS.items():
                print(f"  {verb:12} {what}")
            for tool in tools.values():
                print(f"  /{tool.name:11} {tool.description.splitlines()[0]}")
        case ["/state"]:
            print(json.dumps(env.state().model_dump(mode="json"), indent=2))
        case ["/evaluate"]:
            _show(env.evaluate())
        case ["/reset", *rest]:
            _show(env.reset(**read_arguments(shlex.split(" ".join(rest)))))
        case _:
            _show(env.step(parse_line(line, tools)))


def parse_line(line: str, tools: dict[str, Tool]) -> dict[str, Any]:
    """Return the action a line means.

    ``ls -l`` is the default action with that text; ``/wait timeout_s=3`` names action and
    arguments; ``/send_keys C-c Enter`` gives the first required argument by place.

    Raises:
        InvalidMessage: There is no such action, or the line does not say what it needs.
        ValueError: A quotation mark is not closed.
    """
    if not line.startswith("/"):
        tool = next(iter(tools.values()))
        return {"type": tool.name, _first(tool): line}
    name, *words = shlex.split(line[1:])
    if name not in tools:
        known = ", ".join(f"/{n}" for n in (*tools, *(v[1:] for v in VERBS)))
        raise InvalidMessage(f"there is no /{name}; there are {known}")
    tool = tools[name]
    properties = tool.input_schema.get("properties", {})
    named = [w for w in words if "=" in w and w.split("=", 1)[0] in properties]
    placed = [w for w in words if w not in named]
    action = {"type": name, **read_arguments(named)}
    if placed:
        first = _first(tool)
        several = properties[first].get("type") == "array"
        action[first] = placed if several else " ".join(placed)
    return action


def _first(tool: Tool) -> str:
    required = tool.input_schema.get("required") or list(tool.input_schema.get("properties", {}))
    if not required:
        raise InvalidMessage(f"/{tool.name} takes no arguments")
    return str(required[0])


def _show(result: StepResult[Any]) -> None:
    """Print an observation: its text first, then whatever else it says."""
    fields = result.observation.model_dump(mode="json", exclude_defaults=True)
    for name in ("done", "reward"):
        fields.pop(name, None)
    for name in ("instruction", "output", "stdout", "text"):
        if isinstance(text := fields.pop(name, None), str) and text:
            print(_visible(text), end="" if text.endswith("\n") else "\n")
    if fields:
        print("  " + "  ".join(f"{k}={json.dumps(v)}" for k, v in fields.items()))
    if result.done:
        print(f"  done, reward {result.reward}; /reset begins anew")


def _visible(text: str) -> str:
    """Keep what a program prints from driving this terminal, but for colours."""
    text = re.sub(r"\x1b(?!\[[0-9;:]*m)", "^[", text)
    return re.sub(r"[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f]", "", text)


class _History:
    """Completion and history for as long as the game lasts."""

    def __init__(self, spec: EnvSpec, tools: dict[str, Tool]) -> None:
        state = Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state")
        self._file = state / "paddock" / f"{spec.name}.history"
        self._tools = tools

    def __enter__(self) -> None:
        if readline is None:
            return
        if self._file.exists():
            readline.read_history_file(self._file)
        readline.set_history_length(2000)
        readline.set_completer_delims(" \t\n")
        readline.set_completer(self._completer())
        readline.parse_and_bind("tab: complete")

    def __exit__(self, *_: object) -> None:
        if readline is None:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(self._file)
        except OSError as exc:
            print(f"(the history was not saved: {exc})")
        readline.set_completer(None)

    def _completer(self) -> Callable[[str, int], str | None]:
        def complete(text: str, state: int) -> str | None:
            assert readline is not None
            line: str = readline.get_line_buffer()
            found = [c for c in candidates(line, self._tools) if c.startswith(text)]
            return found[state] if state < len(found) else None

        return complete


def candidates(line: str, tools: dict[str, Tool]) -> list[str]:
    """Return what the word at the end of a line could become."""
    if not line.startswith("/"):
        return []
    if " " not in line:
        return [f"/{name} " for name in tools] + list(VERBS)
    tool = tools.get(line[1:].split()[0])
    return [f"{name}=" for name in tool.input_schema.get("properties", {})] if tool else []
