"""The rules of the egress proxy, without a socket: names, policies, addresses, requests."""

import errno
import socket
from ipaddress import IPv4Address, IPv6Address, ip_address

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock.errors import ConfigurationError
from paddock.sandbox.egress.address import Resolver, is_forbidden, is_global, is_own
from paddock.sandbox.egress.http import proxy_error, target_of
from paddock.sandbox.egress.policy import Policy, Refused, is_literal, normalise

# -- names ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com", "example.com"),
        ("example.com.", "example.com"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("BÜCHER.example", "xn--bcher-kva.example"),
        ("straße.example", "xn--strae-oqa.example"),
        ("\uff45xample.com", "example.com"),
        ("a_b.example-1.com", "a_b.example-1.com"),
        ("r3---sn-abc.example.com", "r3---sn-abc.example.com"),
        ("localhost", "localhost"),
        ("93.184.216.34", "93.184.216.34"),
        ("[2606:4700::1111]", "2606:4700::1111"),
        ("[2606:4700:0:0::1111]", "2606:4700::1111"),
        ("[::FFFF:1.2.3.4]", "::ffff:102:304"),
    ],
)
def test_a_host_has_one_spelling(said: str, meant: str):
    assert normalise(said) == meant


@pytest.mark.parametrize(
    "host",
    [
        "", ".", "..", "a..b", ".example.com", "example.com..", "a b", "a/b", "a@b", "a:80",
        "a%20b", "exam\x00ple.com", "example.com\n", "a\tb", "x" * 64 + ".com",
        "a." * 127 + "com",
        "127.1", "2130706433", "0x7f.1", "0x7f000001", "017700000001", "0177.0.0.1", "127.0.0.1.1",
        "127.0.0.01", "1.2.3", "256.1.1.1", "example.0x7f", "example.1", "0x", "127.0.0.1%eth0",
        "\uff11\uff12\uff17.1", "127\u30021", "::1", "[::1", "[::1%lo]", "[::1%25lo]",
        "[fe80::1%1]", "[127.0.0.1]", "[example.com]", "[]", "[::1].com", "xn--\u00e9.com\ud800",
    ],
)  # fmt: skip
def test_what_is_no_host_is_none(host: str):
    with pytest.raises(ValueError, match=r".*"):
        normalise(host)


@given(st.text(max_size=40) | st.from_regex(r"[0-9a-fx.:%\[\]A-Z-]{1,20}", fullmatch=True))
def test_normalising_twice_changes_nothing(host: str):
    try:
        once = normalise(host)
    except ValueError:
        return
    assert once.isascii()
    assert once == once.lower()
    assert normalise(f"[{once}]" if ":" in once else once) == once


@given(st.from_regex(r"[0-9a-fx.]{1,24}", fullmatch=True))
def test_what_a_resolver_takes_for_an_address_is_canonical_or_refused(host: str):
    try:
        socket.inet_aton(host)
    except OSError:
        return
    try:
        assert is_literal(normalise(host))
    except ValueError:
        pass
    else:
        assert str(IPv4Address(host)) == host


# -- policies ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "host", "allowed"),
    [
        ("example.com", "example.com", True),
        ("Example.COM.", "example.com", True),
        ("example.com", "www.example.com", False),
        ("example.com", "example.com.evil.net", False),
        ("example.com", "notexample.com", False),
        ("*.example.com", "www.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "notexample.com", False),
        ("*.example.com", "example.com.evil.net", False),
        ("*.Bücher.example", "www.xn--bcher-kva.example", True),
        ("1.2.3.4", "1.2.3.4", True),
        ("1.2.3.4", "1.2.3.5", False),
        ("2606:4700::1111", "2606:4700::1111", True),
        ("[2606:4700::1111]", "2606:4700::1111", True),
        ("1.2.3.4", "::ffff:102:304", False),
        ("*.com", "1.2.3.4", False),
    ],
)
def test_a_rule_allows_what_it_says(rule: str, host: str, allowed: bool):
    assert Policy((rule,)).allows(host) is allowed
    assert (Policy((rule,)).objection(host, 443) is None) is allowed


@pytest.mark.parametrize(
    "rule",
    ["", "*", "*.", "*.*.com", "a.*.com", "*example.com", "*.3.4", "*.1.2.3.4", "*.[::1]", "*.::1",
     "http://example.com", "example.com:443", "example.com/x", "10.0.0.0/8", "127.1", "fe80::1%lo"],
)  # fmt: skip
def test_a_rule_that_means_nothing_is_refused(rule: str):
    with pytest.raises(ConfigurationError, match="is no host that a session could be allowed"):
        Policy((rule,))


def test_a_port_that_is_none_is_refused():
    with pytest.raises(ConfigurationError, match="65536 is not a TCP port"):
        Policy(("example.com",), ports=(443, 65536))


def test_an_objection_says_what_is_allowed():
    policy = Policy(tuple(f"h{n}.example" for n in range(12)), ports=(443,))
    assert policy.objection("x.example", 443) == (
        "host 'x.example' is not on this session's list (allowed: h0.example, h1.example,"
        " h2.example, h3.example, h4.example, h5.example, h6.example, h7.example, h8.example,"
        " h9.example and 2 more)"
    )
    assert policy.objection("h1.example", 25) == (
        "port 25 of 'h1.example' is not open to this session (allowed: 443)"
    )
    assert Policy(()).objection("x.example", 80) == (
        "host 'x.example' is not on this session's list (allowed: none)"
    )


LABELS = st.from_regex(r"[a-z0-9-]{1,5}", fullmatch=True)
NAMES = st.lists(LABELS, min_size=1, max_size=4).map(".".join)


@given(st.lists(NAMES, max_size=4), st.lists(NAMES, max_size=3), NAMES)
def test_only_what_is_listed_is_allowed(exact: list[str], below: list[str], host: str):
    try:
        host = normalise(host)
        policy = Policy((*exact, *(f"*.{name}" for name in below)))
    except ValueError:  # ConfigurationError is one
        return
    labels = host.split(".")
    listed = host in exact or any(
        labels[-len(name.split(".")) :] == name.split(".") and len(labels) > len(name.split("."))
        for name in below
    )
    assert policy.allows(host) is listed


# -- addresses -----------------------------------------------------------------------------------

FORBIDDEN = {
    "loopback": ["127.0.0.1", "127.0.0.2", "127.255.255.255", "::1"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12::1"],
    "shared": ["100.64.0.1", "100.127.255.255", "100.100.100.200"],
    "link-local": ["169.254.0.1", "fe80::1", "fe80::1%1", "febf::1", "fec0::1"],
    "metadata": ["169.254.169.254", "fd00:ec2::254", "192.0.0.192", "168.63.129.16"],
    "multicast": ["224.0.0.1", "239.255.255.250", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "255.255.255.255", "192.0.0.8", "198.18.0.1", "4000::1", "100::1"],
    "documentation": ["192.0.2.1", "198.51.100.1", "203.0.113.1", "2001:db8::1", "3fff::1"],
    "IPv4-mapped": ["::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:0"],
    "IPv4-compatible": ["::127.0.0.1", "::10.0.0.1", "::8.8.8.8"],
    "IPv4-translated": ["::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8"],
    "6to4": ["2002:7f00:1::", "2002:a00:1::1", "2002:a9fe:a9fe::", "2002:808:808::1"],
    "NAT64": ["64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::169.254.169.254",
              "64:ff9b:1::8.8.8.8"],
    "Teredo": ["2001:0:4136:e378:8000:63bf:80ff:fffe", "2001::1"],
}  # fmt: skip


@pytest.mark.parametrize("kind", FORBIDDEN)
def test_addresses_that_are_not_public_are_forbidden(kind: str):
    for address in FORBIDDEN[kind]:
        assert not is_global(ip_address(address)), address
        assert is_forbidden(ip_address(address)), address


@pytest.mark.parametrize(
    "address",
    ["8.8.8.8", "1.1.1.1", "93.184.216.34", "100.63.255.255", "100.128.0.1", "172.32.0.1",
     "223.255.255.255", "2606:4700:4700::1111", "2a00:1450:4001::1", "2001:4860:4860::8888",
     "::ffff:8.8.8.8", "64:ff9b::8.8.8.8"],
)  # fmt: skip
def test_public_addresses_are_allowed(address: str):
    assert is_global(ip_address(address))
    assert not is_forbidden(ip_address(address))


@given(st.ip_addresses(v=4))
def test_no_form_of_an_address_is_more_public_than_the_address(address: IPv4Address):
    number = int(address)
    mapped, nat64 = IPv6Address((0xFFFF << 32) + number), IPv6Address((0x64FF9B << 96) + number)
    assert is_global(mapped) == is_global(nat64) == is_global(address)
    assert not is_global(IPv6Address(number))
    assert not is_global(IPv6Address((0x2002 << 112) + (number << 80)))
    # Whatever else has changed its mind: nothing is public here that is not so by the library.
    assert not is_global(address) or address.is_global


def test_the_machine_knows_its_own_addresses():
    assert is_own(ip_address("127.0.0.1"))
    assert is_own(ip_address("127.1.2.3"))
    assert is_own(ip_address("0.0.0.0"))
    assert not is_own(ip_address("8.8.8.8"))
    assert not is_own(ip_address("2606:4700::1111"))


def test_without_descriptors_an_address_counts_as_own(monkeypatch: pytest.MonkeyPatch):
    def fail(*_: object) -> socket.socket:
        raise OSError(errno.EMFILE, "too many")

    monkeypatch.setattr(socket, "socket", fail)
    assert is_forbidden(ip_address("8.8.8.8"))


async def test_the_machine_resolves_names():
    assert ip_address("127.0.0.1") in await Resolver()("localhost")
    with pytest.raises(socket.gaierror):
        await Resolver()("nowhere.invalid")


# -- requests ------------------------------------------------------------------------------------


@given(st.from_regex(rb"(?i:http://)?[!-~]{1,40}", fullmatch=True), st.booleans())
def test_a_request_goes_to_a_normalised_host_or_nowhere(said: bytes, tunnel: bool):
    request = h11.Request(
        method=b"CONNECT" if tunnel else b"GET", target=said, headers=[], http_version=b"1.0"
    )
    try:
        target = target_of(request)
    except Refused as refused:
        answer, body = proxy_error(refused)
        assert answer.status_code in (400, 505)
        assert refused.why.encode() in body
        return
    assert 0 < target.port < 65536
    assert b"@" not in said.split(b"/")[2 if b"//" in said else 0]
    assert target.host.encode() in said.lower() or ":" in target.host or said.endswith(b".")
    assert tunnel or target.path.startswith(b"/")
