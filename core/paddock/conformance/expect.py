"""What answers look like: assertions that several tests share."""

from collections.abc import Mapping
from typing import Any, cast

from paddock.conformance.sampling import why_not

__all__ = ["envelope", "error", "fits_schema", "observation", "rpc_error", "rpc_result", "state"]

Frame = dict[str, Any]


def observation(frame: Frame) -> Frame:
    """Expect an observation frame and return its envelope."""
    assert frame["type"] == "observation", f"expected an observation, got {_short(frame)}"
    return envelope(frame["data"])


def envelope(data: Any) -> Frame:
    """Expect an observation's envelope: observation, reward, done; over HTTP, too."""
    assert isinstance(data, dict), f"expected an envelope, got {_short(data)}"
    found = cast("Frame", data)
    for key in ("observation", "reward", "done"):
        assert key in found, f"the envelope has no {key!r}: {_short(found)}"
    assert isinstance(found["observation"], dict), f"the observation is no object: {_short(found)}"
    reward = found["reward"]
    assert reward is None or isinstance(reward, int | float), f"reward is no number: {reward!r}"
    assert isinstance(found["done"], bool), f"done is no boolean: {found['done']!r}"
    return found


def fits_schema(data: Frame, schemas: Mapping[str, Any], *, reset: bool = False) -> None:
    """Expect an envelope to fit the published schema, reward and done put back into it."""
    key = "reset_observation" if reset and schemas.get("reset_observation") else "observation"
    merged = {**data["observation"], "reward": data["reward"], "done": data["done"]}
    why = why_not(merged, schemas[key])
    assert why is None, f"it does not fit /schema's {key}: {why}"


def state(frame: Frame) -> Frame:
    """Expect a state frame and return the state."""
    assert frame["type"] == "state", f"expected a state, got {_short(frame)}"
    found: Frame = frame["data"]
    for key in ("episode_id", "step_count"):
        assert key in found, f"the state has no {key!r}: {_short(found)}"
    return found


def error(frame: Frame, code: str | None = None) -> Frame:
    """Expect an error frame, of a code if one is given, and return its data."""
    assert frame["type"] == "error", f"expected {code or 'an error'}, got {_short(frame)}"
    data: Frame = frame["data"]
    assert isinstance(data.get("message"), str), f"the error has no message: {_short(data)}"
    assert isinstance(data.get("code"), str), f"the error has no code: {_short(data)}"
    assert code in (None, data["code"]), f"expected {code}, got {data['code']}: {data['message']}"
    return data


def rpc_result(response: Frame) -> Any:
    """Expect a JSON-RPC result and return it."""
    assert "result" in response, f"expected a result, got {_short(response)}"
    assert response.get("error") is None, f"both a result and an error: {_short(response)}"
    return response["result"]


def rpc_error(response: Frame, *codes: int) -> Frame:
    """Expect a JSON-RPC error of one of some codes and return it."""
    wanted = " or ".join(map(str, codes))
    found = response.get("error")
    assert isinstance(found, dict), f"expected the error {wanted}, got {_short(response)}"
    failure = cast("Frame", found)
    assert failure.get("code") in codes, f"expected the error {wanted}, got {_short(failure)}"
    assert isinstance(failure.get("message"), str), f"no message: {_short(failure)}"
    return failure


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}..."
