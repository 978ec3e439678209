"""What a program printed, kept within bounds and made readable."""

import codecs
import re

__all__ = ["Output", "Pending", "plain"]

_STRING = rb"(?:[^\x07\x1b]|\x1b(?![\\]))*(?:\x07|\x1b\\)"
_ESCAPES = re.compile(
    rb"\x1b\[[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movement
    rb"|\x1b[\]PX^_]" + _STRING +  # OSC, DCS, SOS, PM, APC: titles, links, clipboards
    rb"|\x1b[ -/]*[0-~]"  # two and three characters: charset, keypad mode, reset
)  # fmt: skip
_BEGUN = re.compile(rb"\x1b(?:\[[0-?]*[ -/]*|[\]PX^_](?:[^\x07\x1b]|\x1b(?![\\]))*|[ -/]*)\Z")
_LONGEST_BEGUN = 4096  # what begins a sequence and does not end in so many bytes is dropped as one


class Output:
    """Collects bytes: the first ones and the last ones, and how many were dropped between them.

    Args:
        limit: Bytes to keep.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._head = bytearray()
        self._tail = bytearray()
        self.total = 0

    def add(self, data: bytes) -> None:
        """Take more output."""
        self.total += len(data)
        room = self._limit // 2 - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        self._tail += data
        keep = self._limit - self._limit // 2
        # Trim now and then, not for every chunk: moving the tail costs as much as it is long.
        if len(self._tail) > 4 * keep + 65_536:
            del self._tail[:-keep]

    def take(self, limit: int) -> tuple[bytes, bytes, int]:
        """Return what was collected, and begin anew.

        Args:
            limit: Bytes to return; at most what the constructor was told.

        Returns:
            The beginning, the end, and how many bytes are missing between them.
        """
        head, tail, total = bytes(self._head), bytes(self._tail), self.total
        if total > limit:
            whole = head + tail if len(head) + len(tail) == total else b""
            first = limit // 2
            head = (whole or head)[:first]
            tail = (whole or tail)[len(head) - limit :] if limit > len(head) else b""
        self._head.clear()
        self._tail.clear()
        self.total = 0
        return head, tail, total - len(head) - len(tail)


def plain(data: bytes, *, raw: bool = False) -> str:
    """Return bytes as text: invalid UTF-8 replaced, the terminal's line ends undone.

    Args:
        data: What was printed.
        raw: Keep escape sequences.
    """
    if not raw:
        data = _ESCAPES.sub(b"", data)
        data = _BEGUN.sub(b"", data)
    # The terminal turns "\n" into "\r\n"; a program's own "\r\n" arrives as "\r\r\n".
    return data.replace(b"\r\n", b"\n").decode("utf-8", "replace")


class Pending:
    """Holds back what is incomplete at the end of a piece: a character, an escape sequence.

    Output is read in pieces wherever the pipe happened to break; joining the pieces that went to
    the client must give what was printed.
    """

    def __init__(self) -> None:
        self._held = b""

    def cut(self, data: bytes, *, final: bool) -> bytes:
        """Return what is complete.

        Args:
            data: The next piece.
            final: Nothing follows: hold nothing back.
        """
        data = self._held + data
        self._held = b""
        if final:
            return data
        at = len(data)
        begun = _BEGUN.search(data, max(0, len(data) - _LONGEST_BEGUN))
        if begun is not None:
            at = begun.start()
        elif data.endswith(b"\r"):
            at -= 1
        else:
            decoder = codecs.getincrementaldecoder("utf-8")("replace")
            decoder.decode(data[-4:])
            at -= len(decoder.getstate()[0])
        self._held = data[at:]
        return data[:at]
