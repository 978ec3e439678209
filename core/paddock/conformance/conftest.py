"""What the tests stand on: the server, connections to it, and an action to step with.

A server may hold a single session, so connections are closed properly after every test, and
opening one allows for the moment the server needs to notice that the last one is over.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from paddock.conformance import expect
from paddock.conformance.requirements import REQUIREMENTS
from paddock.conformance.sampling import Misfit, Unsampleable, misfit, sample
from paddock.conformance.wire import Server, Socket

Frame = dict[str, Any]
Open = Callable[..., Socket]

MAX_SESSIONS = 16
"""A server that holds more is not filled up: sessions may be expensive."""


@pytest.fixture(scope="session")
def env_url(pytestconfig: pytest.Config) -> str:
    """The URL of the server under test."""
    url = pytestconfig.getoption("env_url", default=None)
    if not url:
        pytest.skip("say which server with --env-url (see `paddock check`)")
    return url


@pytest.fixture(scope="session")
def server(env_url: str, pytestconfig: pytest.Config) -> Iterator[Server]:
    """The server under test."""
    token: str | None = pytestconfig.getoption("env_token")
    timeout_s = float(pytestconfig.getoption("env_timeout") or 60)
    server = Server(env_url, token=token, timeout_s=timeout_s)
    with server.http:
        yield server


@pytest.fixture(autouse=True)
def give_up_on_a_server_that_hangs(server: Server) -> None:
    """Spare the waiting where it is known to be in vain."""
    if server.hangs:
        pytest.fail("given up: the server does not answer")


@pytest.fixture(scope="session")
def http(server: Server) -> httpx.Client:
    """A client whose paths continue the server's URL."""
    return server.http


@pytest.fixture(scope="session")
def metadata(http: httpx.Client) -> Frame:
    """What the server says of itself."""
    return http.get("/metadata").json()


@pytest.fixture(scope="session")
def schemas(http: httpx.Client) -> Frame:
    """The body of ``/schema``."""
    return http.get("/schema").json()


@pytest.fixture(scope="session")
def simulation(http: httpx.Client) -> None:
    """Skip a test of reset, step or state where production mode closes them."""
    if "/reset" not in http.get("/openapi.json").json()["paths"]:
        pytest.skip("the server is in production mode: it offers no reset, step and state")


# -- connections ----------------------------------------------------------------------------------


@pytest.fixture
def open_socket(server: Server) -> Iterator[Open]:
    """Open connections as `Server.open` does; they are closed after the test."""
    opened: list[Socket] = []

    def open_(*args: Any, **options: Any) -> Socket:
        opened.append(server.open(*args, **options))
        return opened[-1]

    yield open_
    for socket in opened:
        socket.close()


@pytest.fixture
def connect(server: Server) -> Iterator[Open]:
    """Open connections as `Server.connect` does; they are closed after the test."""
    opened: list[Socket] = []

    def connect_(*args: Any, **options: Any) -> Socket:
        opened.append(server.connect(*args, **options))
        return opened[-1]

    yield connect_
    for socket in opened:
        socket.close()


@pytest.fixture
def any_ws(open_socket: Open) -> Socket:
    """A connection to ``/ws`` with a session behind it, in any mode."""
    socket = open_socket()
    assert socket.refusal is None, f"no session to test with: {socket.refusal}"
    return socket


@pytest.fixture
def ws(simulation: None, any_ws: Socket) -> Socket:
    """A connection to ``/ws`` that takes reset, step and state; it was not reset yet."""
    return any_ws


@pytest.fixture
def session_id(server: Server) -> Iterator[str]:
    """A session that was created through ``/mcp`` and is used by its id."""
    # Whatever the last test used may take a moment to become free: an open connection shows it is.
    server.open("/ws").close()
    created = expect.rpc_result(server.rpc("openenv/session/create"))["session_id"]
    yield created
    server.rpc("openenv/session/close", session_id=created)


@pytest.fixture(scope="session")
def several(server: Server) -> None:
    """Skip a test that needs two sessions where the server holds one."""
    first, second = server.open(), server.open(patience_s=1)
    refused = second.refusal is not None
    second.close()
    first.close()
    if refused:
        pytest.skip("the server holds one session")


@pytest.fixture
def full(server: Server, metadata: Frame, open_socket: Open) -> list[Socket]:
    """All the connections the server has a place for."""
    most = metadata.get("max_sessions")
    if isinstance(most, int) and most > MAX_SESSIONS:
        pytest.skip(f"the server holds {most} sessions; the suite opens {MAX_SESSIONS} at most")
    opened: list[Socket] = []
    while len(opened) != most:
        socket = open_socket(patience_s=0 if opened else 5)
        if socket.refusal is not None:
            break
        opened.append(socket)
        if len(opened) > MAX_SESSIONS:
            pytest.skip(f"the server holds more than {MAX_SESSIONS} sessions")
    return opened


# -- actions --------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def sample_action(schemas: Frame, pytestconfig: pytest.Config) -> Frame:
    """An action that fits the schema: the one that was given, or one made from the schema."""
    given = pytestconfig.getoption("env_action")
    if given:
        return json.loads(given)
    try:
        made = sample(schemas["action"])
    except Unsampleable as exc:
        pytest.skip(f"no action could be made from the schema; give one (--action): {exc}")
    assert isinstance(made, dict), f"an action is an object, and the schema says {made!r}"
    return made  # pyright: ignore[reportUnknownVariableType]


@pytest.fixture(scope="session")
def action(server: Server, simulation: None, sample_action: Frame) -> Frame:
    """An action that was seen to work. What it does is the environment's business."""
    socket = server.open()
    try:
        expect.observation(socket.ask({"type": "reset"}))
        answer = socket.ask({"type": "step", "data": sample_action})
    finally:
        socket.close()
    if answer["type"] == "error":
        why = answer["data"].get("message")
        pytest.skip(f"the sample action {sample_action} fails; give another (--action): {why}")
    return sample_action


@pytest.fixture(scope="session")
def bad_action(schemas: Frame, sample_action: Frame) -> Misfit:
    """An action that provably does not fit the schema."""
    found = misfit(schemas["action"], sample_action)
    if found is None:
        pytest.skip("the action schema lets everything through")
    return found


@pytest.fixture
def slow_action(server: Server, pytestconfig: pytest.Config) -> Iterator[Frame]:
    """An action that takes 5 s or more. Tests name it first, so that it is torn down last.

    A server may be busy with it long after its client has gone, and the next test needs a place.
    """
    given = pytestconfig.getoption("env_slow_action")
    if not given:
        pytest.skip("needs an action that takes 5 s or more (--slow-action)")
    yield json.loads(given)
    server.open(patience_s=server.timeout_s).close()


def pytest_report_header() -> str:
    """Say what is asked for."""
    return f"conformance: {len(REQUIREMENTS)} requirements"
