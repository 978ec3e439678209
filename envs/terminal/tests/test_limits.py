"""What a session may use: a limit that is hit is named in an observation, and the shell goes on."""

from collections.abc import AsyncGenerator

import pytest

from paddock import Context, Episode
from paddock.limits import Limits
from paddock.sandbox.levels import choose
from paddock.sandbox.sandboxes import Sandboxes
from paddock_terminal import SPEC, Run, SendKeys, TerminalObservation, TerminalOptions
from paddock_terminal.env import TerminalEnv


@pytest.fixture
async def env() -> AsyncGenerator[TerminalEnv]:
    async with Sandboxes.serving((await choose()).level, SPEC.sandbox) as sandboxes:
        env = TerminalEnv(Context(step_limit_s=40, sandboxes=sandboxes))
        yield env
        await env.close()


async def begin(env: TerminalEnv, **limits: object) -> None:
    await env.reset(Episode("ep", None, TerminalOptions(limits=Limits(**limits))))


async def run(env: TerminalEnv, command: str, timeout_s: float = 20) -> TerminalObservation:
    return await env.step(Run(command=command, timeout_s=timeout_s))


async def goes_on(env: TerminalEnv) -> None:
    seen = await run(env, "echo again")
    assert (seen.output, seen.exit_code, seen.limit) == ("again\n", 0, None)


GROW = "python3 -c 'x = [bytearray(b\"x\") * 8_000_000 for _ in range(60)]; input()'"


async def test_memory(env: TerminalEnv):
    await begin(env, memory_mb=128)
    seen = await run(env, f"{GROW} & {GROW}")
    assert seen.limit is not None
    assert seen.limit.startswith("memory")
    assert "128 MiB allowed" in seen.limit
    assert seen.shell_restarted or seen.exit_code == 137  # by the watch, or by a control group
    await goes_on(env)


async def test_disk(env: TerminalEnv):
    await begin(env, disk_mb=40, file_mb=100)
    seen = await run(env, "head -c 90000000 /dev/zero > big; sleep 10")
    assert seen.limit is not None
    assert "disk" in seen.limit
    assert seen.shell_restarted
    # It can make room.
    assert (await run(env, "rm big; ls")).output == ""
    await goes_on(env)


async def test_the_size_of_a_file(env: TerminalEnv):
    await begin(env, file_mb=1)
    seen = await run(env, "head -c 3000000 /dev/zero > big")
    assert seen.exit_code == 153
    assert seen.limit == "file size: a file reached the 1 MiB allowed"
    await goes_on(env)


async def test_cpu_time(env: TerminalEnv):
    await begin(env, cpu_s=1)
    seen = await run(env, "python3 -c 'while True: pass'")
    assert seen.exit_code == 152
    assert seen.limit == "CPU time: a process used the 1 s allowed"
    await goes_on(env)


@pytest.mark.root
async def test_processes(env: TerminalEnv):
    await begin(env, processes=20)
    fork = "import os, time\nfor _ in range(40): os.fork() or (time.sleep(3), os._exit(0))"
    seen = await run(env, f"python3 -c '{fork}'")
    assert "Resource temporarily unavailable" in seen.output
    await goes_on(env)


async def test_output(env: TerminalEnv):
    await begin(env, output_mb=1)
    seen = await run(env, "yes")
    assert seen.running
    assert seen.limit is not None
    assert seen.limit.startswith("output: more than 1 MiB")
    assert seen.dropped_bytes > 900_000
    seen = await env.step(SendKeys(keys=["C-c"]))
    assert seen.exit_code == 130
    await goes_on(env)


async def test_output_that_nobody_waits_for_holds_up_nobody(env: TerminalEnv):
    await begin(env, output_mb=1)
    await run(env, "yes & sleep 0.1")
    await run(env, "kill %1; wait")
    await goes_on(env)


async def test_time(env: TerminalEnv):
    await begin(env, wall_s=1)
    seen = await run(env, "echo begun; sleep 30")
    assert seen.done
    assert seen.limit == "time: the episode has lasted the 1 s allowed"
    seen = await run(env, "echo more")
    assert seen.done
    assert "time is up" in (seen.error or "")
    await begin(env)
    await goes_on(env)
