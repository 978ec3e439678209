"""The server of one environment. Needs the extra ``paddock[server]``."""

from paddock.server.app import create_app
from paddock.server.settings import Settings

__all__ = ["Settings", "create_app"]
