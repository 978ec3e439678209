"""Look for a task's secrets in whatever can be read.

Run inside a sandbox as ``python3 -I scan.py secrets``: the standard library only, and nothing of
Paddock. The secrets come compressed, so that looking does not find itself. Prints a JSON list of
``[task, secret, place]``.
"""

import bz2
import contextlib
import gzip
import hashlib
import io
import json
import lzma
import os
import stat
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

MOST = 8 << 20  # bytes that are looked at of a file, and of what is packed in it
SHORT = 12  # a line has to be longer to tell anything
SHARE = 0.5  # of a secret's telling lines
SYSTEM = ("/proc", "/sys", "/dev")


def telling(data: bytes) -> set[bytes]:
    """Return the lines by which a text is known again."""
    return {line for part in data.splitlines() if len(line := part.strip()) > SHORT}


def found_in(data: bytes, secrets: list[dict[str, Any]]) -> Iterator[tuple[str, str]]:
    """Return task and name of each secret that a text gives away."""
    lines = telling(data)
    for secret in secrets:
        wanted = set(secret["lines"])
        here = secret["text"] in data if secret["exact"] else False
        known = len(wanted & lines) >= SHARE * len(wanted) if wanted else False
        if here or known:
            yield secret["task"], secret["name"]


def unpacked(data: bytes) -> Iterator[bytes]:
    """Return a file's content, and what is packed in it: compressed, a git object, an archive."""
    yield data
    plain = data
    for open_it in (gzip.decompress, bz2.decompress, lzma.decompress, _inflate):
        with contextlib.suppress(OSError, EOFError, ValueError, zlib.error, lzma.LZMAError):
            plain = open_it(data)[:MOST]
            yield plain
            break
    with contextlib.suppress(tarfile.TarError, OSError, EOFError, ValueError):
        with tarfile.open(fileobj=io.BytesIO(plain)) as tar:
            for member in tar:
                if member.isfile() and (file := tar.extractfile(member)) is not None:
                    yield file.read(MOST)
    with contextlib.suppress(zipfile.BadZipFile, OSError, RuntimeError, ValueError):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            for name in archive.namelist():
                with archive.open(name) as file:
                    yield file.read(MOST)


def _inflate(data: bytes) -> bytes:
    return zlib.decompressobj().decompress(data, MOST)


def files(root: str, own: str, *, since: float = 0.0) -> Iterator[tuple[str, int]]:
    """Return path and size of each regular file that can be seen, but for this program's."""
    for folder, names, here in os.walk(root):
        paths = {name: f"{folder.rstrip('/')}/{name}" for name in names}
        names[:] = [n for n, path in paths.items() if path != own]
        for name in here:
            path = f"{folder}/{name}"
            with contextlib.suppress(OSError):
                seen = os.lstat(path)
                if stat.S_ISREG(seen.st_mode) and seen.st_ctime >= since:
                    yield path, seen.st_size


def read(path: str) -> bytes:
    """Return what can be read of a file."""
    with contextlib.suppress(OSError):
        with open(path, "rb") as file:  # noqa: PTH123 - paths are text here, for speed
            return file.read(MOST)
    return b""


def near(plan: dict[str, Any], secrets: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Look into all files of the session's own places, and at what its processes show."""
    for root in (*plan["places"], *plan["shared"]):
        since = plan["since"] if root in plan["shared"] else 0.0
        for path, _ in files(root, plan["own"], since=since):
            for data in unpacked(read(path)):
                for task, name in found_in(data, secrets):
                    yield task, name, path
    with contextlib.suppress(OSError):
        for entry in os.listdir("/proc"):  # noqa: PTH208
            if entry.isdigit():
                for part in ("cmdline", "environ"):
                    path = f"/proc/{entry}/{part}"
                    for task, name in found_in(read(path).replace(b"\0", b"\n"), secrets):
                        yield task, name, path


def far(plan: dict[str, Any], secrets: list[dict[str, Any]]) -> Iterator[tuple[str, str, str]]:
    """Look for copies of secret files on the whole system: same size, same content."""
    by_size: dict[int, list[dict[str, Any]]] = {}
    for secret in secrets:
        if secret["exact"] and secret["size"] > SHORT:
            by_size.setdefault(secret["size"], []).append(secret)
    end = time.monotonic() + plan["seconds"]
    # Not from "/": at some levels it cannot be listed, while what is below it can.
    tops = (top for top in plan["tops"] if top not in SYSTEM)
    for path, size in (seen for top in tops for seen in files(top, plan["own"])):
        if time.monotonic() > end:
            raise TimeoutError(f"looking at all files took more than {plan['seconds']} s")
        if size in by_size and (data := read(path)):
            digest = hashlib.sha256(data).hexdigest()
            for secret in by_size[size]:
                if digest == secret["sha256"]:
                    yield secret["task"], secret["name"], path


def main() -> None:
    """Read the plan, look, and print."""
    plan = json.loads(zlib.decompress(Path(sys.argv[1]).read_bytes()))
    secrets: list[dict[str, Any]] = [
        {
            **secret,
            "text": secret["text"].encode("latin-1"),
            "lines": [line.encode("latin-1") for line in secret["lines"]],
        }
        for secret in plan["secrets"]
    ]
    look = far if plan["far"] else near
    print(json.dumps(sorted(set(look(plan, secrets)))))  # noqa: T201


if __name__ == "__main__":
    main()
