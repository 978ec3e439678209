"""What a session may use: one model for every environment and every level of isolation."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Limits", "NetworkMode"]

NetworkMode = Literal["off", "allowlist", "loopback", "full"]
"""``off``: none. ``allowlist``: HTTP and HTTPS to named hosts, through the server's proxy.
``loopback``: a network of the session's own with nothing on it but itself. ``full``: the machine's.
"""

Megabytes = Annotated[int, Field(gt=0)]


class Limits(BaseModel):
    """What the processes and files of one session may use, all together if not said otherwise.

    Hitting one ends in an observation that names it; of processes, open files and the memory of a
    single process the failing program says so itself, and its output is what names them.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    wall_s: float | None = Field(default=None, gt=0, description="Seconds an episode may last.")
    cpu_s: int | None = Field(default=None, gt=0, description="CPU seconds of a process.")
    memory_mb: Megabytes = Field(default=512, description="MiB of memory.")
    process_memory_mb: Megabytes = Field(default=2048, description="MiB of data of a process.")
    processes: int = Field(default=64, gt=0, description="Processes and threads at a time.")
    open_files: int = Field(default=256, gt=0, description="File descriptors of a process.")
    file_mb: Megabytes = Field(default=256, description="MiB of a single file.")
    disk_mb: Megabytes = Field(default=1024, description="MiB of all files.")
    inodes: int = Field(default=100_000, gt=0, description="Files and directories.")
    output_mb: Megabytes = Field(default=64, description="MiB of output of a command.")
    network: NetworkMode = Field(default="off", description="What the processes can reach.")
    allow_hosts: tuple[str, ...] = Field(
        default=(), description="Hosts that `allowlist` lets through; `*.` for subdomains."
    )
