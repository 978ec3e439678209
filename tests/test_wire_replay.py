"""The client side of every recorded OpenEnv conversation, played to our server.

``tests/wire`` holds what real OpenEnv 0.10.0 clients and its server said to each other. Here our
server answers the same requests, and each answer is compared with the recorded one: its type, its
code, its status, its shape, and the values that are not accidents of the day. Where ours differs on
purpose, `DIVERGENCES` says so and why, and the test fails when it no longer does.
"""

import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from websockets.exceptions import ConnectionClosed

import probe
import tools_probe
from serving import Served, Wire, serving

WIRE = Path(__file__).parent / "wire"

NOT_OURS = {
    "client_server_restart": "the server restarts in the middle",
    "client_timeout_reconnect": "a client gives up after 1 s; tests/core/test_client.py has ours",
    "http_session_idle_timeout": "idling takes 12 s there; tests/core/test_sessions.py has ours",
    "http_web_interface": "the web interface is a page of its own",
    "ws_abrupt_disconnect_during_step": "records a fault; tests/core/test_sessions.py has ours",
    "ws_idle_timeout_owned": "records a fault; tests/core/test_sessions.py has ours",
    "ws_large_frames": "the frames are too large to be recorded; see below",
    "ws_mcp_tool_default_timeout": "upstream's fixed limit of 30 s; ours is the action's own",
}

EVERYWHERE = "tools are the actions, so every environment has them"
JSON_ERRORS = "errors are JSON here, plain text there"
COUNTED = "a tool call through MCP is a step and counts"
CLOSED = "production mode really closes the control verbs"
STAYS = "a bad frame costs nothing here; there it ends the session"

STANDARD = "standard MCP is spoken, too"
TAKEN = "the session that `initialize` began has the only place"

DIVERGENCES: dict[tuple[str, int], str] = {
    ("client_mcp_tool_production", 5): CLOSED,
    ("client_mcp_tool_production", 9): CLOSED,
    ("client_mcp_tool_production", 11): CLOSED,
    ("client_mcp_tool_production", 16): CLOSED,
    ("client_mcp_tool_simulation", 16): COUNTED,
    ("client_standard_mcp_streamable_http", 0): STANDARD,
    ("client_standard_mcp_streamable_http", 1): STANDARD,
    ("http_factory_failure", 1): "describing the environment needs no instance of it",
    ("http_factory_failure", 2): JSON_ERRORS,
    ("http_factory_failure", 3): JSON_ERRORS,
    ("http_factory_failure", 5): "listing tools needs no instance",
    ("http_factory_failure", 6): "the probe has tasks, and listing them needs no instance",
    ("http_mcp_on_non_mcp_env", 3): EVERYWHERE,
    ("http_mcp_on_non_mcp_env", 4): STANDARD,
    ("http_mcp_on_non_mcp_env", 7): TAKEN,
    ("http_mcp_on_non_mcp_env", 9): EVERYWHERE,
    ("http_mcp_on_non_mcp_env", 11): TAKEN,
    ("http_mcp_on_non_mcp_env", 15): STANDARD,
    ("http_step", 9): JSON_ERRORS,
    ("ws_binary_frame", 3): "a binary frame is read as the JSON it should hold",
    ("ws_binary_frame", 4): STAYS,
    ("ws_errors", 11): "a seed is an integer; upstream lets anything through",
    ("ws_mcp_endpoint", 19): "not an object: a parse error, as over HTTP",
    ("ws_mcp_endpoint", 20): STAYS,
    ("ws_mcp_endpoint_close_self", 8): "who is closed from outside is told so first",
    ("ws_mcp_frames_non_mcp_env", 3): EVERYWHERE,
    ("ws_non_object_json", 4): STAYS,
    ("ws_production_mode_still_has_controls", 3): CLOSED,
    ("ws_production_mode_still_has_controls", 5): CLOSED,
    ("ws_production_mode_still_has_controls", 7): CLOSED,
    ("ws_production_mode_still_has_controls", 13): CLOSED,
}


def recordings() -> list[str]:
    return sorted(p.stem for p in WIRE.glob("*.json") if p.stem not in NOT_OURS)


def load(name: str) -> dict[str, Any]:
    return json.loads((WIRE / f"{name}.json").read_text())


def test_what_is_left_out_is_there():
    assert all((WIRE / f"{name}.json").exists() for name in NOT_OURS)


# What an answer says beyond the recorded one, where no stock client minds.
EXTRA = {
    "error", "retry_after_s", "ignored_options", "max_sessions", "mode", "divergences",
    "n", "isolation", "instruction", "metadata", "split",
}  # fmt: skip
# Accidents of the day, and texts that say more here.
VOLATILE = {
    "session_id", "episode_id", "message", "url", "t", "msg", "description", "closed", "extra",
    "title", "saw_timeout_s", "name", "errors", "detail", "input", "ctx", "closing",
}  # fmt: skip
# What belongs to the environment or to FastAPI, not to the protocol.
OPAQUE = {
    "structured_content", "meta", "version", "paths", "components", "info", "tags", "properties",
}  # fmt: skip


SCHEMAS = {"action", "observation", "state", "reset_observation"}  # of /schema, at the top


def differences(recorded: Any, ours: Any, where: str = "") -> list[str]:
    """Return how an answer differs from the recorded one."""
    key = where.rsplit(".", 1)[-1]
    if recorded is None or ours is None:
        return [] if recorded is ours or key in VOLATILE or ours is not None else [f"{where}: null"]
    if isinstance(recorded, bool | str | int | float) and key in VOLATILE:
        return []
    if type(recorded) is not type(ours):
        return [f"{where}: {type(ours).__name__}, not {type(recorded).__name__}: {ours!r}"]
    if isinstance(recorded, dict):
        return _in_mappings(recorded, ours, where)
    if isinstance(recorded, list):
        if key in ("tools", "content", "errors", "detail"):
            return [] if bool(recorded) == bool(ours) else [f"{where}: {len(ours)} items"]
        if len(recorded) != len(ours):
            return [f"{where}: {len(ours)} items, not {len(recorded)}"]
        pairs = enumerate(zip(recorded, ours, strict=True))
        return [d for i, (a, b) in pairs for d in differences(a, b, f"{where}[{i}]")]
    return [] if recorded == ours else [f"{where}: {ours!r}, not {recorded!r}"]


def _in_mappings(recorded: dict[str, Any], ours: dict[str, Any], where: str) -> list[str]:
    if where.lstrip(".") in SCHEMAS:
        return [] if ours.get("type") == recorded.get("type") else [f"{where}: {ours.get('type')}"]
    ignored = OPAQUE | {"url"}
    found = [f"{where}.{k}: missing" for k in recorded if k not in ours and k not in ignored]
    extra = set(ours) - set(recorded) - EXTRA
    if extra and where.rsplit(".", 1)[-1] not in ("data", "metadata", "result"):
        found += [f"{where}.{key}: unexpected" for key in sorted(extra)]
    for key, value in recorded.items():
        # A tool's result is the environment's; a tool's envelope is not.
        result = key == "data" and "is_error" in recorded
        if key in ours and key not in OPAQUE and not result:
            found += differences(value, ours[key], f"{where}.{key}")
    return found


class Replay:
    """One recording, played event by event."""

    def __init__(self, name: str, server: Served, stack: AsyncExitStack) -> None:
        self.name = name
        self.server = server
        self.stack = stack
        self.wires: dict[int, Wire] = {}
        self.ids: dict[str, str] = {}
        self.found: dict[int, list[str]] = {}

    def translated(self, value: Any) -> Any:
        text = json.dumps(value)
        for recorded, ours in self.ids.items():
            text = text.replace(recorded, ours)
        return json.loads(text)

    def learn(self, recorded: Any, ours: Any) -> None:
        """Remember which of our session ids stands for a recorded one."""
        if isinstance(recorded, dict) and isinstance(ours, dict):
            for key, value in recorded.items():
                if key == "session_id" and isinstance(ours.get(key), str):
                    self.ids[value] = ours[key]
                elif key in ours:
                    self.learn(value, ours[key])

    async def play(self, number: int, event: dict[str, Any]) -> None:
        if event["kind"] == "http":
            await self._http(number, event)
        elif event["dir"] == "client->server":
            await self._client(event)
        else:
            await self._server(number, event)

    async def _http(self, number: int, event: dict[str, Any]) -> None:
        request, recorded = self.translated(event["request"]), event["response"]
        body = request["body"]
        content = body if isinstance(body, str) else None if body is None else json.dumps(body)
        headers = {"content-type": "application/json"} if content else {}
        async with httpx.AsyncClient(base_url=self.server.url, timeout=20) as http:
            answer = await http.request(
                request["method"], request["path"], content=content, headers=headers
            )
        try:
            ours: Any = answer.json()
        except ValueError:
            ours = answer.text
        found: list[str] = []
        if answer.status_code != recorded["status"]:
            found.append(f"status {answer.status_code}, not {recorded['status']}: {ours}")
        self.learn(recorded["body"], ours)
        self.found[number] = found + differences(recorded["body"], ours)

    async def _client(self, event: dict[str, Any]) -> None:
        conn = event["conn"]
        match event.get("event"):
            case "connect":
                path = self.translated(event["path"])
                self.wires[conn] = await self.stack.enter_async_context(self.server.ws(path))
            case "disconnect":
                await self.wires[conn].socket.close()
            case _:
                frame = self.translated(event.get("json"))
                if "binary_len" in event:
                    await self.wires[conn].send(b"x" * event["binary_len"])
                elif isinstance(frame, dict) and "__raw_text__" in frame:
                    await self.wires[conn].send(frame["__raw_text__"])
                else:
                    await self.wires[conn].send(frame)

    async def _server(self, number: int, event: dict[str, Any]) -> None:
        wire = self.wires[event["conn"]]
        match event.get("event"):
            case "accept":
                return
            case "close":
                try:
                    with anyio.fail_after(2):
                        said = await wire.socket.recv()
                    self.found[number] = [f"not closed, but said {said!r}"]
                except TimeoutError:
                    self.found[number] = ["not closed"]
                except ConnectionClosed as exc:
                    code = exc.rcvd.code if exc.rcvd else event["code"]
                    wrong = code != event["code"]
                    self.found[number] = [f"closed with {code}"] if wrong else []
            case _:
                try:
                    ours = await wire.receive()
                except ConnectionClosed as exc:
                    self.found[number] = [f"closed: {exc}"]
                    return
                self.learn(event["json"], ours)
                self.found[number] = differences(event["json"], ours)


@pytest.mark.parametrize("name", recordings())
async def test_a_recorded_conversation(name: str):
    recording = load(name)
    said = f"{recording['server']} {recording['description']}"
    spec = probe.FAILING if "Failing" in said else probe.SPEC
    spec = tools_probe.SPEC if "ToolEnv" in said else spec
    spec = probe.NO_TASKS if "NoTaskEnv" in said else spec
    most = int(said.split("max=")[1].split()[0].rstrip(",")) if "max=" in said else 4
    mode = "production" if "production" in recording["server"] else "simulation"
    async with serving(spec, capacity=most, mode=mode, queue_s=0.1) as server:
        async with AsyncExitStack() as stack:
            replay = Replay(name, server, stack)
            for number, event in enumerate(recording["events"]):
                await replay.play(number, event)
    unexpected = {n: f for n, f in replay.found.items() if f and (name, n) not in DIVERGENCES}
    assert not unexpected, "\n".join(f"event {n}: {f}" for n, f in unexpected.items())
    stale = [n for (r, n) in DIVERGENCES if r == name and not replay.found.get(n)]
    assert not stale, f"these events are as recorded after all: {stale}"
