"""What is in a file that another may be writing: bounded, and in pieces."""

import errno
import os
from typing import Final

from paddock.sandbox.files.budget import Budget
from paddock.sandbox.files.errors import TooLarge
from paddock.sandbox.files.tree import Tree, opened

__all__ = ["read_file", "read_up_to", "write_all"]

CHUNK: Final = 1 << 20


def read_file(tree: Tree, path: bytes, *, cap: int, offset: int, limit: int | None) -> bytes:
    """Read a regular file, or a part of it. Raises as `Tree.regular` and `read_up_to` do."""
    fd, found = tree.regular(path)
    with opened(fd):
        return read_up_to(fd, found.st_size, tree.budget, cap=cap, offset=offset, limit=limit)


def read_up_to(
    fd: int, size: int, budget: Budget, *, cap: int, offset: int = 0, limit: int | None = None
) -> bytes:
    """Read an open regular file.

    Args:
        fd: The file.
        size: What it was when it was opened; it may have grown or shrunk.
        budget: For how long.
        cap: Bytes that are too many.
        offset: Where to begin.
        limit: Bytes after which to stop.

    Raises:
        TooLarge: There are more than ``cap`` bytes to read.
    """
    if offset > size:
        return b""  # and no number that is too large for the kernel
    if size - offset > cap and (limit is None or limit > cap):
        raise _too_large(cap)
    most = cap + 1 if limit is None else min(limit, cap + 1)
    chunks: list[bytes] = []
    total = 0
    # One more than there should be: that nothing comes after it is known from the first call.
    want = size - offset + 1
    while total < most:
        budget.check()
        want = min(max(want, 1), CHUNK, most - total)
        chunk = os.pread(fd, want, offset + total)
        chunks.append(chunk)
        total += len(chunk)
        if total > cap:
            raise _too_large(cap)
        if len(chunk) < want:
            break
        want = CHUNK
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def write_all(fd: int, data: bytes, budget: Budget) -> None:
    """Write to an open file until everything is written."""
    view = memoryview(data)
    while view:
        budget.check()
        view = view[os.write(fd, view[:CHUNK]) :]


def _too_large(cap: int) -> TooLarge:
    return TooLarge(errno.EFBIG, f"There are more than {cap} bytes to read")
