"""The tree of failures. A code travels on the wire; a class is raised on both sides of it.

::

    PaddockError
    ├── CatalogError            a name that is not in the catalog, a spec that cannot be loaded
    ├── ConfigurationError      settings that contradict each other or the machine
    ├── ProviderError           a server that could not be started
    ├── EnvLost                 client only: the server or the session is gone
    ├── ConnectionInterrupted   client only: an answer was lost with its connection
    ├── AnswerTimeout           client only: no answer within the client's own limit
    └── EnvError                everything that has a code on the wire
        ├── ProtocolError
        │   ├── InvalidJson         INVALID_JSON
        │   ├── UnknownMessageType  UNKNOWN_TYPE
        │   └── InvalidMessage      VALIDATION_ERROR
        ├── CapacityReached         CAPACITY_REACHED
        ├── SessionError            SESSION_ERROR
        │   ├── UnknownSession
        │   ├── SessionAttached
        │   ├── SessionClosed
        │   └── NotAvailable
        └── EnvironmentFailure
            ├── FactoryFailed       FACTORY_ERROR
            └── StepFailed          EXECUTION_ERROR
                ├── StepTimeout
                ├── EpisodeOver
                └── AnswerTooLarge

The codes are OpenEnv's (``WSErrorCode``). A frame's ``data`` may carry ``error``, the class's name,
so that a client of ours raises exactly what the server raised; a stock client ignores it.
"""

from typing import Any, ClassVar

__all__ = [
    "AnswerTimeout",
    "AnswerTooLarge",
    "CapacityReached",
    "CatalogError",
    "ConfigurationError",
    "ConnectionInterrupted",
    "EnvError",
    "EnvLost",
    "EnvironmentFailure",
    "EpisodeOver",
    "FactoryFailed",
    "InvalidJson",
    "InvalidMessage",
    "NotAvailable",
    "PaddockError",
    "ProtocolError",
    "ProviderError",
    "SessionAttached",
    "SessionClosed",
    "SessionError",
    "StepFailed",
    "StepTimeout",
    "UnknownMessageType",
    "UnknownSession",
    "from_wire",
]


class PaddockError(Exception):
    """The root: catch it to catch everything this package raises on purpose."""


class CatalogError(PaddockError, LookupError):
    """A name that is not in the catalog, or a spec that cannot be loaded."""


class ConfigurationError(PaddockError, ValueError):
    """Settings that contradict each other, or that this machine cannot give."""


class ProviderError(PaddockError, RuntimeError):
    """A server that could not be started, or died before it was healthy."""


class EnvLost(PaddockError, ConnectionError):
    """The server or the session is gone, and with it the episode.

    A trainer marks the rollout *unscored*: it must not count as a reward of 0. Only a reset goes
    on from here, with a new session.
    """


class ConnectionInterrupted(PaddockError, ConnectionError):
    """The connection broke before an answer came; the session may be there still.

    What was asked for may or may not have happened. The next call attaches to the session again.
    """


class AnswerTimeout(PaddockError, TimeoutError):
    """The client waited as long as it was told to. The server may still be at work.

    The session goes on: the late answer is discarded when it comes.
    """


class EnvError(PaddockError):
    """A failure with a code on the wire.

    Args:
        message: One sentence: what was wrong, with what value, and what to do.
        **details: Further keys of the error frame's ``data``.
    """

    code: ClassVar[str] = "EXECUTION_ERROR"

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.message = message
        self.details = details


class ProtocolError(EnvError):
    """The peer sent something that is not a message. Nothing was done."""


class InvalidJson(ProtocolError, ValueError):
    """A frame that is not JSON."""

    code = "INVALID_JSON"


class UnknownMessageType(ProtocolError, ValueError):
    """A JSON object whose ``type`` names no message."""

    code = "UNKNOWN_TYPE"


class InvalidMessage(ProtocolError, ValueError):
    """A message, or the action in it, that does not fit its model.

    ``details["errors"]`` lists pydantic's findings: type, loc, msg, input.
    """

    code = "VALIDATION_ERROR"


class CapacityReached(EnvError):
    """No session was free within the waiting time.

    ``details``: ``active_sessions``, ``max_sessions`` and ``retry_after_s`` (seconds).
    """

    code = "CAPACITY_REACHED"


class SessionError(EnvError):
    """The session cannot do what was asked of it."""

    code = "SESSION_ERROR"


class UnknownSession(SessionError, LookupError):
    """No session has this id (any more)."""


class SessionAttached(SessionError):
    """Another connection is attached to this session; there is one at a time."""


class SessionClosed(SessionError):
    """The server ended this session: idle for too long, or shutting down."""


class NotAvailable(SessionError):
    """The server's mode or the environment does not offer this verb."""


class EnvironmentFailure(EnvError):
    """The environment itself failed."""


class FactoryFailed(EnvironmentFailure):
    """The environment could not be constructed. ``details["factory_name"]`` names it."""

    code = "FACTORY_ERROR"


class StepFailed(EnvironmentFailure):
    """A reset, step or state raised. The session goes on."""

    code = "EXECUTION_ERROR"


class StepTimeout(StepFailed, TimeoutError):
    """The environment did not answer within the server's ceiling and was cancelled."""


class EpisodeOver(StepFailed):
    """The episode was evaluated; only a reset is possible."""


class AnswerTooLarge(StepFailed):
    """The answer exceeds the server's limit and was not sent."""


def _tree(root: type[EnvError]) -> dict[str, type[EnvError]]:
    found = {root.__name__: root}
    for child in root.__subclasses__():
        found |= _tree(child)
    return found


_BY_NAME = _tree(EnvError)
_BY_CODE: dict[str, type[EnvError]] = {
    cls.code: cls
    for cls in (
        InvalidJson,
        UnknownMessageType,
        InvalidMessage,
        CapacityReached,
        SessionError,
        FactoryFailed,
        StepFailed,
    )
}


def from_wire(data: dict[str, Any]) -> EnvError:
    """Rebuild the exception that an error frame's ``data`` describes.

    Only classes of this module can come out: the name on the wire is looked up, never imported.
    """
    details = dict(data)
    message = str(details.pop("message", "the server gave no message"))
    code = str(details.pop("code", ""))
    cls = _BY_NAME.get(str(details.pop("error", ""))) or _BY_CODE.get(code)
    if cls is None:
        return EnvError(message, code=code, **details)
    return cls(message, **details)
