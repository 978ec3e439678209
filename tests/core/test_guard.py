"""Who may come in."""

import anyio
import httpx
import pytest
from websockets.exceptions import InvalidStatus

import probe
from paddock.errors import ConfigurationError
from paddock.server import Settings
from paddock.server.guard import Guard
from serving import serving

DOORS = [
    ("POST", "/reset"), ("POST", "/step"), ("GET", "/state"), ("POST", "/mcp"),
    ("GET", "/metadata"), ("GET", "/schema"), ("GET", "/metrics"), ("GET", "/openapi.json"),
    ("GET", "/docs"), ("POST", "/evaluate"), ("POST", "/close"), ("GET", "/list_environments"),
    ("POST", "/s/some-id/reset"), ("GET", "/nowhere"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), DOORS)
async def test_every_door_asks_for_the_token(method: str, path: str):
    async with serving(probe.SPEC, token="secret") as server:
        async with httpx.AsyncClient(base_url=server.url) as http:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "secret"}):
                answer = await http.request(method, path, headers=headers)
                assert answer.status_code == 401
                assert "Bearer" in answer.json()["detail"]
            good = {"Authorization": "Bearer secret"}
            answer = await http.request(method, path, headers=good)
            assert answer.status_code != 401


@pytest.mark.parametrize("path", ["/ws", "/mcp", "/s/some-id/ws"])
async def test_every_socket_asks_for_the_token(path: str):
    async with serving(probe.SPEC, token="secret") as server:
        with pytest.raises(InvalidStatus) as refused:
            async with server.ws(path):
                pass
        assert refused.value.response.status_code == 401
        async with server.ws(path, authorization="Bearer secret") as wire:
            assert await wire.ask({})


async def test_health_needs_no_token():
    async with serving(probe.SPEC, token="secret") as server, httpx.AsyncClient() as http:
        assert (await http.get(f"{server.url}/health")).status_code == 200


async def test_nothing_is_asked_on_loopback():
    async with serving(probe.SPEC) as server:
        async with server.ws(origin="https://elsewhere.example") as wire:
            assert await wire.ask({"type": "reset"})


async def test_a_foreign_origin_stays_outside_once_anything_is_checked():
    async with serving(probe.SPEC, allowed_origins=("https://good.example",)) as server:
        async with server.ws(origin="https://good.example") as wire:
            assert await wire.ask({"type": "reset"})
        async with server.ws(origin=server.url) as wire:
            assert await wire.ask({"type": "reset"})
        with pytest.raises(InvalidStatus) as refused:
            async with server.ws(origin="https://evil.example"):
                pass
        assert refused.value.response.status_code == 403


async def test_a_foreign_host_header_stays_outside():
    async with serving(probe.SPEC, allowed_hosts=("env.example",)) as server:
        async with httpx.AsyncClient(base_url=server.url) as http:
            assert (await http.get("/metadata")).status_code == 403
            good = await http.get("/metadata", headers={"Host": "env.example:8000"})
            assert good.status_code == 200


async def test_a_body_that_is_too_long_is_not_read():
    head = b"POST /step HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % (17 << 20)
    async with serving(probe.SPEC) as server:
        async with await anyio.connect_tcp("127.0.0.1", server.port) as stream:
            await stream.send(head)
            assert (await stream.receive()).startswith(b"HTTP/1.1 413 ")


async def test_a_body_without_end_is_cut_off():
    async def endless():
        for _ in range(20):
            yield b"x" * (1 << 20)

    async with serving(probe.SPEC) as server, httpx.AsyncClient(base_url=server.url) as http:
        with pytest.raises(httpx.HTTPError):
            (await http.post("/mcp", content=endless())).raise_for_status()
        assert (await http.get("/health")).status_code == 200


async def test_a_public_address_needs_a_token_whoever_started_the_server():
    answered: list[int] = []

    async def app(scope: object, receive: object, send: object) -> None:
        answered.append(200)

    async def send(message: dict[str, object]) -> None:
        if "status" in message:
            answered.append(int(str(message["status"])))

    async def receive() -> dict[str, object]:
        return {"type": "http.request"}

    scope = {
        "type": "http", "path": "/ws", "headers": [], "server": ("172.17.0.2", 8000),
    }  # fmt: skip
    await Guard(app, Settings())(scope, receive, send)  # type: ignore[arg-type]
    await Guard(app, Settings(insecure=True))(scope, receive, send)  # type: ignore[arg-type]
    assert answered == [403, 200]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.4", "example.org"])
def test_a_public_bind_without_a_token_is_refused(host: str):
    with pytest.raises(ConfigurationError, match="--token"):
        Settings().check_bind(host)
    Settings(token="x").check_bind(host)
    Settings(insecure=True).check_bind(host)


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "localhost", "127.9.9.9", None])
def test_loopback_needs_nothing(host: str | None):
    Settings().check_bind(host)


@pytest.mark.parametrize(
    "environ",
    [
        {"PADDOCK_CAPACITY": "many"},
        {"PADDOCK_CAPACITY": "0"},
        {"PADDOCK_MODE": "both"},
        {"PADDOCK_INSECURE": "maybe"},
        {"PADDOCK_STEP_S": "0"},
        {"PADDOCK_IDLE_S": "nan"},
    ],
    ids=str,
)
def test_settings_that_make_no_sense_are_refused(environ: dict[str, str]):
    with pytest.raises(ConfigurationError):
        Settings.from_environment(environ)


def test_settings_come_from_the_environment_and_openenvs_names_count():
    environ = {"MAX_CONCURRENT_ENVS": "7", "OPENENV_MODE": "production", "PADDOCK_IDLE_S": "5"}
    settings = Settings.from_environment(environ, idle_s=6.0)
    assert (settings.capacity, settings.mode, settings.idle_s) == (7, "production", 6.0)
