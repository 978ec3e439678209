"""What the other session runs: secrets in its arguments, environment and memory, and sockets.

``python3 -I -S victim.py ROLE TOKEN NAME SOCKET``. Says on its standard output, in lines of JSON,
what it has and what happens to it. The role `canary` only waits for signals.
"""

import ctypes
import json
import os
import signal
import socket
import sys
from contextlib import ExitStack
from select import select
from types import FrameType
from typing import Any


def main() -> None:
    role, token, name, path = sys.argv[1:]
    signal.signal(signal.SIGURG, noted)
    if role == "canary":
        say(event="ready")
        while True:
            signal.pause()
    memory = ctypes.create_string_buffer(token.encode())
    with ExitStack() as owned:
        answering: dict[int, socket.socket] = {}
        hearing: socket.socket | None = None
        why = ""
        try:
            for address in ("\0" + name, path):
                sock = owned.enter_context(socket.socket(socket.AF_UNIX))
                sock.bind(address)
                sock.listen()
                answering[sock.fileno()] = sock
            hearing = owned.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            hearing.bind("\0" + name + "-dgram")
        except OSError as exc:
            why = str(exc)
            answering.clear()
        say(event="ready", memory=ctypes.addressof(memory), sockets=not why, why=why)
        serve(token, answering, hearing)


def serve(token: str, answering: dict[int, socket.socket], hearing: socket.socket | None) -> None:
    heard = {hearing.fileno(): hearing} if hearing else {}
    while True:
        for fd in select([*answering, *heard], [], [])[0]:
            if fd in heard:
                say(event="datagram", text=heard[fd].recv(4096).decode(errors="replace"))
                continue
            connection, _ = answering[fd].accept()
            with connection:
                connection.recv(4096)  # unread, it would turn the answer into a reset
                connection.sendall(token.encode())


def noted(number: int, frame: FrameType | None) -> None:
    say(event="signal", number=number)


def say(**what: Any) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")


if __name__ == "__main__":
    main()
