"""The one way in which the server touches a session's files.

::

    SandboxFiles            every verb, one line each          access.py
      on threads of its own, which can be told to stop         threads.py, budget.py
        as the session's user                                  identity.py
          beneath the root, by the kernel's resolution         tree.py
            reading, changing, walking, removing, archives     content.py, changing.py, ...

What a name in the tree stands for can change at any moment, by somebody who wants it to. So nothing
here looks at a path and then uses it, and nothing depends on what was true a moment ago.
"""

from paddock.sandbox.files.access import SandboxFiles
from paddock.sandbox.files.entries import Entry, Walk
from paddock.sandbox.files.errors import Refused, TooLarge
from paddock.sandbox.files.identity import SERVER, Identity
from paddock.sandbox.files.packing import Packed
from paddock.sandbox.files.removal import remove_tree

__all__ = [
    "SERVER",
    "Entry",
    "Identity",
    "Packed",
    "Refused",
    "SandboxFiles",
    "TooLarge",
    "Walk",
    "remove_tree",
]
