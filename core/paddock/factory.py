"""An environment by name: looked up, started and connected in one line."""

from typing import Any

from paddock.catalog import Catalog, EnvSpec
from paddock.client import EnvClient
from paddock.errors import ConfigurationError
from paddock.providers import LocalProvider, Provider

__all__ = ["make"]

PROVIDERS: dict[str, type[LocalProvider]] = {"local": LocalProvider}


def make(
    env: str | EnvSpec,
    *,
    provider: str | Provider = "local",
    url: str | None = None,
    **client: Any,
) -> EnvClient[Any, Any]:
    """Return a client for an environment of the catalog. Opening it starts the server.

    ::

        async with paddock.make("terminal") as env:
            ...
        with paddock.make("terminal@0.1").sync() as env:
            ...

    Args:
        env: A name, ``name@version``, ``module:SPEC``, or a spec.
        provider: What starts the server: ``"local"``, or a provider.
        url: A server that runs already; nothing is started then.
        **client: Further arguments of `EnvClient`: ``token``, ``timeouts``, ...

    Raises:
        CatalogError: There is no such environment, or not of that version.
        ConfigurationError: There is no such provider.
    """
    spec = env if isinstance(env, EnvSpec) else Catalog()[env]
    if url is not None:
        return EnvClient(url, spec=spec, **client)
    if isinstance(provider, str):
        if provider not in PROVIDERS:
            known = ", ".join(PROVIDERS)
            raise ConfigurationError(f"no provider {provider!r} (there are: {known})")
        provider = PROVIDERS[provider]()
    return EnvClient(server=provider.serve(spec), spec=spec, **client)
