"""``make bench``'s second half: the sandboxes, as ratios, and resets, in milliseconds.

On its own: ``python benchmarks/episodes.py``.
"""

import argparse
import os
import statistics
import sys

import anyio

from paddock.sandbox.confinement import Level
from resets import EPISODE_S, containers, many, resets, server
from sandboxes import PLAIN, READS, SPAWN, Measures, levels, one_round
from servers import running

__all__ = ["report"]

SPAWN_RATIO = 1.5
RESET_MS = 10.0
SESSIONS = 200
WIDTH = 40

Verdicts = list[tuple[bool, str]]


def report(rounds: int, scale: float) -> bool:
    """Measure, print tables and targets; return whether all targets were met."""
    run, refused = anyio.run(levels)
    print(f"\nsandboxes at {', '.join(run) or 'no level'}; load {os.getloadavg()[0]:.1f}")
    for level, why in refused.items():
        print(f"  no level {level} on this machine: {why}")
    verdicts = [*_costs(run, rounds, scale), *_episodes(run, rounds, scale)]
    print("\ntargets:")
    for good, words in verdicts:
        print(f"  {'met ' if good else 'MISS'} {words}")
    return all(good for good, _ in verdicts)


def _costs(run: list[Level], rounds: int, scale: float) -> Verdicts:
    found: list[Measures] = []
    for number in range(rounds):
        _say(f"round {number + 1} of {rounds}: sandboxes")
        found.append(anyio.run(one_round, run, scale))
    columns = [Level.NONE.value, PLAIN, *(level.value for level in run)]
    _row("medians", columns)
    for measure in found[0]:
        values = [[each[measure][c] for each in found if c in each[measure]] for c in columns]
        _row(measure, [f"{statistics.median(v):.3g}" if v else "" for v in values])
    verdicts: Verdicts = []
    _row("divided by the peer", columns)
    for measure, peer in ((SPAWN, Level.NONE.value), (READS, PLAIN)):
        cells: list[str] = []
        for column in columns:
            ratios = [each[measure].get(column, 0.0) / each[measure][peer] for each in found]
            ratio = statistics.median(ratios)
            cells.append(f"{ratio:.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratio else "")
            if measure == SPAWN and column in run:
                words = f"spawn at {column}: {ratio:.2f} of a plain fork (< {SPAWN_RATIO})"
                verdicts.append((ratio < SPAWN_RATIO, words))
        _row(measure, cells)
    return verdicts


def _episodes(run: list[Level], rounds: int, scale: float) -> Verdicts:
    count, sessions = max(5, int(50 * scale)), max(5, int(SESSIONS * scale))
    table: dict[str, dict[str, list[float]]] = {}
    for number in range(rounds):
        for level in run:
            _say(f"round {number + 1} of {rounds}: resets at {level}")
            with running(server(level)) as live:
                for name, pause_s in (("back to back", 0.0), (f"{EPISODE_S:g} s apart", EPISODE_S)):
                    p50, p95 = anyio.run(resets, live.port, count, pause_s)
                    _note(table, f"reset, {name}, p50 (ms)", level, p50)
                    _note(table, f"reset, {name}, p95 (ms)", level, p95)
                if number == 0:
                    for name, value in anyio.run(many, live, sessions).items():
                        _note(table, f"{sessions} sessions: {name}", level, value)
    _row("medians", [level.value for level in run])
    for measure, by_level in table.items():
        _row(measure, [f"{statistics.median(by_level[level]):.3g}" for level in run])
    others = containers(max(3, int(10 * scale)))
    if isinstance(others, str):
        _row("docker run --rm, docker exec (ms)", [others])
    else:
        for name, median in others.items():
            _row(f"{name} (ms)", [f"{median:.3g}"])
    resets_of = table.get(f"reset, {EPISODE_S:g} s apart, p50 (ms)", {})
    medians = {level: statistics.median(values) for level, values in resets_of.items()}
    return [
        (ms < RESET_MS, f"reset at {level}: {ms:.1f} ms (< {RESET_MS:g})")
        for level, ms in medians.items()
    ]


def _note(
    table: dict[str, dict[str, list[float]]], measure: str, column: str, value: float
) -> None:
    table.setdefault(measure, {}).setdefault(column, []).append(value)


def _row(name: str, cells: list[str]) -> None:
    print(f"{name:{WIDTH}}" + "".join(f"{cell:>19}" for cell in cells))


def _say(what: str) -> None:
    print(f"{what} ...", file=sys.stderr, flush=True)


def main() -> int:
    """Run everything here; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of repetitions")
    options = parser.parse_args()
    return 0 if report(options.rounds, options.scale) else 1


if __name__ == "__main__":
    sys.exit(main())
