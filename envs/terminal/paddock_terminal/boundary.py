r"""Where a command's output begins and ends, in a way its output cannot confuse.

The command's text never travels through the terminal, where completion, history expansion and
continuation prompts would get at it. The server writes it into a *side file*, together with a
random number, and types one constant line that sources a prologue and evaluates what the prologue
read. Builtins then write *markers* to ``/dev/tty``: one before the command, one after it, each with
that number, and each in a single write, which no background writer can cut through::

    ESC ] 7771 ; C ; <nonce> BEL                      the command begins
    ESC ] 7771 ; D ; <nonce> ; <status> ; <cwd> BEL   it ended, and where the shell is now
    ESC ] 7771 ; P ; <status> BEL                     the shell shows its prompt

The working directory comes from the shell because not every level of isolation lets the server look
it up in ``/proc``.

The prologue is sourced anew every time, so it survives whatever the agent does to its shell:
``unset -f``, ``exec bash``, a cleared ``PROMPT_COMMAND``. It uses builtins only and forks nothing,
so it works without a PATH, without a working directory and at the process limit. ``local -`` takes
back its own ``set +xeuv``. ``eval`` at the top level keeps ``declare`` global and ``return`` legal.

This is proof against accidents, not against malice: code in the same shell can read the number. A
verdict is never derived from an exit status seen here.
"""

import secrets
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PREFIX", "Marker", "Scanner", "SideFiles"]

PREFIX = b"\x1b]7771;"
_BEL = b"\x07"
_LONGEST = 4400  # of a marker, PATH_MAX included; what claims to be one and is longer is output

# A leading backslash keeps an alias of the agent's from replacing a builtin.
_DEFINITIONS = r"""
__paddock_r() { \local -; \set +xeuv
  { IFS= \read -rd '' __paddock_n; IFS= \read -rd '' __paddock_c; } < "@DIR@/cmd"
  if [[ ";${PROMPT_COMMAND[*]-};" != *__paddock_p* && ${PROMPT_COMMAND@a} != *r* ]]; then
    PROMPT_COMMAND="__paddock_p${PROMPT_COMMAND:+;$PROMPT_COMMAND}"
  fi
  \printf '\e]7771;C;%s\a' "$__paddock_n" >/dev/tty; \return $__paddock_s; }
__paddock_p() { \local __paddock_e=$?; \local -; \set +xeuv
  { \printf '\e]7771;D;%s;%s;%s\a' "${__paddock_n-}" "$__paddock_e" \
    "${PWD//[[:cntrl:]]/?}" >/dev/tty; __paddock_n=; }
  \return $__paddock_e; } 2>/dev/null
"""
_GO = "__paddock_s=$?\n@DEFINITIONS@__paddock_r\n"
_RC = r"""@DEFINITIONS@
PROMPT_COMMAND=__paddock_p PS0= PS1='\[\e]7771;P;$?\a\]$ ' PS2='> '
set +H; unset HISTFILE
bind 'set enable-bracketed-paste off' 2>/dev/null
"""


@dataclass(frozen=True, slots=True)
class Marker:
    """A marker that was found in the stream.

    Attributes:
        kind: ``C``, ``D`` or ``P``.
        nonce: Whose it is; empty for a prompt, and after a command has been marked already.
        status: The exit status, where there is one.
        cwd: The shell's working directory, where it says.
    """

    kind: str
    nonce: str = ""
    status: int | None = None
    cwd: str | None = None


class SideFiles:
    """The files through which the server tells a shell what to run.

    Args:
        path: A directory whose files the shell can read, and not change.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        definitions = _DEFINITIONS.lstrip().replace("@DIR@", str(self.path))
        self._go = _GO.replace("@DEFINITIONS@", definitions)
        self._rc = _RC.replace("@DEFINITIONS@", definitions)

    def put_rc(self) -> None:
        """Write what the shell reads when it starts."""
        self.rc.write_text(self._rc, encoding="utf-8")

    @property
    def rc(self) -> Path:
        """What the shell reads when it starts."""
        return self.path / "rc"

    @property
    def trigger(self) -> bytes:
        """The one line that is ever typed. The leading space keeps it out of the history."""
        return f' . {self.path}/go;eval "$__paddock_c";__paddock_p\n'.encode()

    def put(self, command: str) -> str:
        """Write a command where the prologue finds it, and return its nonce."""
        nonce = secrets.token_hex(16)
        (self.path / "cmd").write_bytes(f"{nonce}\0{command}\0".encode())
        (self.path / "go").write_text(self._go, encoding="utf-8")
        return nonce


class Scanner:
    """Splits a stream of bytes into output and markers. Looks at every byte once.

    What might be the beginning of a marker is held back until it is one or is not.
    """

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[bytes | Marker]:
        """Take the next bytes of the stream and return what is certain by now, in order."""
        data = self._held + data
        self._held = b""
        found: list[bytes | Marker] = []
        start = 0
        while (at := data.find(PREFIX, start)) >= 0:
            end = data.find(_BEL, at, at + _LONGEST)
            if end < 0 and len(data) - at < _LONGEST:
                break
            marker = _parse(data[at + len(PREFIX) : end]) if end >= 0 else None
            stop = at if marker is not None else at + len(PREFIX)
            if stop > start:
                found.append(data[start:stop])
            if marker is not None:
                found.append(marker)
                stop = end + 1
            start = stop
        else:
            at = _partial(data, start)
        if at > start:
            found.append(data[start:at])
        self._held = data[at:]
        return found

    def rest(self) -> bytes:
        """Return what was held back: the stream has ended."""
        held, self._held = self._held, b""
        return held


def _partial(data: bytes, start: int) -> int:
    """Return where a beginning of the prefix stands at the very end of the data."""
    for length in range(min(len(PREFIX) - 1, len(data) - start), 0, -1):
        if data.endswith(PREFIX[:length]):
            return len(data) - length
    return len(data)


def _parse(body: bytes) -> Marker | None:
    try:
        match body.decode("utf-8", "replace").split(";", 3):
            case ["C", nonce]:
                return Marker("C", nonce)
            case ["D", nonce, status, cwd]:
                return Marker("D", nonce, int(status), cwd)
            case ["P", status]:
                return Marker("P", status=int(status))
            case _:
                return None
    except ValueError:  # not a number: output that looks like ours
        return None
