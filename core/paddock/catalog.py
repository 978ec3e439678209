"""The catalog: environments by name.

An environment announces itself with an entry point of the group ``paddock.envs`` that names an
`EnvSpec`. Listing names imports nothing; looking one up imports its models; only making one imports
the environment and what it needs. A third party's distribution does exactly the same.
"""

import difflib
import importlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from importlib.util import find_spec
from typing import Any, cast

from paddock.environment import AnyEnvironment, BlockingEnvironment, Context, Environment, bridge
from paddock.errors import CatalogError, FactoryFailed
from paddock.limits import Limits
from paddock.messages import MAX_ANSWER_BYTES, Codec
from paddock.sandbox.confinement import Profile
from paddock.types import Observation, ResetOptions, State

__all__ = ["GROUP", "Catalog", "EnvSpec"]

GROUP = "paddock.envs"


@dataclass(frozen=True)
class EnvSpec:
    """What there is to know about an environment without importing it.

    Attributes:
        name: Its name in the catalog.
        version: The environment's own version, ``major.minor.patch``.
        description: One sentence for lists.
        entry_point: ``"package.module:Class"``; imported when a session is made.
        action: The action model, or a union of them; the first is the default action.
        observation: The observation model; each of its fields has a default.
        state: The state model; each of its fields has a default.
        options: What `reset` takes beside seed and episode id.
        extra: The extra of the distribution that brings what the environment needs.
        tasks: ``"package.module:NAME"`` of a `TaskSet`, if it ships tasks.
        sandbox: What its processes need; ``None`` when it starts none.
        limits: What a session of it may use.
        session_memory_mb: What one session is expected to hold, for the default capacity.
        tags: For searching.
        source: ``"module:ATTRIBUTE"`` of this spec, when no entry point announces it.
        divergences: Conformance requirements it does not meet, and why (see `paddock check`).
    """

    name: str
    version: str
    description: str
    entry_point: str
    action: Any
    observation: type[Observation]
    state: type[State] = State
    options: type[ResetOptions] = ResetOptions
    extra: str | None = None
    tasks: str | None = None
    sandbox: Profile | None = None
    limits: Limits = field(default_factory=Limits)
    session_memory_mb: int = 64
    tags: tuple[str, ...] = ()
    source: str | None = None
    divergences: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    @property
    def reference(self) -> str:
        """The name as it goes into a config: ``terminal@0.1``."""
        return f"{self.name}@{'.'.join(self.version.split('.')[:2])}"

    def codec(self, max_answer_bytes: int = MAX_ANSWER_BYTES) -> Codec:
        """Return a codec for this environment's frames."""
        return Codec(self.action, max_answer_bytes=max_answer_bytes)

    @cached_property
    def factory(self) -> type[AnyEnvironment] | type[BlockingEnvironment[Any, Any, Any]]:
        """The environment class, imported.

        Raises:
            CatalogError: It cannot be imported, or is no environment.
        """
        hint = f"; try `pip install 'paddock[{self.extra}]'`" if self.extra else ""
        try:
            cls = load(self.entry_point)
        except ImportError as exc:
            raise CatalogError(f"cannot load environment {self.name!r}: {exc}{hint}") from exc
        if not (isinstance(cls, type) and issubclass(cls, Environment | BlockingEnvironment)):
            raise CatalogError(f"{self.entry_point} is not an Environment class")
        return cast("type[AnyEnvironment]", cls)

    async def make(self, context: Context) -> AnyEnvironment:
        """Construct an environment for one session.

        Raises:
            CatalogError: The class cannot be loaded.
            FactoryFailed: Its constructor raised.
        """
        factory = self.factory
        try:
            return await bridge(factory, context, blocking=issubclass(factory, BlockingEnvironment))
        except Exception as exc:
            name = factory.__name__
            raise FactoryFailed(
                f"Environment factory '{name}' failed to create instance.", factory_name=name
            ) from exc


class Catalog:
    """The environments that are installed here, by name.

    Args:
        entries: What to list instead of the installed entry points.
    """

    def __init__(self, entries: Mapping[str, EntryPoint] | None = None) -> None:
        if entries is None:
            # An entry point says what was declared when the distribution was built. An image holds
            # one environment of many, so what is not there is not listed.
            found = {e.name: e for e in entry_points(group=GROUP) if _present(e)}
            entries = dict(sorted(found.items()))
        self._entries = entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, reference: str) -> EnvSpec:
        """Look an environment up by ``name``, ``name@version`` or ``module:ATTRIBUTE``.

        Raises:
            CatalogError: There is none of that name, or none of that version.
        """
        if ":" in reference:
            return replace(self._spec(EntryPoint(reference, reference, GROUP)), source=reference)
        name, _, version = reference.partition("@")
        entry = self._entries.get(name)
        if entry is None:
            close = difflib.get_close_matches(name, self._entries, n=1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            there = ", ".join(self._entries) or "nothing"
            raise CatalogError(f"no environment {name!r}{hint} (installed: {there})")
        spec = self._spec(entry)
        wanted, has = version.split("."), spec.version.split(".")
        if version and has[: len(wanted)] != wanted:
            raise CatalogError(f"{name!r} is installed as version {spec.version}, not {version}")
        return spec

    @staticmethod
    def _spec(entry: EntryPoint) -> EnvSpec:
        try:
            spec = load(entry.value)
        except (ImportError, ValueError) as exc:
            raise CatalogError(f"cannot load the spec {entry.value!r}: {exc}") from exc
        if not isinstance(spec, EnvSpec):
            raise CatalogError(f"{entry.value} is {type(spec).__name__}, not an EnvSpec")
        return spec


def load(path: str) -> object:
    """Import ``"package.module:attribute"``.

    Raises:
        ImportError: The module or the attribute is not there.
    """
    module, _, attribute = path.partition(":")
    loaded = importlib.import_module(module)
    try:
        return getattr(loaded, attribute)
    except AttributeError:
        raise ImportError(f"module {module!r} has no attribute {attribute!r}") from None


def _present(entry: EntryPoint) -> bool:
    return find_spec(entry.module.partition(".")[0]) is not None
