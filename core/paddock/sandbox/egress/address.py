"""Addresses: which of them no session reaches, whatever its list says, and how names become them.

A session's list names hosts, and whoever runs the zone of a listed host decides where the name
points. So an address counts by what it is: one on the public Internet, and not one of this
machine's own.
"""

import errno
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

from anyio import CapacityLimiter, to_thread

__all__ = ["Address", "Resolve", "Resolver", "is_forbidden", "is_global", "is_own"]

Address = IPv4Address | IPv6Address
Resolve = Callable[[str], Awaitable[Sequence[Address]]]

# From IANA's registries of special-purpose addresses. The standard library's `is_global` has
# changed its mind between patch releases, and calls multicast global.
_SPECIAL_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this network; Linux takes 0.0.0.0 for itself
            "10.0.0.0/8",
            "100.64.0.0/10",  # carrier-grade NAT; Alibaba's metadata
            "127.0.0.0/8",
            "168.63.129.16/32",  # Azure's agent service, public only in its looks
            "169.254.0.0/16",  # link-local; the clouds' metadata
            "172.16.0.0/12",
            "192.0.0.0/24",  # protocol assignments; Oracle's metadata
            "192.0.2.0/24",
            "192.88.99.0/24",  # 6to4 relays, withdrawn
            "192.168.0.0/16",
            "198.18.0.0/15",
            "198.51.100.0/24",
            "203.0.113.0/24",
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, and broadcast
        ),
    )
)
_GLOBAL_V6 = IPv6Network("2000::/3")
_SPECIAL_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, ORCHID, benchmarking
            "2001:db8::/32",
            "2002::/16",  # 6to4: carries an IPv4 address, and is withdrawn
            "3fff::/20",
        ),
    )
)
_NAT64 = IPv6Network("64:ff9b::/96")

_NOT_HERE = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
_LOOKUPS = 16


def is_global(address: Address) -> bool:
    """Return whether an address is one of the public Internet's.

    What leads to an IPv4 address is as public as that one: IPv4-mapped, and NAT64, which is how
    the Internet looks from a network without IPv4.
    """
    if isinstance(address, IPv6Address):
        if address.scope_id is not None:
            return False
        embedded = address.ipv4_mapped
        if address in _NAT64:
            embedded = IPv4Address(int(address) & 0xFFFFFFFF)
        if embedded is None:
            return address in _GLOBAL_V6 and not any(address in net for net in _SPECIAL_V6)
        address = embedded
    return not any(address in net for net in _SPECIAL_V4)


def is_own(address: Address) -> bool:
    """Return whether an address is this machine's: the kernel binds a socket to no other."""
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(address), 0))
    except OSError as exc:
        # Anything else (no descriptor left, for one) leaves it open: then it counts as ours.
        return exc.errno not in _NOT_HERE
    return True


def is_forbidden(address: Address) -> bool:
    """Return whether no session may reach an address, whatever its list says."""
    return not is_global(address) or is_own(address)


class Resolver:
    """Looks names up as this machine is set up to, on a few threads of its own.

    They are its own because a lookup can hang for as long as a name server likes, and must not
    keep the threads from those who need one for something else.
    """

    def __init__(self) -> None:
        self._threads = CapacityLimiter(_LOOKUPS)

    async def __call__(self, host: str) -> list[Address]:
        """Return the addresses of a host, the preferred one first.

        Raises:
            OSError: There is none, or nobody knows; `socket.gaierror` as a rule.
        """
        found = await to_thread.run_sync(
            _look_up, host, limiter=self._threads, abandon_on_cancel=True
        )
        return list(dict.fromkeys(found))


def _look_up(host: str) -> list[Address]:
    found = socket.getaddrinfo(host.encode(), None, type=socket.SOCK_STREAM)
    return [
        IPv4Address(address[0]) if family == socket.AF_INET else IPv6Address(address[0])
        for family, _, _, _, address in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]
