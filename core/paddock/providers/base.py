"""What starts an environment's server, wherever it runs."""

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from paddock.catalog import EnvSpec

__all__ = ["Provider"]


class Provider(Protocol):
    """Starts servers. One method, so that a cluster is as easy to write as a child process."""

    def serve(self, spec: EnvSpec) -> AbstractAsyncContextManager[str]:
        """Run a server of an environment for as long as the block lasts, and yield its URL.

        The URL answers `/health` when it is yielded, and the server is gone when the block ends.

        Raises:
            ProviderError: The server could not be started.
        """
        ...
