"""What the tests need of the machine, installed when it is missing: ``python machine.py``."""

import os
import shutil
import subprocess
import sys

__all__ = ["install"]

PACKAGES = {
    "bwrap": "bubblewrap",
    "dockerd": "docker.io",
    "debootstrap": "debootstrap",
    "openssl": "openssl",
}


def install() -> list[str]:
    """Install the Debian packages of the programs that are missing.

    Returns:
        The packages that are still missing, because only root could install them.

    Raises:
        RuntimeError: The package manager failed.
    """
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    missing = [package for name, package in PACKAGES.items() if not shutil.which(name, path=path)]
    if not missing or os.geteuid() != 0:
        return missing
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["update", "-qq"], ["install", "-y", "-qq", *missing]):
        done = subprocess.run(["apt-get", *command], env=env, capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"apt-get {' '.join(command)}: {done.stderr[-2000:]}")
    return []


if __name__ == "__main__":
    if absent := install():
        sys.stderr.write(f"not installed, and tests that need them will fail: {absent}\n")
