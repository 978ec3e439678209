"""What a session can reach, by mode and level."""

import http.server
import threading
from collections.abc import AsyncGenerator, Generator

import pytest
from anyio import to_thread

from paddock.errors import ConfigurationError
from paddock.limits import Limits
from paddock.sandbox.capture import capture
from paddock.sandbox.confinement import Level
from paddock.sandbox.exits import listening_ports
from paddock.sandbox.sandbox import Sandbox
from paddock.sandbox.sandboxes import Sandboxes

LEVELS = (
    Level.NAMESPACES,
    pytest.param(Level.UID, marks=pytest.mark.root),
    Level.LANDLOCK,
)
_FETCH = """
import sys, urllib.request
try:
    print(urllib.request.urlopen(sys.argv[1], timeout=5).status)
except Exception as exc:
    print(exc, getattr(exc, "read", lambda: b"")().decode())
"""


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()


@pytest.fixture
def server() -> Generator[int]:
    """A port of this process's, as the server's own is."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Quiet) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield served.server_address[1]
        served.shutdown()
        thread.join()


@pytest.fixture(params=LEVELS, ids=str)
async def sandboxes(request: pytest.FixtureRequest) -> AsyncGenerator[Sandboxes]:
    async with Sandboxes.serving(request.param) as sandboxes:
        yield sandboxes


async def python(sandbox: Sandbox, code: str, *args: str) -> str:
    parts: list[bytes] = []
    await capture(sandbox, ["python3", "-I", "-S", "-c", code, *args], parts.append, limit_s=15)
    return b"".join(parts).decode()


async def fetched(sandbox: Sandbox, url: str) -> str:
    return await python(sandbox, _FETCH, url)


async def test_off_is_no_network_at_all(sandboxes: Sandboxes, server: int):
    sandbox = await sandboxes.take()
    assert "Permission denied" in await fetched(sandbox, f"http://127.0.0.1:{server}/")
    assert "Permission denied" in await python(
        sandbox, "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)"
    )


async def test_the_allow_list_leads_to_the_proxy_and_nowhere_else(
    sandboxes: Sandboxes, server: int, caplog: pytest.LogCaptureFixture
):
    caplog.set_level("INFO", logger="paddock.sandbox.egress")
    sandbox = await sandboxes.take(Limits(network="allowlist", allow_hosts=("example.com",)))
    other = await sandboxes.take(Limits(network="allowlist", allow_hosts=("localhost",)))
    assert "403" in (said := await fetched(sandbox, "http://example.org/"))
    assert "'example.org' is not on this session's list" in said
    assert f"session {sandbox.name}: GET example.org:80" in caplog.text
    # What is on the list but this machine's own is refused by its address.
    assert "403" in await fetched(other, f"http://localhost:{server}/")
    # Around the proxy there is nothing.
    direct = (
        "import socket, sys\n"
        "try: socket.create_connection(('127.0.0.1', int(sys.argv[1])), 5); print('connected')\n"
        "except OSError as exc: print(exc)\n"
    )
    assert "connected" not in await python(sandbox, direct, str(server))
    udp = (
        "import socket\n"
        "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('8.8.8.8', 53))\n"
    )
    said = await python(sandbox, udp)
    assert "PermissionError" in said or "unreachable" in said
    # Killed and started again, the way out is there again.
    await sandbox.kill()
    assert "403" in await fetched(sandbox, "http://example.org/")


async def test_a_list_that_makes_no_sense_is_said_at_once(sandboxes: Sandboxes):
    with pytest.raises(ConfigurationError, match=r"'http://x': |'http://x' is no host"):
        await sandboxes.take(Limits(network="allowlist", allow_hosts=("http://x",)))


async def test_loopback_is_one_s_own_or_is_not_to_be_had(sandboxes: Sandboxes, server: int):
    limits = Limits(network="loopback")
    if sandboxes.level is not Level.NAMESPACES:
        with pytest.raises(ConfigurationError, match="'loopback' needs isolation level namespaces"):
            await sandboxes.take(limits)
        return
    sandbox = await sandboxes.take(limits)
    talk = (
        "import socket\n"
        "server = socket.create_server(('127.0.0.1', 8000))\n"
        "client = socket.create_connection(('localhost', 8000))\n"
        "peer, _ = server.accept(); peer.sendall(b'hello'); print(client.recv(5))\n"
        "try: socket.create_connection(('127.0.0.1', PORT), 2)\n"
        "except OSError as exc: print(exc)\n"
        "try: socket.create_connection(('1.1.1.1', 80), 2)\n"
        "except OSError as exc: print(exc)\n"
    ).replace("PORT", str(server))
    said = await python(sandbox, talk)
    assert said.startswith("b'hello'")
    assert "refused" in said
    assert "unreachable" in said


async def test_full_is_the_machine_s_without_the_server_s_own_ports(
    sandboxes: Sandboxes, server: int
):
    assert server in await to_thread.run_sync(listening_ports)
    sandbox = await sandboxes.take(Limits(network="full"))
    assert "Permission denied" in await fetched(sandbox, f"http://127.0.0.1:{server}/")
    assert "Permission denied" in await fetched(sandbox, f"http://[::ffff:127.0.0.1]:{server}/")
    # A port that nobody listens on is refused by nobody but the machine.
    assert "refused" in await fetched(sandbox, "http://127.0.0.1:1/")
