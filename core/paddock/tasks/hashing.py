"""The content of a task directory as one hash."""

import hashlib
import os
from functools import lru_cache
from pathlib import Path

__all__ = ["hash_of_folder"]

Signature = tuple[tuple[str, int, int, int], ...]


def hash_of_folder(folder: Path) -> str:
    """Return the hash of names, executable bits and contents of all files below a directory.

    Neither times nor owners are in it, so that a copy has the same. What has not changed since the
    last time, as far as the file system says, is not read again.

    Raises:
        OSError: A file cannot be read.
    """
    return _hash(folder, _signature(folder))


def _signature(folder: Path) -> Signature:
    found: list[tuple[str, int, int, int]] = []
    for below, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if name != "__pycache__"]
        links = [name for name in folders if (Path(below) / name).is_symlink()]
        for name in (*names, *links):
            path = Path(below) / name
            seen = path.lstat()
            where = str(path.relative_to(folder))
            found.append((where, seen.st_mode, seen.st_size, seen.st_mtime_ns))
    return tuple(sorted(found))


@lru_cache(maxsize=1024)
def _hash(folder: Path, signature: Signature) -> str:
    total = hashlib.sha256()
    for name, mode, _, _ in signature:
        path = folder / name
        if path.is_symlink():
            kind, content = "link", os.fsencode(path.readlink())
        else:
            kind, content = ("run" if mode & 0o100 else "file"), path.read_bytes()
        total.update(f"{kind} {len(content)} {name}\0".encode("utf-8", "surrogateescape"))
        total.update(hashlib.sha256(content).digest())
    return f"sha256:{total.hexdigest()}"
