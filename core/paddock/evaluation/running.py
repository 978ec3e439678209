"""Which processes a sandbox has."""

from paddock.sandbox.sandbox import Sandbox
from paddock.sandbox.usage import children, descendants, processes

__all__ = ["pids_in"]


def pids_in(sandbox: Sandbox) -> set[int]:
    """Return the living processes of a sandbox, those that keep its namespaces included. Blocks."""
    uid = sandbox.identity.uid
    if uid is not None:
        uses = [use for use in processes() if use.uid == uid]
    else:  # then each has a zygote of its own
        uses = descendants(children(processes()), sandbox.forks.pid)
    return {use.pid for use in uses if use.tables}  # what is dead and not waited for has no memory
