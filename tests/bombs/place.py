"""Where a server runs, as seen from this machine."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Place"]


@dataclass(frozen=True)
class Place:
    """A server to set bombs off in.

    Attributes:
        name: Of the kind of server.
        url: Where it answers.
        level: What separates its sessions.
        container: The container it runs in, if it does; one that was started with limits.
        first_process: Of the container.
        most_processes: How many a session may be seen to have, where only the watch counts them.
    """

    name: str
    url: str
    level: str
    container: str | None = None
    first_process: int | None = None
    most_processes: int | None = None

    @property
    def in_container(self) -> bool:
        """Whether the server is in a container."""
        return self.container is not None

    @property
    def root(self) -> Path:
        """The server's root directory."""
        return Path("/" if self.first_process is None else f"/proc/{self.first_process}/root")

    def path(self, path: Path) -> Path:
        """Return where something is that the server calls by a path."""
        return self.root / path.relative_to("/")
