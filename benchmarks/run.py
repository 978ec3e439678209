"""``make bench``: each measure against its peer, in one run, as ratios.

Absolute times say more about the day's machine than about the code, so what counts is the ratio of
two servers measured minutes apart, and how far it spreads from round to round.
"""

import argparse
import statistics
import sys
from dataclasses import dataclass
from pathlib import Path

import episodes
from servers import candidates, running

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
import peer

Measures = dict[str, float]


@dataclass(frozen=True)
class Target:
    """What a measure has to be.

    Attributes:
        measure: Its name.
        against: The server it is divided by, or that divides it when more is better.
        bound: The ratio it has to keep.
        more_is_better: Ours divided by theirs has to be at least the bound.
    """

    measure: str
    against: str
    bound: float
    more_is_better: bool = False


TARGETS = [
    *(Target(f"CPU per step, {n} sessions (us)", "openenv", 1 / 2) for n in (1, 32, 256)),
    *(Target(f"CPU per step, {n} sessions (us)", "floor", 1.4) for n in (1, 32, 256)),
    Target("steps/s, 256 sessions", "openenv", 3, more_is_better=True),
    Target("idle resident memory (MB)", "openenv", 1 / 3),
    Target("start to healthy (s)", "openenv", 1 / 5),
]


def one_round(server: str, openenv_python: Path, scale: float) -> Measures:
    """Start one server and measure everything about it."""
    candidate = next(c for c in candidates(openenv_python) if c.name == server)
    found: Measures = {}
    with running(candidate) as live:
        found["start to healthy (s)"] = live.start_s
        found["idle resident memory (MB)"] = live.idle_mb
        for at_once, total in ((1, 8_000), (32, 40_000), (256, 40_000)):
            load, cpu_s = live.load("steps", at_once, int(total * scale))
            suffix = "session" if at_once == 1 else "sessions"
            found[f"step p50, {at_once} {suffix} (us)"] = load.p50_us
            found[f"CPU per step, {at_once} sessions (us)"] = cpu_s / load.count * 1e6
            found[f"steps/s, {at_once} sessions"] = load.count / load.seconds
        load, cpu_s = live.load("sessions", 16, int(2_400 * scale))
        found["sessions created and reset/s"] = load.count / load.seconds
        found["CPU per session (us)"] = cpu_s / load.count * 1e6
    return found


def rounds(openenv_python: Path, count: int, scale: float) -> dict[str, list[Measures]]:
    """Measure every server ``count`` times, in turns."""
    found: dict[str, list[Measures]] = {}
    for number in range(count):
        for server in ("floor", "paddock", "openenv", "openenv async"):
            print(f"round {number + 1} of {count}: {server} ...", file=sys.stderr, flush=True)
            found.setdefault(server, []).append(one_round(server, openenv_python, scale))
    return found


def ratios(found: dict[str, list[Measures]], measure: str, against: str) -> list[float]:
    """Return ours divided by theirs, round by round."""
    pairs = zip(found["paddock"], found[against], strict=True)
    return [ours[measure] / theirs[measure] for ours, theirs in pairs]


def show(found: dict[str, list[Measures]]) -> None:
    """Print medians, and ratios with their spread."""
    others = [server for server in found if server != "paddock"]
    print(f"\n{'medians':34}" + "".join(f"{server:>14}" for server in found))
    for name in found["paddock"][0]:
        medians = [statistics.median(m[name] for m in found[server]) for server in found]
        print(f"{name:34}" + "".join(f"{m:>14.3g}" if m < 1e3 else f"{m:>14,.0f}" for m in medians))
    print(f"\n{'paddock divided by':34}" + "".join(f"{server:>20}" for server in others))
    for name in found["paddock"][0]:
        cells = [f"{_spread(ratios(found, name, other)):>20}" for other in others]
        print(f"{name:34}" + "".join(cells))


def judge(found: dict[str, list[Measures]]) -> bool:
    """Print each target and whether it was met; return whether all were."""
    print("\ntargets (medians of the rounds' ratios):")
    met = True
    for target in TARGETS:
        ratio = statistics.median(ratios(found, target.measure, target.against))
        good = ratio >= target.bound if target.more_is_better else ratio <= target.bound
        sign = ">=" if target.more_is_better else "<="
        print(
            f"  {'met ' if good else 'MISS'} {target.measure:36} {ratio:5.2f} of {target.against}"
            f" ({sign} {target.bound:.2f})"
        )
        met = met and good
    return met


def _spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def main() -> int:
    """Run everything and print the table; 1 when a target was missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scale", type=float, default=1.0, help="of the number of repetitions")
    options = parser.parse_args()
    found = rounds(peer.openenv_python(), options.rounds, options.scale)
    show(found)
    met = [judge(found), episodes.report(options.rounds, options.scale)]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
