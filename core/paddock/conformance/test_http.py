"""The HTTP routes."""

import uuid
from typing import Any

import httpx
import jsonschema
import pytest

from paddock.conformance import expect
from paddock.conformance.requirements import requirement
from paddock.conformance.sampling import Misfit
from paddock.conformance.wire import Server, parse

Frame = dict[str, Any]

CONTROLS = ("/reset", "/step", "/state")
MCP_TITLES = {"Action", "CallToolAction", "ListToolsAction"}


def body(answer: httpx.Response, status: int = 200) -> Any:
    assert answer.status_code == status, f"HTTP {answer.status_code}: {answer.text[:200]}"
    return parse(answer.content)


def refusals(answer: httpx.Response) -> list[Frame]:
    """Expect HTTP 422 with a list of what is wrong and where."""
    detail = body(answer, 422)["detail"]
    assert isinstance(detail, list), f"`detail` is no list: {detail}"
    assert detail, "`detail` is empty"
    for error in detail:  # pyright: ignore[reportUnknownVariableType]
        for key in ("type", "loc", "msg"):
            assert key in error, f"an error without {key!r}: {error}"
    return detail  # pyright: ignore[reportUnknownVariableType]


def new_id() -> str:
    return str(uuid.uuid4())


# -- what a server says of itself -----------------------------------------------------------------


@requirement("http.health")
def test_health_is_healthy(http: httpx.Client) -> None:
    assert body(http.get("/health"))["status"] == "healthy"


@requirement("http.metadata")
def test_metadata_has_a_name_and_a_description(http: httpx.Client) -> None:
    metadata = body(http.get("/metadata"))
    assert isinstance(metadata["name"], str)
    assert isinstance(metadata["description"], str)


@requirement("http.schema")
@pytest.mark.parametrize("which", ["action", "observation", "state", "reset_observation"])
def test_schemas_are_json_schemas(http: httpx.Client, which: str) -> None:
    schemas = body(http.get("/schema"))
    if which == "reset_observation" and schemas.get(which) is None:
        pytest.skip("resets are answered as steps are")
    assert isinstance(schemas[which], dict)
    jsonschema.Draft202012Validator.check_schema(schemas[which])


@requirement("http.action.title")
def test_the_action_schema_has_a_title_of_its_own(schemas: Frame) -> None:
    title = schemas["action"].get("title")
    assert title not in MCP_TITLES, f"the title is {title!r}"


@requirement("http.openapi")
def test_openapi_has_a_version_and_paths(http: httpx.Client) -> None:
    document = body(http.get("/openapi.json"))
    assert isinstance(document["info"]["version"], str)
    assert document["paths"]


@requirement("http.mode")
def test_the_routes_agree_with_the_mode(http: httpx.Client) -> None:
    paths = body(http.get("/openapi.json"))["paths"]
    listed = [path for path in CONTROLS if path in paths]
    assert listed in ([], list(CONTROLS)), f"only {listed} are there"
    if not listed:
        for path in CONTROLS:
            answer = http.get(path) if path == "/state" else http.post(path, json={})
            assert answer.status_code in (404, 405), f"{path}: {answer.status_code}"


@requirement("http.errors")
def test_an_unknown_path_is_not_found(http: httpx.Client) -> None:
    assert "detail" in body(http.get("/no/such/path"), 404)


@requirement("http.errors")
def test_a_wrong_method_is_not_allowed(http: httpx.Client) -> None:
    assert "detail" in body(http.post("/schema"), 405)


@requirement("http.tasks")
def test_the_splits_are_listed_or_there_are_none(http: httpx.Client) -> None:
    names = body(http.get("/list_environments"))
    assert isinstance(names, list)
    assert names, "no environment is listed"
    splits = http.get(f"/{names[0]}/splits")
    if splits.status_code == 501:
        assert "detail" in parse(splits.content)
    else:
        assert isinstance(body(splits), list)


@requirement("http.tasks")
def test_an_unknown_environment_has_no_splits(http: httpx.Client) -> None:
    assert "detail" in body(http.get("/no_such_environment/splits"), 404)


# -- reset, step, state ---------------------------------------------------------------------------


@requirement("http.reset")
@pytest.mark.parametrize(
    "options",
    [
        None,
        {},
        {"seed": 42},
        {"seed": None, "episode_id": None},
        {"episode_id": "conformance", "no_such_option": [1, {"two": None}]},
    ],
    ids=["no body", "nothing", "seed", "nulls", "id and unknown option"],
)
def test_a_reset_is_answered(http: httpx.Client, simulation: None, options: Frame | None) -> None:
    try:
        answer = http.post("/reset") if options is None else http.post("/reset", json=options)
        envelope = expect.envelope(body(answer))
        assert "metadata" in envelope, "over HTTP the envelope always has metadata"
    finally:
        http.post("/close", json={"episode_id": "conformance"})  # where that bound a session


@requirement("http.reset.validates")
@pytest.mark.parametrize(
    ("content", "where"),
    [
        ('{"seed": -1}', ["body", "seed"]),
        ('{"seed": "x"}', ["body", "seed"]),
        ('{"episode_id": "' + "x" * 256 + '"}', ["body", "episode_id"]),
        ('{"episode_id": 7}', ["body", "episode_id"]),
        ("[1]", ["body"]),
        ("{bad", ["body"]),
    ],
    ids=["negative seed", "text as seed", "long id", "number as id", "array", "no JSON"],
)
def test_a_bad_reset_is_refused(
    http: httpx.Client, simulation: None, content: str, where: list[str]
) -> None:
    headers = {"content-type": "application/json"}
    errors = refusals(http.post("/reset", content=content, headers=headers))
    assert errors[0]["loc"][: len(where)] == where


@requirement("http.step")
@pytest.mark.parametrize("extra", [{}, {"timeout_s": 30.0, "request_id": "r-1", "no_such": 1}])
def test_a_step_is_answered(http: httpx.Client, action: Frame, extra: Frame) -> None:
    envelope = expect.envelope(body(http.post("/step", json={"action": action, **extra})))
    assert "metadata" in envelope, "over HTTP the envelope always has metadata"


@requirement("ws.observation.schema")
def test_observations_over_http_fit_the_schema(
    http: httpx.Client, schemas: Frame, action: Frame
) -> None:
    expect.fits_schema(expect.envelope(body(http.post("/reset"))), schemas, reset=True)
    answer = http.post("/step", json={"action": action})
    expect.fits_schema(expect.envelope(body(answer)), schemas)


@requirement("http.step.validates")
@pytest.mark.parametrize(
    ("change", "field"),
    [({"action": None}, "action"), ({"action": "x"}, "action"), ({"timeout_s": 0}, "timeout_s")],
    ids=["null", "text", "no time"],
)
def test_a_bad_step_is_refused(
    http: httpx.Client, simulation: None, sample_action: Frame, change: Frame, field: str
) -> None:
    errors = refusals(http.post("/step", json={"action": sample_action, **change}))
    assert errors[0]["loc"][:2] == ["body", field]


@requirement("http.step.validates")
def test_a_step_without_an_action_is_refused(http: httpx.Client, simulation: None) -> None:
    assert refusals(http.post("/step", json={}))[0]["loc"] == ["body", "action"]


@requirement("http.step.action")
def test_an_action_that_does_not_fit_is_refused(
    http: httpx.Client, simulation: None, bad_action: Misfit
) -> None:
    errors = refusals(http.post("/step", json={"action": bad_action.value}))
    named = [error for error in errors if bad_action.field in error["loc"]]
    assert named, f"{bad_action.value}: no error names {bad_action.field!r}: {errors}"


@requirement("http.state")
def test_the_state_has_the_episode_and_its_steps(http: httpx.Client, simulation: None) -> None:
    state = body(http.get("/state"))
    assert "episode_id" in state
    assert isinstance(state["step_count"], int)


# -- sessions over HTTP ---------------------------------------------------------------------------


@requirement("http.session.header")
def test_a_header_binds_requests_to_a_session(
    server: Server, http: httpx.Client, action: Frame
) -> None:
    session, episode = {"X-Session-Id": new_id()}, new_id()
    try:
        body(http.post("/reset", json={"episode_id": episode}, headers=session))
        body(http.post("/step", json={"action": action}, headers=session))
        state = body(http.get("/state", headers=session))
        assert (state["episode_id"], state["step_count"]) == (episode, 1), "another session"
    finally:
        http.post("/close", headers=session)


@requirement("http.session.episode")
def test_an_episode_id_binds_requests_to_a_session(http: httpx.Client, action: Frame) -> None:
    episode = {"episode_id": new_id()}
    try:
        body(http.post("/reset", json=episode))
        body(http.post("/step", json={"action": action, **episode}))
        state = body(http.get("/state", params=episode))
        found = state["episode_id"], state["step_count"]
        assert found == (episode["episode_id"], 1), "another session"
    finally:
        http.post("/close", json=episode)


# -- the token ------------------------------------------------------------------------------------


@pytest.fixture
def stranger(server: Server) -> Server:
    """The same server, asked without the token."""
    if not server.headers:
        pytest.skip("the server is asked without a token (--token)")
    return Server(server.url)


@requirement("http.token")
def test_without_the_token_only_health_answers(stranger: Server) -> None:
    with stranger.http as http:
        assert http.get("/health").status_code == 200
        answers = [http.get("/schema"), http.post("/reset"), http.post("/mcp", json={})]
    for answer in answers:
        assert answer.status_code == 401, f"{answer.url.path}: HTTP {answer.status_code}"
        assert "detail" in parse(answer.content)


@requirement("http.token")
@pytest.mark.parametrize("path", ["/ws", "/mcp"])
def test_without_the_token_no_connection_is_made(stranger: Server, path: str) -> None:
    with pytest.raises(AssertionError, match="HTTP 401"):
        stranger.connect(path).close()
