"""Two sessions side by side, and one of them attacks: ``python -m tests.attacks.arena LEVEL``.

This process plays the server. It opens a sandbox for the victim and one for the attacker, runs
every attack in the attacker's, one process each, and says what each came to. It needs nothing but
`paddock` and this folder, so that it runs in a container, too.
"""

import argparse
import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import anyio
from tests.attacks.attacker import Attacker
from tests.attacks.names import ATTACKS
from tests.attacks.server import SECRET_VARIABLE, Server
from tests.attacks.verdicts import Answer, Verdict, conclude
from tests.attacks.victim import Victim

from paddock.limits import Limits
from paddock.sandbox import levels
from paddock.sandbox.confinement import Level, Profile
from paddock.sandbox.sandboxes import Sandboxes

PROFILES = {
    "strict": Profile(),
    "compat": Profile(proc=True, tmp=True, ptmx=True),
}
ARENA_S = 300.0
ARRIVAL_S = 1.0  # for what was sent to arrive
FIRST_PID = 500
_MQ_OPEN, _MQ_UNLINK = {"x86_64": (240, 241)}.get(os.uname().machine, (180, 181))
# What these attacks did comes to the server's or the victim's notice a moment later.
_LATE = {
    "kill_server", "kill_victim_canary", "kill_all_broadcast", "env_clean_exec", "dns_udp_exfil",
    "abstract_dgram_victim", "victim_pty",
}  # fmt: skip


class Arena:
    """The evidence: what only the server can see."""

    def __init__(self, server: Server, victim: Victim, attacker: Attacker) -> None:
        self._server = server
        self._victim = victim
        self._attacker = attacker
        self._preload = Path("/etc/ld.so.preload").exists()
        self._seen: list[Path] = []
        self._libc = ctypes.CDLL(None, use_errno=True)

    @property
    def secrets(self) -> dict[str, str]:
        return self._server.secrets

    async def fight(self) -> dict[str, tuple[Verdict, str]]:
        """Run all attacks."""
        return {name: await self._attack(name) for name in ATTACKS}

    async def _attack(self, name: str) -> tuple[Verdict, str]:
        if name == "canary_alive":
            answer = Answer([], [], [], [], [])
        else:
            self._server.signals = 0
            said = await self._attacker.run(name)
            if isinstance(said, str):
                return Verdict.BROKEN, said
            answer = Answer(**said)
        if name in _LATE and not (answer.refused and not answer.partly and not answer.read):
            with anyio.move_on_after(ARRIVAL_S):
                while not self.happened(name):
                    await anyio.sleep(0.02)
        return conclude(name, answer, self)

    # -- evidence ---------------------------------------------------------------------------------

    def happened(self, name: str) -> str:
        """Return what an attack did to the server or the victim; empty when nothing."""
        workspace = self._victim.sandbox.workspace
        nonce = self._server.nonce
        match name:
            case "other_session_write":
                written = nonce in (workspace / "write-me").read_text()
                return "written" if written or (workspace / f"new-{nonce}").exists() else ""
            case "other_session_unlink":
                return "" if (workspace / "unlink-me").exists() else "removed"
            case "other_session_chmod":
                mode = (workspace / "chmod-me").stat().st_mode & 0o777
                return f"mode {mode:o}" if mode == 0o666 else ""
            case "server_mem_write":
                return "overwritten" if nonce.encode() in self._server.scratch.raw else ""
            case "kill_server":
                return "the signal has arrived" if self._server.signals else ""
            case "kill_victim_canary" | "canary_alive":
                return self._hurt()
            case "kill_all_broadcast" | "env_clean_exec":
                hit = self._server.signals or self._signalled()
                return "the signal has arrived" if hit else ""
            case "abstract_dgram_victim":
                heard = any(event.get("text") == nonce for event in self._victim.events)
                return "the datagram has arrived" if heard else ""
            case "dns_udp_exfil":
                return "the datagram has arrived" if nonce in self._server.datagrams else ""
            case "victim_pty":
                return "typed into it" if nonce in self._victim.typed() else ""
            case _:
                return ""

    def visible(self, path: str) -> bool:
        """Return whether what an attack made is there for others, too."""
        if path.startswith("shm "):
            return self._libc.shmget(self._victim.facts["shm_key"], 0, 0) >= 0
        if path == self._victim.facts["mq_name"]:
            there = self._libc.syscall(_MQ_OPEN, path.encode(), os.O_RDONLY, 0, 0) >= 0
            self._libc.syscall(_MQ_UNLINK, path.encode())
            return there
        if not Path(path).exists() or (path == "/etc/ld.so.preload" and self._preload):
            return False
        self._seen.append(Path(path))
        return True

    def clean(self) -> None:
        """Take away what attacks have made outside of their own directory."""
        for path in self._seen:
            path.unlink(missing_ok=True)

    def _hurt(self) -> str:
        if self._victim.canary.returncode is not None:
            return f"the canary ended with {self._victim.canary.returncode}"
        return "the canary was disturbed" if self._signalled() else ""

    def _signalled(self) -> bool:
        return any(event.get("event") == "signal" for event in self._victim.events)


async def run(level: str, profile: str) -> dict[str, Any]:
    """Hold one arena, and return its report."""
    # Through, but not in.
    shared = os.environ.get("PADDOCK_SESSIONS", "/sessions")
    base = Path(
        tempfile.mkdtemp(prefix="arena-", dir=shared if os.access(shared, os.W_OK) else None)
    )
    base.chmod(0o711)
    fought: dict[str, tuple[Verdict, str]] = {}
    with ExitStack() as owned:
        owned.callback(_remove, base)
        chosen = Level(level) if level != "auto" else (await levels.choose()).level
        if chosen is Level.NONE:
            raise RuntimeError("nothing separates sessions here: no arena is held")
        server = Server(base, owned)
        with anyio.fail_after(ARENA_S):
            async with Sandboxes.serving(
                chosen, PROFILES[profile], root=base / "sessions"
            ) as sandboxes:
                async with anyio.create_task_group() as tasks:
                    victim = await Victim.begin(await sandboxes.open(Limits()), server, tasks)
                    target = {**server.facts, **victim.facts}
                    attacker = await Attacker.begin(await sandboxes.open(Limits()), target, server)
                    arena = Arena(server, victim, attacker)
                    try:
                        fought = await arena.fight()
                    finally:
                        arena.clean()
                        tasks.cancel_scope.cancel()
    return {
        "level": chosen,
        "profile": profile,
        "attacks": {name: [verdict, why] for name, (verdict, why) in fought.items()},
    }


def _remove(base: Path) -> None:
    """Remove the arena's files, unless something is mounted there that is not the arena's."""
    if str(base) in Path("/proc/self/mountinfo").read_text():
        raise RuntimeError(f"something is mounted below {base}: it is left as it is")
    shutil.rmtree(base, ignore_errors=True)


def _use_up_small_ids() -> None:
    """Have the next process get an id that no session's own id space has.

    In a fresh container ids are small: in a session's own they would name its own processes, and a
    signal to the server would end the attacker.
    """
    pid = 0
    while pid < FIRST_PID:
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    # Never without walls: there the attacks succeed, and what they change is the machine's.
    parser.add_argument("level", choices=["auto", *(level for level in Level if level != "none")])
    parser.add_argument("--profile", choices=list(PROFILES), default="strict")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    if SECRET_VARIABLE not in os.environ:
        env = {**os.environ, SECRET_VARIABLE: os.urandom(16).hex()}
        _use_up_small_ids()
        sys.exit(subprocess.run(sys.orig_argv, env=env, check=False).returncode)
    report = anyio.run(run, options.level, options.profile)
    if options.json:
        print(json.dumps(report))  # noqa: T201
        return
    for name, (verdict, why) in report["attacks"].items():
        print(f"{name:26} {verdict:8} {why[:120]}")  # noqa: T201


if __name__ == "__main__":
    main()
