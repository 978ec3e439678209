"""The egress proxy: the only way out for the sessions of the network mode ``allowlist``.

A session's processes can connect to nothing but this: to a loopback port (level ``uid``, where the
proxy knows them by the uid of their socket) or to a listener in their own network namespace (level
``namespaces``). It is an ordinary HTTP/1.1 forward proxy: ``CONNECT host:port``, and requests with
an absolute ``http://`` URL. It resolves names itself; the sessions have no DNS::

    client ── who? ─────── Peers: uid ── session_of_uid ──┐    or the listener it came by
              what?        h11, http                      ├── Connection
              may it?      Gate: Policy, then addresses   │
              out          one connection to the very address that was checked
              tunnel: TLS? hello: and the name in it is on the list

Everything fails closed, every wait has a limit, and whoever is refused is told why.
"""

from paddock.sandbox.egress.policy import Decision, EgressLimits, Policy
from paddock.sandbox.egress.proxy import Door, EgressProxy

__all__ = ["Decision", "Door", "EgressLimits", "EgressProxy", "Policy"]
