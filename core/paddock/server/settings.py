"""What a server is told: by its command line, or by its environment when a platform starts it.

A cloud provider runs ``python -m uvicorn <app>`` and knows nothing of our command line, so every
setting has an environment variable, and the app itself, not the launcher, enforces all of them.
"""

import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

from paddock.catalog import EnvSpec
from paddock.errors import ConfigurationError
from paddock.manager import Limits
from paddock.messages import MAX_ANSWER_BYTES
from paddock.sandbox.levels import Chosen, choose
from paddock.server.resources import default_capacity

__all__ = ["Mode", "Settings", "is_loopback"]

Mode = Literal["simulation", "production"]


@dataclass(frozen=True)
class Settings:
    """A server's settings. Times are in seconds.

    Attributes:
        mode: ``production`` closes reset, step and state on every door; tools stay.
        token: Bearer token that every door asks for.
        insecure: Serve without a token on an address that is not loopback.
        allowed_origins: Browser origins beside the server's own; any of them switches the Origin
            check on.
        allowed_hosts: Values of the Host header that are accepted; any of them switches the Host
            check on.
        capacity: Sessions at once; ``None`` takes it from the machine's resources.
        queue_s: How long a client waits for a place.
        idle_s: A session nobody used for so long is ended.
        grace_s: A session whose connection was lost is kept for so long.
        step_s: The ceiling of one step.
        max_answer_bytes: The largest frame the server sends.
        isolation: ``auto``, or the level that is to separate the sessions; see docs/isolation.md.
        allow_weak: Serve with ``auto`` even where no level can be had.
    """

    mode: Mode = "simulation"
    token: str | None = None
    insecure: bool = False
    allowed_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    capacity: int | None = None
    queue_s: float = 20.0
    idle_s: float = 3600.0
    grace_s: float = 60.0
    step_s: float = 55.0
    max_answer_bytes: int = MAX_ANSWER_BYTES
    isolation: str = "auto"
    allow_weak: bool = False

    @classmethod
    def from_environment(
        cls, environ: Mapping[str, str] | None = None, **overrides: Any
    ) -> "Settings":
        """Read ``PADDOCK_*`` variables, and OpenEnv's own names for mode and capacity.

        Args:
            environ: Where to read; the process's environment by default.
            **overrides: Settings that win; ``None`` means not given.

        Raises:
            ConfigurationError: A variable's value makes no sense.
        """
        environ = os.environ if environ is None else environ

        def text(*names: str) -> str | None:
            return next((v for n in names if (v := environ.get(n, "").strip())), None)

        def number(kind: type[Any], *names: str) -> Any:
            value = text(*names)
            try:
                return None if value is None else kind(value)
            except ValueError:
                raise ConfigurationError(f"{names[0]}={value!r} is not a number") from None

        def flag(*names: str) -> bool | None:
            value = text(*names)
            return None if value is None else _flag(names[0], value)

        def names_of(name: str) -> tuple[str, ...] | None:
            value = text(name)
            return tuple(v.strip() for v in value.split(",")) if value else None

        found: dict[str, Any] = {
            "mode": text("PADDOCK_MODE", "OPENENV_MODE"),
            "token": text("PADDOCK_TOKEN"),
            "insecure": flag("PADDOCK_INSECURE"),
            "allowed_origins": names_of("PADDOCK_ALLOWED_ORIGINS"),
            "allowed_hosts": names_of("PADDOCK_ALLOWED_HOSTS"),
            "capacity": number(int, "PADDOCK_CAPACITY", "MAX_CONCURRENT_ENVS"),
            "queue_s": number(float, "PADDOCK_QUEUE_S"),
            "idle_s": number(float, "PADDOCK_IDLE_S"),
            "grace_s": number(float, "PADDOCK_GRACE_S"),
            "step_s": number(float, "PADDOCK_STEP_S"),
            "max_answer_bytes": number(int, "PADDOCK_MAX_ANSWER_BYTES"),
            "isolation": text("PADDOCK_ISOLATION", "ISOLATION"),
            "allow_weak": flag("PADDOCK_ISOLATION_ALLOW_WEAK", "ISOLATION_ALLOW_WEAK"),
        }
        found |= {k: v for k, v in overrides.items() if v is not None}
        return cls(**{k: v for k, v in found.items() if v is not None})

    def __post_init__(self) -> None:
        if self.mode not in ("simulation", "production"):
            raise ConfigurationError(f"mode {self.mode!r}: choose simulation or production")
        if self.capacity is not None and self.capacity < 1:
            raise ConfigurationError(f"capacity {self.capacity}: at least 1 session is needed")
        for name in ("queue_s", "idle_s", "grace_s", "step_s", "max_answer_bytes"):
            value = cast("float", getattr(self, name))
            if not 0 <= value < float("inf") or (value == 0 and name not in ("queue_s", "grace_s")):
                raise ConfigurationError(f"{name} {value}: a positive number is needed")

    def limits(self, spec: EnvSpec) -> Limits:
        """Return the session manager's limits for an environment on this machine."""
        return Limits(
            capacity=self.capacity or default_capacity(spec.session_memory_mb),
            queue_s=self.queue_s,
            idle_s=self.idle_s,
            grace_s=self.grace_s,
            step_s=self.step_s,
            max_answer_bytes=self.max_answer_bytes,
        )

    async def isolate(self) -> Chosen:
        """Return what separates the sessions on this machine.

        Raises:
            ConfigurationError: What was asked for cannot be had here.
        """
        return await choose(self.isolation, allow_weak=self.allow_weak)

    def check_bind(self, host: str | None) -> None:
        """Refuse to serve the world without a token.

        Args:
            host: The address to bind; ``None`` for a UNIX socket.

        Raises:
            ConfigurationError: The address is not loopback and nothing guards it.
        """
        if host is None or is_loopback(host) or self.token or self.insecure:
            return
        raise ConfigurationError(
            f"refusing to serve {host} without a token: anyone who reaches it could run code here."
            " Set --token (PADDOCK_TOKEN), bind 127.0.0.1, or say --insecure (PADDOCK_INSECURE=1)"
        )


def is_loopback(host: str) -> bool:
    """Return whether an address or host name can only be reached from this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def _flag(name: str, value: str) -> bool:
    if value.lower() in ("1", "true", "yes", "on"):
        return True
    if value.lower() in ("0", "false", "no", "off"):
        return False
    raise ConfigurationError(f"{name}={value!r}: say 1 or 0")
