"""What a session may reach through the proxy, and the words in which the proxy speaks of it.

A host has one spelling here, `normalise`'s: everything that is compared, resolved, connected to or
logged went through it. That is what makes a list of names safe: ``EXAMPLE.com.`` and
``example.com`` are one name, and ``2130706433``, ``0x7f.1`` and ``127.1`` are no names at all.
"""

import re
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address

import idna

from paddock.errors import ConfigurationError

__all__ = ["Decision", "EgressLimits", "Policy", "Refused", "is_literal", "normalise"]

_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_SHOWN = 10


class Refused(Exception):
    """The proxy does not do what it was asked to do.

    Args:
        status: The HTTP status of the answer.
        why: One sentence for the agent: what was wrong, with what value.
    """

    def __init__(self, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


@dataclass(frozen=True)
class EgressLimits:
    """How much of the proxy a client gets. Times are in seconds.

    Attributes:
        connections: Client connections at once; each has at most one connection to a host. No
            session gets more of them than are left for the others.
        connections_per_session: Of one session; Chromium opens up to 32 to a proxy.
        header_bytes: A request's or an answer's head, or a ClientHello.
        header_s: From the first byte of a request or a ClientHello to the end of it.
        keep_alive_s: Between two requests on one connection.
        resolve_s: Looking up a name.
        resolves_per_session: Names one session looks up at once.
        connect_s: Connecting to a host, all its addresses together.
        first_byte_s: From the last byte of a request to the first byte of the answer.
        idle_s: Nothing moves, in either direction.
        half_closed_s: The same, once one side has said that it is done.
        lifetime_s: A client connection, whatever it does.
        bytes: Both directions of a client connection together.
    """

    connections: int = 512
    connections_per_session: int = 64
    header_bytes: int = 32 << 10
    header_s: float = 10.0
    keep_alive_s: float = 30.0
    resolve_s: float = 10.0
    resolves_per_session: int = 4
    connect_s: float = 10.0
    first_byte_s: float = 60.0
    idle_s: float = 120.0
    half_closed_s: float = 20.0
    lifetime_s: float = 3600.0
    bytes: int = 4 << 30


@dataclass(frozen=True)
class Decision:
    """What the proxy decided on one request, or on the name in a tunnel's TLS greeting.

    Attributes:
        session: Whose request it is; ``None`` when it is nobody's.
        method: The request's method; empty when there was no readable request.
        host: Where it wanted to go; empty when there was no readable request.
        port: The port there; 0 when there was no readable request.
        allowed: Whether it may.
        why: One sentence.
        address: The address it is connected to, when it is allowed.
    """

    session: str | None
    method: str
    host: str
    port: int
    allowed: bool
    why: str
    address: str | None = None


@dataclass(frozen=True)
class Policy:
    """The hosts and ports one session may reach.

    Args:
        hosts: Exact names, ``*.example.com`` for the names below ``example.com`` (not for itself),
            and addresses. An address is reached only when it is listed as such: no wildcard
            matches one.
        ports: TCP ports. 443 carries TLS only.

    Raises:
        ConfigurationError: A host is neither a name nor an address, or a port is none.
    """

    hosts: tuple[str, ...]
    ports: tuple[int, ...] = (80, 443)

    def __post_init__(self) -> None:
        object.__setattr__(self, "hosts", tuple(map(_rule, self.hosts)))
        for port in self.ports:
            if not 0 < port < 65536:
                raise ConfigurationError(f"{port} is not a TCP port (1 to 65535)")

    def allows(self, host: str) -> bool:
        """Return whether the list has this host; ``host`` comes from `normalise`."""
        return any(
            # What is left of the star is ".example.com": never the end of an address.
            host.endswith(rule[1:]) if rule.startswith("*.") else host == rule
            for rule in self.hosts
        )

    def objection(self, host: str, port: int) -> str | None:
        """Return why this host and port may not be reached, or ``None``."""
        if not self.allows(host):
            shown = ", ".join(self.hosts[:_SHOWN]) or "none"
            more = len(self.hosts) - _SHOWN
            shown += f" and {more} more" if more > 0 else ""
            return f"host {host!r} is not on this session's list (allowed: {shown})"
        if port not in self.ports:
            shown = ", ".join(map(str, self.ports)) or "none"
            return f"port {port} of {host!r} is not open to this session (allowed: {shown})"
        return None


def normalise(host: str) -> str:
    """Return the one spelling of a host.

    Names are in lower case, in ASCII (IDNA 2008) and without the final dot; addresses are in their
    canonical form, and IPv6 needs its brackets to be taken for one, but has none in the result.

    Raises:
        ValueError: It is neither a name nor an address in canonical form. The spellings that only
            `inet_aton` understands (``127.1``, ``0x7f000001``) are refused: a resolver would take
            them for addresses.
    """
    if host.startswith("[") and host.endswith("]"):
        if "%" in host:
            raise ValueError("an address with a zone is nobody's but this machine's")
        return str(IPv6Address(host[1:-1]))
    if not host.isascii():
        host = idna.encode(host, uts46=True).decode()
    name = host.lower().removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise ValueError(f"{host[:100]!r} is not a host name")
    if _NUMBER.fullmatch(labels[-1]):
        return str(IPv4Address(name))
    return name


def is_literal(host: str) -> bool:
    """Return whether a normalised host is an address."""
    return ":" in host or _NUMBER.fullmatch(host.rpartition(".")[2]) is not None


def _rule(rule: str) -> str:
    name = rule.removeprefix("*.")
    try:
        # A rule has no port that an address's colons could be confused with.
        host = normalise(f"[{name}]" if ":" in name and not name.startswith("[") else name)
        if name != rule and is_literal(host):
            raise ValueError("no address has a part that could be left open")
    except ValueError as exc:
        raise ConfigurationError(
            f"{rule!r} is no host that a session could be allowed ({exc}):"
            " give a name, *.name, or an address"
        ) from exc
    return host if name == rule else f"*.{host}"
