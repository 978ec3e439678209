"""The egress proxy with an Internet of its own: a loopback address that counts as public."""

import secrets
import ssl
import subprocess
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, NamedTuple

import anyio
import h11
from anyio.abc import SocketStream, TaskGroup
from anyio.streams.tls import TLSStream

from paddock.sandbox.egress import Decision, EgressProxy, Policy
from paddock.sandbox.egress.address import Address, is_forbidden

Handler = Callable[[Any], Awaitable[None]]

PATIENCE_S = 20.0
ALLOWED = "allowed.example"


class Answer(NamedTuple):
    """What came back for a request."""

    status: int
    reason: str
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


class Client:
    """A connection to the proxy, in bytes."""

    def __init__(self, stream: SocketStream) -> None:
        self.stream = stream

    async def send(self, data: bytes) -> None:
        await self.stream.send(data)

    async def head(self) -> bytes:
        """Return what comes up to the first empty line, and no byte of what follows."""
        said = b""
        with anyio.fail_after(PATIENCE_S):
            while not said.endswith(b"\r\n\r\n"):
                said += await self.stream.receive(1)
        return said

    async def rest(self) -> bytes:
        """Return all that comes until the proxy closes the connection."""
        said = b""
        with anyio.fail_after(PATIENCE_S):
            async for chunk in self.stream:
                said += chunk
        return said

    async def answer(self, method: str = "GET") -> Answer:
        """Return the next answer."""
        http = h11.Connection(h11.CLIENT)
        http.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        http.send(h11.EndOfMessage())
        head, body = None, b""
        with anyio.fail_after(PATIENCE_S):
            while True:
                match http.next_event():
                    case h11.NEED_DATA:
                        try:
                            http.receive_data(await self.stream.receive())
                        except anyio.EndOfStream:
                            http.receive_data(b"")
                    case h11.Response() as head:
                        pass
                    case h11.Data() as data:
                        body += data.data
                    case h11.EndOfMessage():
                        break
                    case other:
                        raise AssertionError(f"no answer but {other!r}")
        assert head is not None
        assert http.trailing_data[0] == b""
        headers = {name.decode(): value.decode() for name, value in head.headers}
        return Answer(head.status_code, head.reason.decode(), headers, body)

    async def tls(self, name: str | None, certificate: Path) -> "TLSStream":
        """Speak TLS in a tunnel, and ask for a name in it."""
        context = ssl.create_default_context(cafile=str(certificate))
        if name is None:
            context.check_hostname = False
        with anyio.fail_after(PATIENCE_S):
            return await TLSStream.wrap(
                self.stream,
                server_side=False,
                hostname=name,
                ssl_context=context,
                standard_compatible=False,
            )


class Host:
    """A host that hears everything and gives every request the same answer, in these bytes."""

    def __init__(self, says: bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello") -> None:
        self.says = says
        self.heard = b""
        self.connections = 0

    async def __call__(self, stream: Any) -> None:
        self.connections += 1
        http = h11.Connection(h11.SERVER)
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                data = await stream.receive()
                self.heard += data
                http.receive_data(data)
            elif isinstance(event, h11.EndOfMessage):
                await stream.send(self.says)
                return


@dataclass
class Egress:
    """A running proxy. The test's own processes are the session ``me``."""

    tasks: TaskGroup
    names: dict[str, list[Address]] = field(default_factory=dict[str, list[Address]])
    policies: dict[str, Policy] = field(default_factory=dict[str, Policy])
    uids: dict[int, str] = field(default_factory=dict[int, str])
    decisions: list[Decision] = field(default_factory=list[Decision])
    lookups: list[str] = field(default_factory=list[str])
    # The whole of 127.0.0.0/8 is this machine: ports 80 and 443 are free on most of it.
    address: IPv4Address = field(
        default_factory=lambda: IPv4Address(
            (127 << 24) + secrets.randbelow((1 << 24) - 4096) + 2048
        )
    )
    public: set[Address] = field(default_factory=set[Address])
    proxy: EgressProxy = field(init=False)

    async def resolve(self, host: str) -> Sequence[Address]:
        self.lookups.append(host)
        if host not in self.names:
            raise OSError(2, "no such name")
        return self.names[host]

    def is_forbidden(self, address: Address) -> bool:
        return address not in self.public and is_forbidden(address)

    async def host(
        self, handler: Handler, port: int = 80, tls: ssl.SSLContext | None = None
    ) -> None:
        """Have a host serve on a port of the address that counts as public."""
        listener = await anyio.create_tcp_listener(local_host=self.address, local_port=port)

        async def serve(stream: SocketStream) -> None:
            try:
                async with stream:
                    if tls is None:
                        await handler(stream)
                        return
                    async with await TLSStream.wrap(
                        stream, server_side=True, ssl_context=tls, standard_compatible=False
                    ) as secure:
                        await handler(secure)
            except (anyio.EndOfStream, anyio.BrokenResourceError, h11.RemoteProtocolError):
                pass  # the proxy went away, as it may

        async def run() -> None:
            async with listener:
                await listener.serve(serve)

        self.tasks.start_soon(run)

    @asynccontextmanager
    async def client(self, host: str = "127.0.0.1") -> AsyncGenerator[Client]:
        """Connect to the proxy."""
        async with await anyio.connect_tcp(host, self.proxy.port) as stream:
            yield Client(stream)

    async def ask(self, said: bytes, method: str = "GET") -> Answer:
        """Say something on a connection of its own, and return the answer."""
        async with self.client() as client:
            await client.send(said)
            return await client.answer(method)

    async def ask_as(self, uid: int, said: str) -> str:
        """Say something as another user; return all that is answered."""
        line = f"exec 3<>/dev/tcp/127.0.0.1/{self.proxy.port}; printf '{said}' >&3; cat <&3"
        with anyio.fail_after(PATIENCE_S):
            done = await anyio.run_process(
                ["/bin/bash", "-c", line], user=uid, group=uid, extra_groups=[], cwd="/"
            )
        return done.stdout.decode()

    def refusals(self) -> list[str]:
        """Return why what was refused."""
        return [decision.why for decision in self.decisions if not decision.allowed]


@asynccontextmanager
async def egress(**settings: Any) -> AsyncGenerator[Egress]:
    """Serve, with one session that may reach one host; nothing is left of it afterwards."""
    async with anyio.create_task_group() as tasks:
        world = Egress(tasks)
        world.public.add(world.address)
        world.names[ALLOWED] = [world.address]
        world.policies["me"] = Policy((ALLOWED,))
        world.uids[0] = "me"
        settings = {
            "resolve": world.resolve,
            "is_forbidden": world.is_forbidden,
            "on_decision": world.decisions.append,
            **settings,
        }
        world.proxy = EgressProxy(
            policy_of=world.policies.get,
            session_of_uid=world.uids.get,
            **settings,
        )
        async with world.proxy.serving():
            yield world
        left = [
            task.name
            for task in anyio.get_running_tasks()
            if (task.name or "").startswith("egress ")
        ]
        assert left == []
        tasks.cancel_scope.cancel()


def request(
    *headers: str,
    method: str = "GET",
    target: str = f"http://{ALLOWED}/a?b",
    host: str = ALLOWED,
    version: str = "1.1",
    body: str = "",
) -> bytes:
    """Return a request in bytes, whether or not it makes sense."""
    lines = [f"{method} {target} HTTP/{version}", f"Host: {host}", *headers]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def certificate(directory: Path, *names: str) -> Path:
    """Return a file with a certificate for some names, signed by itself, and its key."""
    key, pem = directory / "key.pem", directory / "host.pem"
    options = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2"
    alternatives = ",".join(f"DNS:{name}" for name in names)
    subprocess.run(
        ["openssl", *options.split(), "-subj", f"/CN={names[0]}", "-addext",
         f"subjectAltName={alternatives}", "-keyout", str(key), "-out", str(pem)],
        check=True, capture_output=True, timeout=30,
    )  # fmt: skip
    pem.write_bytes(pem.read_bytes() + key.read_bytes())
    return pem


def server_tls(pem: Path) -> ssl.SSLContext:
    """Return a TLS server's side of a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)
    return context
