"""Where it is decided what goes out: one place, one record of each decision."""

import logging
import os
from collections.abc import Callable, Sequence
from ipaddress import ip_address

import anyio
from anyio import CancelScope, Semaphore

from paddock.sandbox.egress.address import Address, Resolve
from paddock.sandbox.egress.policy import Decision, EgressLimits, Policy, Refused, is_literal
from paddock.sandbox.egress.stream import Stream, connect

__all__ = ["Account", "Gate"]

_TRIED = 3

logger = logging.getLogger("paddock.sandbox.egress")


class Account:
    """What one session has of the proxy.

    Args:
        session: The session; ``None`` stands for all who belong to none.
        resolves: Names it may look up at once.

    Attributes:
        connections: Its client connections: cancelling the scope ends one.
        resolving: Its share of the lookups.
    """

    def __init__(self, session: str | None, resolves: int) -> None:
        self.session = session
        self.connections: set[CancelScope] = set()
        self.resolving = Semaphore(resolves)


class Gate:
    """Decides, and connects to what it decided on.

    Args:
        policy_of: The policy of a session, asked anew for every request.
        resolve: Looks a name up.
        is_forbidden: Whether nobody may reach an address.
        on_decision: Hears of every decision before it takes effect.
        limits: How long things may take.
    """

    def __init__(
        self,
        policy_of: Callable[[str], Policy | None],
        resolve: Resolve,
        is_forbidden: Callable[[Address], bool],
        on_decision: Callable[[Decision], None] | None,
        limits: EgressLimits,
    ) -> None:
        self._policy_of = policy_of
        self._resolve = resolve
        self._is_forbidden = is_forbidden
        self._on_decision = on_decision
        self._limits = limits

    async def permit(
        self, account: Account, method: str, host: str, port: int
    ) -> Sequence[Address]:
        """Decide on a request.

        Returns:
            Where it may be connected to. Nobody looks the name up again: the second answer could
            be another one.

        Raises:
            Refused: It goes nowhere.
        """
        try:
            self._object(account.session, host, port)
            addresses = await self._addresses(account, host)
        except Refused as refused:
            self.refuse(account.session, refused, method, host, port)
            raise
        self._decide(
            Decision(account.session, method, host, port, True, "listed", str(addresses[0]))
        )
        return addresses

    def check_name(self, session: str | None, host: str, port: int, name: str | None) -> None:
        """Check the name that a TLS client asks for inside a tunnel.

        Raises:
            Refused: The session may not reach what it names, or it names nothing.
        """
        if name is not None:
            self._object(session, name, port)
        elif not is_literal(host):
            raise Refused(403, f"the TLS client in the tunnel to {host!r} names no host (SNI)")

    def refuse(
        self, session: str | None, refused: Refused, method: str = "", host: str = "", port: int = 0
    ) -> None:
        """Record a refusal."""
        self._decide(Decision(session, method, host, port, False, refused.why))

    async def connect(self, addresses: Sequence[Address], host: str, port: int) -> Stream:
        """Connect to the first address that answers.

        Raises:
            Refused: None does.
        """
        addresses = addresses[:_TRIED]
        refused = Refused(502, f"{host!r} has no address")
        for address in addresses:
            try:
                with anyio.fail_after(self._limits.connect_s / len(addresses)):
                    return await connect(address, port)
            except TimeoutError:
                refused = Refused(504, f"{host!r} ({address}) does not answer on port {port}")
            except OSError as exc:
                # Not its own text, which is the event loop's and not the kernel's.
                why = os.strerror(exc.errno) if exc.errno else "no connection"
                refused = Refused(502, f"{host!r} ({address}), port {port}: {why}")
            logger.info("%s", refused.why)
        raise refused

    def _object(self, session: str | None, host: str, port: int) -> None:
        if session is None:
            raise Refused(403, "this connection belongs to no session that is known here")
        policy = self._policy_of(session)
        if policy is None:
            raise Refused(403, f"session {session!r} has no access to the network")
        why = policy.objection(host, port)
        if why is not None:
            raise Refused(403, why)

    async def _addresses(self, account: Account, host: str) -> Sequence[Address]:
        if is_literal(host):
            addresses: Sequence[Address] = [ip_address(host)]
        else:
            addresses = await self._look_up(account, host)
        # One bad address spoils the answer: a name that is half public is not a public name.
        for address in addresses:
            if self._is_forbidden(address):
                of = host if is_literal(host) else f"{host!r} is {address}, which"
                raise Refused(403, f"{of} is not an address of the public Internet")
        return addresses

    async def _look_up(self, account: Account, host: str) -> Sequence[Address]:
        limit = self._limits.resolve_s
        try:
            with anyio.fail_after(limit):
                async with account.resolving:
                    addresses = await self._resolve(host)
        except TimeoutError:
            raise Refused(504, f"{host!r} could not be looked up within {limit:g} s") from None
        except OSError as exc:
            why = exc.strerror or exc
            raise Refused(502, f"{host!r} could not be looked up: {why}") from exc
        if not addresses:
            raise Refused(502, f"{host!r} has no address")
        return addresses

    def _decide(self, decision: Decision) -> None:
        logger.info(
            "session %s: %s %s:%d %s: %s",
            decision.session or "-",
            decision.method or "-",
            decision.host or "-",
            decision.port,
            f"goes to {decision.address}" if decision.allowed else "refused",
            decision.why,
        )
        if self._on_decision is not None:
            self._on_decision(decision)
