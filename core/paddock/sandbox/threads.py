"""Worker threads, where there may be a moment in which none can be started."""

import time
from collections.abc import Callable
from typing import TypeVar, TypeVarTuple, Unpack

import anyio
from anyio import to_thread

__all__ = ["run_sync"]

PATIENCE_S = 30.0
PAUSE_S = 0.05
_REFUSED = "can't start new thread"  # what Python says, in no type of its own

_Args = TypeVarTuple("_Args")
_Result = TypeVar("_Result")


async def run_sync(function: Callable[[Unpack[_Args]], _Result], *args: *_Args) -> _Result:
    """Call a function in a worker thread.

    A session that forks without end can take all processes that a container may have, until it is
    killed; threads count as processes. What the server does for itself waits then, for seconds.

    Raises:
        RuntimeError: No thread could be started for half a minute.
    """
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return await to_thread.run_sync(function, *args)
        except RuntimeError as exc:
            if str(exc) != _REFUSED or time.monotonic() > deadline:
                raise
        await anyio.sleep(PAUSE_S)
