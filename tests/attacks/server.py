"""What plays the server: a real process with secrets in all the places where servers have them."""

import ctypes
import os
import secrets
import signal
import socket
import sysconfig
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import FrameType
from typing import Any

import paddock.sandbox.zygote as some_source

__all__ = ["SECRET_VARIABLE", "Server", "answer_on", "hear_on"]

SECRET_VARIABLE = "PADDOCK_ARENA_SECRET"
_OUTSIDE = "198.51.100.1"


class Server:
    """The secrets and doors of a server, open as long as `owned` is.

    Attributes:
        secrets: What no session may get hold of, by where it is.
        signals: How many signals have come.
        datagrams: What came by UDP.
    """

    def __init__(self, base: Path, owned: ExitStack) -> None:
        self.owned = owned
        self.secrets = {"environment": os.environ[SECRET_VARIABLE]}
        self.signals = 0
        self.datagrams: list[str] = []
        self.nonce = secrets.token_hex(8)
        self._memory = ctypes.create_string_buffer(self.secret("memory").encode())
        self.scratch = ctypes.create_string_buffer(64)
        source = Path(some_source.__file__)
        self.secrets["source"] = source.read_text().splitlines()[0]
        home = base / "server"
        home.mkdir(mode=0o700)
        answers = home / "answers.txt"
        answers.write_text(self.secret("answers"))
        os.chdir(home)
        answers_fd = os.open(answers, os.O_RDONLY)
        os.set_inheritable(answers_fd, True)
        owned.callback(os.close, answers_fd)
        abstract = f"paddock-arena-{self.nonce}"
        admin = base / "admin.sock"
        answer_on("\0" + abstract, self.secret("abstract socket"), owned)
        answer_on(str(admin), self.secret("admin socket"), owned)
        admin.chmod(0o777)
        signal.signal(signal.SIGURG, self._signalled)
        paths = sysconfig.get_paths()
        self.facts: dict[str, Any] = {
            "nonce": self.nonce,
            "server_pid": os.getpid(),
            "server_memory": ctypes.addressof(self._memory),
            "server_scratch": ctypes.addressof(self.scratch),
            "server_abstract": abstract,
            "server_socket": str(admin),
            "answers": str(answers),
            "answers_fd": answers_fd,
            "source": str(source),
            "site_packages": sorted({paths["purelib"], str(source.parents[2])}),
            "port": self._serve_http(),
            "udp_port": self._serve_udp(),
            "address": _address(),
        }

    def secret(self, where: str) -> str:
        """Make a secret."""
        token = self.secrets[where] = secrets.token_hex(16)
        return token

    def _signalled(self, number: int, frame: FrameType | None) -> None:
        self.signals += 1

    def _serve_http(self) -> int:
        sock = _bound(socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_FASTOPEN, 5)
        said = f"HTTP/1.0 200 OK\r\n\r\n{self.secret('http')}".encode()
        _accept(sock, said, self.owned)
        return sock.getsockname()[1]

    def _serve_udp(self) -> int:
        sock = _bound(socket.SOCK_DGRAM)
        hear_on(sock, self.datagrams.append, self.owned)
        return sock.getsockname()[1]


def answer_on(address: str, text: str, owned: ExitStack) -> None:
    """Tell everybody who connects to a UNIX socket a text."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(address)
    _accept(sock, text.encode(), owned)


def hear_on(sock: socket.socket, hear: Callable[[str], None], owned: ExitStack) -> None:
    """Pass on the datagrams that come."""

    def run() -> None:
        while data := sock.recv(4096):
            hear(data.decode(errors="replace"))

    _in_thread(run, sock, owned)


def _accept(sock: socket.socket, said: bytes, owned: ExitStack) -> None:
    sock.listen()

    def run() -> None:
        while True:
            connection, _ = sock.accept()
            with connection:
                connection.settimeout(1)
                try:
                    connection.recv(4096)  # unread, it would turn the answer into a reset
                    connection.sendall(said)
                except OSError:
                    continue  # somebody who hung up; the next one may not

    _in_thread(run, sock, owned)


def _in_thread(run: Callable[[], None], sock: socket.socket, owned: ExitStack) -> None:
    # Daemons: they end with the process, which ends after one arena.
    threading.Thread(target=run, daemon=True).start()
    owned.callback(sock.detach)


def _bound(kind: int) -> socket.socket:
    """Return a socket that is reached at every address of this machine."""
    if socket.has_dualstack_ipv6():
        sock = socket.socket(socket.AF_INET6, kind)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.bind(("::", 0))
    else:
        sock = socket.socket(socket.AF_INET, kind)
        sock.bind(("0.0.0.0", 0))
    return sock


def _address() -> str:
    """Return this machine's address as others see it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.connect((_OUTSIDE, 9))  # nothing is sent
        except OSError:
            return "127.0.0.1"
        return sock.getsockname()[0]
