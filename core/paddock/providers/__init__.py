"""What starts an environment's server: a child process here, more elsewhere."""

from paddock.providers.base import Provider
from paddock.providers.local import LocalProvider

__all__ = ["LocalProvider", "Provider"]
