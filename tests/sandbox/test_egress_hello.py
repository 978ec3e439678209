"""What a TLS client says first, and whom it names in it."""

import ssl

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.sandbox.egress.hello import Hello, read_hello
from paddock.sandbox.egress.policy import normalise


def client_hello(name: str | None) -> bytes:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    out = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return out.read()


HELLO = client_hello("www.example.com")


def in_records(message: bytes, size: int) -> bytes:
    parts = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(b"\x16\x03\x01" + len(part).to_bytes(2, "big") + part for part in parts)


def with_extensions(*extensions: tuple[int, bytes]) -> bytes:
    packed = b"".join(
        kind.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value
        for kind, value in extensions
    )
    body = b"\x03\x03" + bytes(32) + b"\x00" + b"\x00\x02\x13\x01" + b"\x01\x00"
    body += len(packed).to_bytes(2, "big") + packed
    return in_records(b"\x01" + len(body).to_bytes(3, "big") + body, 1 << 14)


def sni(*names: bytes, kind: int = 0) -> bytes:
    entries = b"".join(bytes([kind]) + len(name).to_bytes(2, "big") + name for name in names)
    return len(entries).to_bytes(2, "big") + entries


def test_the_name_is_read_and_normalised():
    assert read_hello(HELLO) == Hello("www.example.com")
    assert read_hello(client_hello("WWW.Example.COM")) == Hello("www.example.com")
    assert read_hello(client_hello(None)) == Hello(None)
    assert read_hello(with_extensions((0, sni(b"a.example")))) == Hello("a.example")
    assert read_hello(with_extensions((0, sni(b"A.example.")))) == Hello("a.example")
    assert read_hello(with_extensions((10, b"xx"), (43, b""))) == Hello(None)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100, 1 << 14])
def test_a_greeting_may_come_in_any_number_of_records(size: int):
    data = in_records(HELLO[5:], size)
    assert read_hello(data) == Hello("www.example.com")
    assert read_hello(data + b"\x14\x03\x03\x00\x01\x01") == Hello("www.example.com")


def test_every_beginning_of_a_greeting_is_only_a_beginning():
    for data in (HELLO, in_records(HELLO[5:], 7)):
        assert all(read_hello(data[:at]) is None for at in range(len(data)))


NO_GREETINGS = {
    "an HTTP request": b"GET / HTTP/1.1\r\n\r\n",
    "SSLv2": b"\x80\x2e\x01\x00\x02",
    "another version": b"\x16\x02",
    "an empty record": b"\x16\x03\x01\x00\x00",
    "too long a record": b"\x16\x03\x01\x40\x01",
    "a ServerHello": in_records(b"\x02" + HELLO[6:], 1 << 14),
    "more in its record": in_records(HELLO[5:] + b"\x00", 1 << 14),
    "another record in between": in_records(HELLO[5:40], 1 << 14) + b"\x17\x03\x03\x00\x01x",
    "the extension twice": with_extensions((0, sni(b"a.example")), (0, sni(b"b.example"))),
    "two names": with_extensions((0, sni(b"a.example", b"b.example"))),
    "another kind of name": with_extensions((0, sni(b"a.example", kind=1))),
    "an empty extension": with_extensions((0, b"")),
    "no name": with_extensions((0, sni())),
    "an empty name": with_extensions((0, sni(b""))),
    "more in the extension": with_extensions((0, sni(b"a.example") + b"x")),
    "a zero byte": with_extensions((0, sni(b"a.exa\x00mple"))),
    "a path": with_extensions((0, sni(b"a.example/x"))),
    "half an address": with_extensions((0, sni(b"127.1"))),
    "not ASCII": with_extensions((0, sni("\u00e9.example".encode()))),
    "too short a body": in_records(b"\x01\x00\x00\x02\x03\x03", 100),
}


@pytest.mark.parametrize("data", NO_GREETINGS.values(), ids=NO_GREETINGS.keys())
def test_what_is_no_greeting_is_refused(data: bytes):
    with pytest.raises(ValueError, match=r".+"):
        read_hello(data)


@given(
    st.binary(max_size=200)
    | st.binary(max_size=200).map(
        lambda body: in_records(b"\x01" + len(body).to_bytes(3, "big") + body, 64)
    )
    | st.tuples(st.integers(0, len(HELLO) - 1), st.binary(max_size=6)).map(
        lambda edit: HELLO[: edit[0]] + edit[1] + HELLO[edit[0] + len(edit[1]) :]
    )
    | st.binary(max_size=60).map(lambda value: with_extensions((0, value)))
)
def test_no_greeting_is_too_strange(data: bytes):
    try:
        hello = read_hello(data)
    except ValueError:
        return
    if hello is not None and hello.server_name is not None:
        assert normalise(hello.server_name) == hello.server_name or ":" in hello.server_name
