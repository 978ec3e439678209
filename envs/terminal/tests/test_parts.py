"""The parts of the terminal that are pure: keys, markers, output."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paddock_terminal.boundary import PREFIX, Marker, Scanner
from paddock_terminal.keys import encode
from paddock_terminal.output import Output, Pending, plain

NONCE = "0123456789abcdef0123456789abcdef"


@pytest.mark.parametrize(
    ("key", "sent"),
    [
        ("Enter", b"\r"),
        ("Tab", b"\t"),
        ("BTab", b"\x1b[Z"),
        ("S-Tab", b"\x1b[Z"),
        ("Escape", b"\x1b"),
        ("Space", b" "),
        ("BSpace", b"\x7f"),
        ("Up", b"\x1b[A"),
        ("C-Up", b"\x1b[1;5A"),
        ("M-Up", b"\x1b[1;3A"),
        ("C-S-Left", b"\x1b[1;6D"),
        ("Home", b"\x1b[H"),
        ("PageDown", b"\x1b[6~"),
        ("NPage", b"\x1b[6~"),
        ("S-PageUp", b"\x1b[5;2~"),
        ("F1", b"\x1bOP"),
        ("C-F1", b"\x1b[1;5P"),
        ("F12", b"\x1b[24~"),
        ("C-c", b"\x03"),
        ("C-C", b"\x03"),
        ("C-Space", b"\x00"),
        ("C-[", b"\x1b"),
        ("C-\\", b"\x1c"),
        ("M-x", b"\x1bx"),
        ("C-M-a", b"\x1b\x01"),
        ("M-Enter", b"\x1b\r"),
        ("x", b"x"),
        ("hello world", b"hello world"),
        ("é日", "é日".encode()),
        ("C-hello", b"C-hello"),
        ("M-foo", b"M-foo"),
        ("C-", b"C-"),
        ("-", b"-"),
        (";", b";"),
        ("", b""),
    ],
)
def test_a_key_s_name_becomes_what_a_terminal_sends(key: str, sent: bytes):
    assert encode(key) == sent


@given(st.text())
def test_any_text_is_keys(text: str):
    try:
        text.encode()
    except UnicodeEncodeError:
        return  # lone surrogates cannot come over the wire
    assert isinstance(encode(text), bytes)


def marker(kind: str, *fields: object) -> bytes:
    return PREFIX + ";".join([kind, *map(str, fields)]).encode() + b"\x07"


pieces = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from([
            marker("C", NONCE), marker("D", NONCE, 7, "/x;y"), marker("P", 0),
            marker("D", "", 0, ""),
            PREFIX, PREFIX[:4], b"\x1b", b"\x07", PREFIX + b"X;1\x07", PREFIX + b"D;x;y\x07",
        ]),
    ),
    max_size=12,
)  # fmt: skip


@given(pieces, st.data())
def test_it_does_not_matter_where_the_stream_is_cut(parts: list[bytes], data: st.DataObject):
    whole = b"".join(parts)
    at_once = joined(Scanner(), [whole])
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    chunks = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    assert joined(Scanner(), chunks) == at_once


@given(pieces)
def test_every_byte_is_output_or_marker(parts: list[bytes]):
    whole = b"".join(parts)
    rebuilt = b""
    for found in joined(Scanner(), [whole]):
        if isinstance(found, Marker):
            fields = [found.kind] + ([found.nonce] if found.kind != "P" else [])
            fields += [] if found.status is None else [str(found.status)]
            rebuilt += PREFIX + ";".join(fields).encode() + b"\x07"
        else:
            rebuilt += found
    assert len(rebuilt) <= len(whole)  # "007" and "7" are the same status
    assert rebuilt.replace(b"0", b"") == whole.replace(b"0", b"") or b"D;" in whole


def joined(scanner: Scanner, chunks: list[bytes]) -> list[bytes | Marker]:
    found: list[bytes | Marker] = []
    for item in [x for chunk in chunks for x in scanner.feed(chunk)] + [scanner.rest()]:
        if isinstance(item, bytes) and found and isinstance(found[-1], bytes):
            found[-1] += item
        elif item:
            found.append(item)
    return found


def test_what_only_begins_like_a_marker_is_output():
    assert joined(Scanner(), [PREFIX + b"C;" + b"x" * 500]) == [PREFIX + b"C;" + b"x" * 500]


@given(st.lists(st.binary(max_size=300), max_size=30), st.integers(2, 200), st.integers(1, 200))
def test_output_keeps_the_beginning_and_the_end_and_counts_the_rest(
    chunks: list[bytes], keep: int, limit: int
):
    limit = min(limit, keep)
    output = Output(keep)
    for chunk in chunks:
        output.add(chunk)
    whole = b"".join(chunks)
    head, tail, dropped = output.take(limit)
    assert len(head) + len(tail) + dropped == len(whole)
    assert whole.startswith(head)
    assert whole.endswith(tail)
    if len(whole) <= limit:
        assert head + tail == whole
    else:
        assert len(head) + len(tail) == limit
    assert output.take(limit) == (b"", b"", 0)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=60)
escapes = st.sampled_from(["\x1b[31m", "\x1b]0;title\x07", "\x1b(B", "\x1bPq#0\x1b\\", "\r\n"])


@given(st.lists(texts.map(lambda t: t.replace("\x1b", "")) | escapes, max_size=10), st.data())
def test_pieces_of_output_join_to_the_whole(parts: list[str], data: st.DataObject):
    whole = "".join(parts).encode()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=6)))
    bounds = list(zip([0, *cuts], [*cuts, len(whole)], strict=True))
    pending = Pending()
    said = "".join(plain(pending.cut(whole[a:b], final=(a, b) is bounds[-1])) for a, b in bounds)
    assert said == plain(whole)
