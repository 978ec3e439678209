"""Run a server in this process, from its first log line to its exit code."""

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import anyio
import uvicorn

from paddock.catalog import EnvSpec
from paddock.manager import SessionManager
from paddock.sandbox.linux import set_not_dumpable
from paddock.server.app import create_app
from paddock.server.logs import configure_logging
from paddock.server.settings import Settings

__all__ = ["serve"]

DRAIN_S = 3.0
GRACE_S = 1
LAST_RESORT_S = 7.5
"""Whatever hangs, the process is gone 8 s after SIGTERM: Docker kills after 10, and OpenEnv's
LocalDockerProvider gives `docker stop` just as long before it leaves the container behind."""

logger = logging.getLogger(__name__)


def serve(
    spec: EnvSpec,
    settings: Settings,
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    uds: str | None = None,
    control_fd: int | None = None,
    log_level: str = "info",
    log_format: str = "text",
) -> int:
    """Serve an environment until SIGTERM or SIGINT.

    Args:
        spec: The environment.
        settings: What the server is told.
        host: The address to bind.
        port: The port to bind; 0 takes a free one.
        uds: A UNIX socket's path, instead of host and port.
        control_fd: One end of a socket: the server writes its URL there when it is ready, and
            exits when the other end closes.
        log_level: ``debug``, ``info``, ``warning`` or ``error``.
        log_format: ``text``, or ``json`` for one object per line.

    Returns:
        The process's exit status.

    Raises:
        CatalogError: The environment cannot be imported.
        ConfigurationError: The settings do not allow to serve this address, or ask for an isolation
            that cannot be had here.
    """
    configure_logging(log_level, log_format)
    settings.check_bind(None if uds else host)
    # Before anything else: a server that cannot keep its sessions apart does not start.
    isolation = None
    if spec.sandbox is not None:
        isolation = anyio.run(settings.isolate)
        set_not_dumpable()  # where a session shares the server's user, for one wall more
    app = create_app(spec, settings, isolation)
    try:
        listener = _listen(host, port, uds)
    except OSError as exc:
        logger.error("cannot listen on %s: %s", uds or f"{host}:{port}", exc)
        return 1
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        lifespan="on",
        server_header=False,
        # Compressing a frame costs more than the rest of a step; the network is rarely the limit.
        ws_per_message_deflate=False,
        # A trainer may be busy for a while; a dead peer's kernel answers nothing for longer.
        ws_ping_interval=20,
        ws_ping_timeout=120,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config, app.state.manager, uds or _url(listener), control_fd)
    with listener:
        server.run(sockets=[listener])
    if uds:
        Path(uds).unlink(missing_ok=True)
    return 0 if server.started else 1


def _listen(host: str, port: int, uds: str | None) -> socket.socket:
    """Bind here and not in uvicorn, which looks the host up on four threads of libuv's."""
    if uds is not None:
        listener = socket.socket(socket.AF_UNIX)
        Path(uds).unlink(missing_ok=True)
        listener.bind(uds)
    else:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    listener.setblocking(False)
    return listener


class _Server(uvicorn.Server):
    """A uvicorn server that says when it is ready, and drains before it closes connections."""

    def __init__(
        self, config: uvicorn.Config, manager: SessionManager, name: str, control_fd: int | None
    ) -> None:
        super().__init__(config)
        self._manager = manager
        self._name = name
        self._control = None if control_fd is None else socket.socket(fileno=control_fd)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        reference, capacity = self._manager.spec.reference, self._manager.limits.capacity
        logger.info("serving %s on %s (%d sessions)", reference, self._name, capacity)
        if self._control is not None:
            self._control.sendall(f"{self._name}\n".encode())
            threading.Thread(target=self._wait_for_parent, name="lifeline", daemon=True).start()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        logger.info("draining %d sessions", self._manager.active)
        for server in self.servers:
            server.close()
        with anyio.move_on_after(DRAIN_S + 0.5):
            await self._manager.drain(DRAIN_S)
        await super().shutdown(sockets)

    @contextmanager
    def capture_signals(self) -> Generator[None]:
        # uvicorn raises the signal again afterwards; a server that was asked to stop and did so
        # has done well and exits with 0.
        signals = (signal.SIGTERM, signal.SIGINT)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            self.force_exit = True
        else:
            self.should_exit = True
            # A thread, because what hangs may be the event loop itself.
            timer = threading.Timer(LAST_RESORT_S, _give_up)
            timer.daemon = True
            timer.start()

    def _wait_for_parent(self) -> None:
        assert self._control is not None
        while self._control.recv(1024):
            pass
        os.kill(os.getpid(), signal.SIGTERM)


def _give_up() -> None:
    logger.error("still not shut down after %s s; exiting now", LAST_RESORT_S)
    sys.stderr.flush()
    os._exit(1)


def _url(sock: socket.socket) -> str:
    host, port = sock.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
