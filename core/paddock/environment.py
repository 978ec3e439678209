"""What an environment is, and the one place that bridges blocking ones to the event loop.

Sync or async is decided once, when a session starts: from then on everything is an `Environment`.
"""

import logging
import queue
import threading
from abc import ABC, abstractmethod
from asyncio import Future, get_running_loop
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from paddock.errors import NotAvailable, StepFailed
from paddock.limits import Limits
from paddock.types import Action, Episode, Observation, ResetOptions, State

if TYPE_CHECKING:  # a client imports this module, and has no use for sandboxes
    from paddock.sandbox.sandboxes import Sandboxes

__all__ = ["AnyEnvironment", "BlockingEnvironment", "Context", "Environment", "bridge"]

ActionT = TypeVar("ActionT", bound=Action)
ObservationT = TypeVar("ObservationT", bound=Observation)
OptionsT = TypeVar("OptionsT", bound=ResetOptions)
T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Context:
    """What a server tells an environment about the session it serves.

    Attributes:
        session_id: Random unless the client chose it; names the session in logs.
        step_limit_s: Seconds after which the server cancels a step. An action's own time limit
            must end before it, so that the agent gets an observation and not an error.
        evaluate_limit_s: The same for `Environment.evaluate`, which runs a task's check.
        max_answer_bytes: Largest answer the server sends. Outputs are cut to fit.
        limits: What the session may use, if a reset does not say otherwise.
        sandboxes: Where processes and files go, if the environment's spec asks for sandboxes.
    """

    session_id: str = "local"
    step_limit_s: float = 55.0
    evaluate_limit_s: float = 900.0
    max_answer_bytes: int = 1 << 20
    limits: Limits = field(default_factory=Limits)
    sandboxes: "Sandboxes | None" = None


class Environment(ABC, Generic[ActionT, ObservationT, OptionsT]):
    """One world for one session. Nothing in it may block the event loop.

    The session guarantees one call at a time, a reset before anything else, and `close` at the
    end, whatever happened before. A call may be cancelled; the environment stays usable then.

    Raise an `EnvError` for what the client should know by class; any other exception becomes
    `StepFailed` with the exception's text, and the session goes on.
    """

    def __init__(self, context: Context | None = None) -> None:
        """Construct cheaply: what costs time or resources belongs into `reset`."""
        self.context = context or Context()

    @abstractmethod
    async def reset(self, episode: Episode[OptionsT]) -> ObservationT:
        """Begin an episode from a clean state and return its first observation."""

    @abstractmethod
    async def step(self, action: ActionT) -> ObservationT:
        """Carry out one action and return what the agent sees of it."""

    async def state(self) -> State:
        """Return what a trainer may inspect. The session fills in episode id and step count."""
        return State()

    async def evaluate(self) -> ObservationT:
        """End the episode with the task's own check: ``done``, the reward, its parts in metadata.

        Raises:
            NotAvailable: The episode has no task that carries a check.
        """
        raise NotAvailable("this episode has no check: reset with a task that carries one")

    async def close(self) -> None:
        """Give everything back. Called once, after the last step; must not raise."""


class BlockingEnvironment(ABC, Generic[ActionT, ObservationT, OptionsT]):
    """An environment whose methods block: it gets a thread of its own for its whole life."""

    def __init__(self, context: Context | None = None) -> None:
        """Construct; runs on the environment's own thread, so it may take its time."""
        self.context = context or Context()

    @abstractmethod
    def reset(self, episode: Episode[OptionsT]) -> ObservationT:
        """Begin an episode from a clean state and return its first observation."""

    @abstractmethod
    def step(self, action: ActionT) -> ObservationT:
        """Carry out one action and return what the agent sees of it."""

    def state(self) -> State:
        """Return what a trainer may inspect."""
        return State()

    def evaluate(self) -> ObservationT:
        """End the episode with the task's own check. See `Environment.evaluate`."""
        raise NotAvailable("this episode has no check: reset with a task that carries one")

    def close(self) -> None:
        """Give everything back."""


AnyEnvironment = Environment[Any, Any, Any]


async def bridge(
    factory: Callable[[Context], AnyEnvironment | BlockingEnvironment[Any, Any, Any]],
    context: Context,
    *,
    blocking: bool,
) -> AnyEnvironment:
    """Construct an environment and hand back an async one, whatever its kind."""
    if not blocking:
        made = factory(context)
        assert isinstance(made, Environment)
        return made
    thread = _Thread(f"env-{context.session_id}")
    inner = await thread.call(lambda: factory(context))
    assert isinstance(inner, BlockingEnvironment)
    return _Bridge(inner, thread, context)


class _Bridge(AnyEnvironment):
    """A blocking environment seen from the event loop: each call runs on its own thread."""

    def __init__(
        self, inner: BlockingEnvironment[Any, Any, Any], thread: "_Thread", context: Context
    ) -> None:
        super().__init__(context)
        self._inner = inner
        self._thread = thread

    async def reset(self, episode: Episode[Any]) -> Observation:
        return await self._thread.call(lambda: self._inner.reset(episode))

    async def step(self, action: Action) -> Observation:
        return await self._thread.call(lambda: self._inner.step(action))

    async def state(self) -> State:
        return await self._thread.call(self._inner.state)

    async def evaluate(self) -> Observation:
        return await self._thread.call(self._inner.evaluate)

    async def close(self) -> None:
        try:
            await self._thread.call(self._inner.close)
        finally:
            self._thread.stop()


class _Thread:
    """A daemon thread that runs one call at a time.

    Not a `ThreadPoolExecutor`: the interpreter joins its threads at exit, so one hung step would
    keep the server from ever exiting.
    """

    def __init__(self, name: str) -> None:
        self._calls: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._busy = False
        threading.Thread(target=self._run, name=name, daemon=True).start()

    async def call(self, function: Callable[[], T]) -> T:
        """Run a function on the thread.

        A cancelled caller does not stop the function: until it returns, further calls fail.

        Raises:
            StepFailed: An earlier, cancelled call is still running.
        """
        if self._busy:
            raise StepFailed("the environment is still busy with an earlier step; try again later")
        loop = get_running_loop()
        future: Future[T] = loop.create_future()

        def settle(result: T | None, error: BaseException | None) -> None:
            self._busy = False
            if future.cancelled():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)  # type: ignore[arg-type]

        def work() -> None:
            result, error = None, None
            try:
                result = function()
            except BaseException as exc:  # noqa: BLE001 - whatever it is, the caller gets it
                error = exc
            try:
                loop.call_soon_threadsafe(settle, result, error)
            except RuntimeError:  # the loop is closed: nobody waits for the answer any more
                logger.debug("a step of %s ended after its server", threading.current_thread().name)

        self._busy = True
        self._calls.put(work)
        return await future

    def stop(self) -> None:
        """Let the thread end after the call in progress."""
        self._calls.put(None)

    def _run(self) -> None:
        while (work := self._calls.get()) is not None:
            work()
