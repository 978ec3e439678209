"""Sample values of a JSON Schema: one that fits, and one that provably does not.

Samples are as small as the schema allows: required fields only, the first branch of a union,
whatever the schema itself offers as an example or a default.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, cast

from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match  # pyright: ignore[reportUnknownVariableType]

__all__ = ["Misfit", "Unsampleable", "fits", "misfit", "sample", "why_not"]

Schema = Mapping[str, Any]

WORDS = ("x", "a", "A", "0", "abc", "x1", "00", "/", "http://localhost/", "a@example.com")
FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "email": "a@example.com",
    "time": "00:00:00Z",
    "uri": "http://localhost/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}
MAX_DEPTH = 16


class Unsampleable(Exception):
    """No value of a schema was found. That says nothing about the schema but that it is rich."""


@dataclass(frozen=True)
class Misfit:
    """A value that does not fit a schema.

    Attributes:
        value: The value.
        field: The field that is wrong about it.
    """

    value: dict[str, Any]
    field: str


def sample(schema: Schema) -> Any:
    """Return a value that fits a schema.

    Raises:
        Unsampleable: None was found.
    """
    value = _Sampler(schema).value(schema, 0)
    if (why := why_not(value, schema)) is not None:
        raise Unsampleable(why)
    return value


def misfit(schema: Schema, good: Mapping[str, Any]) -> Misfit | None:
    """Return an object that does not fit a schema, made from one that does.

    ``None`` if the schema accepts whatever was tried.
    """
    for candidate in _spoiled(good):
        if not fits(candidate.value, schema):
            return candidate
    return None


def fits(value: Any, schema: Schema) -> bool:
    """Return whether a value fits a schema."""
    return why_not(value, schema) is None


def why_not(value: Any, schema: Schema) -> str | None:
    """Say what is wrong with a value; ``None`` if it fits."""
    validator: Any = Draft202012Validator(schema)  # jsonschema ships without types
    error = cast("Any", best_match(validator.iter_errors(value)))
    if error is None:
        return None
    where = ".".join(map(str, error.absolute_path))
    return f"{where}: {error.message}" if where else error.message


def _spoiled(good: Mapping[str, Any]) -> Iterator[Misfit]:
    """Yield objects with one thing wrong: nothing that lenient validators convert silently."""
    yield Misfit({**good, "no_such_field": 1}, "no_such_field")
    for name in good:
        if name != "type":
            yield Misfit({k: v for k, v in good.items() if k != name}, name)
    for name in good:
        yield Misfit({**good, name: {"no": ["such"]}}, name)


class _Sampler:
    def __init__(self, root: Schema) -> None:
        self._root = root

    def value(self, schema: Any, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise Unsampleable("the schema nests without end")
        if not isinstance(schema, Mapping):
            return "x"  # `true` or `{}`: anything fits
        node = self._resolved(cast("Schema", schema))
        for offered in self._offered(node):
            if self._fits(offered, node):
                return offered
        for branches in (node.get("anyOf"), node.get("oneOf")):
            if branches:
                return self._first(branches, depth)
        kind = node.get("type", "object" if "properties" in node else "string")
        if isinstance(kind, list):
            kinds = cast("list[str]", kind)
            kind = next((k for k in kinds if k != "null"), "null")
        match kind:
            case "object":
                return self._object(node, depth)
            case "array":
                return self._array(node, depth)
            case "null":
                return None
            case _:
                return self._scalar(str(kind), node)

    def _object(self, node: Schema, depth: int) -> dict[str, Any]:
        required = set(node.get("required", ()))
        properties: Schema = node.get("properties", {})
        made: dict[str, Any] = {}
        for name, field in properties.items():
            # A constant says which branch of a union is meant, whether it may be left out or not.
            if name in required or (isinstance(field, Mapping) and "const" in field):
                made[name] = self.value(field, depth + 1)
        for name in required - set(made):
            made[name] = "x"
        return made

    def _array(self, node: Schema, depth: int) -> list[Any]:
        first = [self.value(item, depth + 1) for item in node.get("prefixItems", ())]
        missing = max(0, int(node.get("minItems", 0)) - len(first))
        return first + [self.value(node.get("items", True), depth + 1) for _ in range(missing)]

    def _scalar(self, kind: str, node: Schema) -> Any:
        for candidate in _scalars(kind, node):
            if self._fits(candidate, node):
                return candidate
        raise Unsampleable(f"no {kind} found for {dict(node)}")

    def _first(self, branches: list[Any], depth: int) -> Any:
        for branch in branches:
            try:
                return self.value(branch, depth + 1)
            except Unsampleable:
                continue
        raise Unsampleable("no branch of a union could be sampled")

    def _resolved(self, node: Schema) -> Schema:
        """Follow references and fold `allOf` in."""
        for _ in range(MAX_DEPTH):
            reference = node.get("$ref")
            if reference is None:
                break
            rest = {k: v for k, v in node.items() if k != "$ref"}
            node = {**self._pointed_at(str(reference)), **rest}
        for part in node.get("allOf", ()):
            more = self._resolved(part)
            node = {**node, **more}
        return node

    def _pointed_at(self, reference: str) -> Schema:
        found: Any = self._root
        try:
            for part in filter(None, reference.removeprefix("#").split("/")):
                found = found[part.replace("~1", "/").replace("~0", "~")]
        except (KeyError, TypeError):
            raise Unsampleable(f"the schema refers to {reference}, which is not in it") from None
        return cast("Schema", found)

    @staticmethod
    def _offered(node: Schema) -> Iterator[Any]:
        if "const" in node:
            yield node["const"]
        yield from node.get("examples", ())
        if "default" in node:
            yield node["default"]
        yield from node.get("enum", ())

    def _fits(self, value: Any, node: Schema) -> bool:
        definitions = {k: v for k, v in self._root.items() if k in ("$defs", "definitions")}
        return fits(value, {**definitions, **node})


def _scalars(kind: str, node: Schema) -> Iterator[Any]:
    if kind == "boolean":
        yield False
    elif kind in ("integer", "number"):
        low = node.get("minimum", node.get("exclusiveMinimum"))
        high = node.get("maximum", node.get("exclusiveMaximum"))
        step = node.get("multipleOf", 1)
        yield from (1, 0, step)
        if low is not None:
            yield from (low, math.ceil(low / step) * step, low + step, low + 0.5)
        if high is not None:
            yield from (high, math.floor(high / step) * step, high - step, high - 0.5)
        if low is not None and high is not None:
            yield (low + high) / 2
    else:
        least = int(node.get("minLength", 0))
        if node.get("format") in FORMATS:
            yield FORMATS[node["format"]]
        yield from (word.ljust(least, word[-1]) for word in WORDS)
        if plain := re.fullmatch(r"\^?([\w /.-]+)\$?", node.get("pattern", "")):
            yield plain[1]
