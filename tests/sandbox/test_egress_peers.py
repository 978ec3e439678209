"""Who is at the other end of a connection: the kernel's table, read and asked."""

import os
import socket
import struct
import sys
from ipaddress import ip_address
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.sandbox.egress.peers import Endpoint, Peers, clients_of

PROXY = ("127.0.0.1", 40000)
HEADER = (
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid"
    "  timeout inode\n"
)


def test_a_table_of_the_kernels_is_read(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "byteorder", "little")
    table = (
        HEADER + "   0: 0100007F:9C40 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0"
        "        0 242645 1 0000000096ac2710 100 0 0 10 0\n"
        "   1: 0100007F:9C40 0100007F:D431 01 00000000:00000000 00:00000000 00000000     0"
        "        0 242700 1 0000000096ac2711 20 4 30 10 -1\n"
        "   2: 0100007F:D431 0100007F:9C40 01 00000000:00000000 02:000AFC8E 00000000 303201"
        "        0 242699 2 0000000096ac2712 20 4 30 10 -1\n"
        "   3: 0100007F:D432 0100007F:9C40 06 00000000:00000000 03:00001770 00000000     0"
        "        0 0 3 0000000096ac2713\n"
        "   4: 0200007F:D433 0100007F:9C40 05 00000000:00000000 02:000AFC8E 00000000 303202"
        "        0 242800 2 0000000096ac2714 20 4 30 10 -1\n"
        "   5: 0100007F:D434 0100007F:9C41 01 00000000:00000000 02:000AFC8E 00000000 303203"
        "        0 242801 2 0000000096ac2715 20 4 30 10 -1\n"
    )
    assert clients_of(PROXY, table) == {
        ("127.0.0.1", 0xD431): 303201,
        ("127.0.0.2", 0xD433): 303202,
    }
    table6 = (
        "   0: 0000000000000000FFFF00000100007F:D435 0000000000000000FFFF00000100007F:9C40 01"
        " 00000000:00000000 02:000AFC8E 00000000  1000        0 5001 2 0000000000000000 20 4 30\n"
        "   1: 00000000000000000000000001000000:D436 00000000000000000000000001000000:9C40 01"
        " 00000000:00000000 02:000AFC8E 00000000  1001        0 5002 2 0000000000000000 20 4 30\n"
    )
    assert clients_of(PROXY, table6) == {("127.0.0.1", 0xD435): 1000}
    assert clients_of(("::1", 40000), table6) == {("::1", 0xD436): 1001}


def row(client: Endpoint, proxy: Endpoint, uid: int, state: str = "01", inode: int = 77) -> str:
    def endpoint(address: str, port: int) -> str:
        packed = ip_address(address).packed
        words = [packed[at : at + 4] for at in range(0, len(packed), 4)]
        digits = "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)
        return f"{digits}:{port:04X}"

    return (
        f"  12: {endpoint(*client)} {endpoint(*proxy)} {state} 00000000:00000000 00:00000000"
        f" 00000000 {uid:5d}        0 {inode} 1 0000000000000000 20 4 30 10 -1\n"
    )


PORTS = st.integers(1, 65535)
ENDPOINTS = st.tuples(st.ip_addresses().filter(lambda a: str(a)).map(str), PORTS).filter(
    lambda endpoint: not endpoint[0].startswith("::ffff:")
)


@given(
    st.dictionaries(ENDPOINTS, st.integers(0, 2**32 - 2), max_size=8),
    ENDPOINTS,
    st.lists(st.tuples(ENDPOINTS, ENDPOINTS), max_size=4),
)
def test_every_client_is_found_and_nobody_else(
    uids: dict[Endpoint, int], proxy: Endpoint, others: list[tuple[Endpoint, Endpoint]]
):
    rows = [row(client, proxy, uid) for client, uid in uids.items()]
    rows += [row(client, remote, 4242) for client, remote in others if remote != proxy]
    rows += [row(("9.9.9.9", 9), proxy, 0, state="06", inode=0)]
    rows += [row(("9.9.9.9", 10), proxy, 0, state="04", inode=0)]
    assert clients_of(proxy, HEADER + "".join(rows)) == uids


@given(st.text() | st.text(alphabet="0123456789ABCDEF: \n", max_size=400))
def test_no_table_is_too_strange(text: str):
    clients_of(PROXY, HEADER + text)
    clients_of(PROXY, row(("127.0.0.1", 1), PROXY, 5).replace("00", text))


def test_two_owners_are_none():
    client = ("127.0.0.1", 50000)
    table = row(client, PROXY, 1001) + row(client, PROXY, 1002)
    assert clients_of(PROXY, table) == {}


async def test_a_client_that_went_away_is_nobody_though_its_port_has_an_owner():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = listener.getsockname()
        client = socket.create_connection(proxy)
        sock, endpoint = listener.accept()
        with sock:
            client.sendall(b"GET http://victim.example/ HTTP/1.1\r\n\r\n")

            def read(_: Path) -> str:
                # Between the accept and the reading, the port changes hands.
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                client.close()
                return row(endpoint, proxy, 1002)

            peers = Peers(proxy, read)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(peers.run)
                with anyio.fail_after(2):
                    assert await peers.uid(sock) is None
                    assert await peers.uid(sock) is None
                tasks.cancel_scope.cancel()
            assert sock.recv(3) == b"GET"  # what it said before is there to be read


async def test_one_reading_serves_all_who_wait_and_a_missed_row_is_looked_for_again():
    readings: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = listener.getsockname()
        clients = [socket.create_connection(proxy) for _ in range(20)]
        accepted = [listener.accept() for _ in clients]

        def read(table: Path) -> str:
            readings.append(table.name)
            if len(readings) <= 2:
                return HEADER
            return "".join(
                row(endpoint, proxy, 1000 + n) for n, (_, endpoint) in enumerate(accepted)
            )

        peers = Peers(proxy, read)
        found: dict[int, int | None] = {}

        async def look(n: int) -> None:
            found[n] = await peers.uid(accepted[n][0])

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(peers.run)
            with anyio.fail_after(2):
                async with anyio.create_task_group() as looking:
                    for n in range(20):
                        looking.start_soon(look, n)
            tasks.cancel_scope.cancel()
        for sock in (*clients, *(sock for sock, _ in accepted)):
            sock.close()
    assert found == {n: 1000 + n for n in range(20)}
    assert readings == ["tcp", "tcp6", "tcp"]


async def test_the_kernel_knows_this_process():
    for family, address in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")):
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(family) as client:
            client.connect((address, listener.getsockname()[1]))
            sock, _ = listener.accept()
            client.shutdown(socket.SHUT_WR)  # has said all it has to say, and is still there
            peers = Peers(listener.getsockname())
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(peers.run)
                with sock, anyio.fail_after(5):
                    assert await peers.uid(sock) == os.getuid()
                    client.close()
                    assert await peers.uid(sock) is None
                tasks.cancel_scope.cancel()
