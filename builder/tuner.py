"""How fast candidates are on this machine, side by side, and which one is the best.

Candidates run in turn, round after round, and are compared within a round: what else the machine
does falls on all of them alike.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from statistics import median
from typing import TypeVar

import numpy as np

from builder.engines.engine import Session, Tensors
from builder.profile import Goal
from clip_har.config import Config

ROUNDS = 12
LEAST_ROUNDS = 5
SECONDS = 40.0
"""Rounds end after this long, but not before LEAST_ROUNDS."""
CLIPS_IN_A_ROW = 4
RUN_ROUNDS = 3
RUN_LOSS = 0.05
"""Share of the best speed that a smaller run may lose."""
Key = TypeVar("Key")


class Speed(Config):
    """What was measured of a candidate."""

    threads: int
    """Threads of its runs."""
    rows_a_second: float
    """Frames, clips or texts a second in batches."""
    batch_ms: float
    """Milliseconds of a batch, the median."""
    single_ms: float
    """Milliseconds of a batch of one, the median."""
    speedup: float
    """Times the first one's speed in batches, the median over rounds."""


class ClipSpeed(Config):
    """What was measured of a clip on its way through all graphs that answer for it."""

    clip_ms: float
    """Milliseconds of one clip, the median."""
    speedup: float
    """Times the speed of the same graphs in fp32 ONNX Runtime, the median over rounds."""


def measured_speeds(
    opened: Mapping[str, Callable[[int], Session]],
    threads: Sequence[int],
    batch: Tensors,
    single: Tensors,
    rows: int,
) -> dict[str, Speed]:
    """Each candidate's speed with the number of threads that suits it best.

    `opened` opens candidates by name for a number of threads; the first one is what the others are
    compared with, at its own best. `rows` is the size of `batch`.
    """
    sessions = {
        (name, count): open_with(count) for name, open_with in opened.items() for count in threads
    }
    batches = _rounds({key: partial(one.run, batch) for key, one in sessions.items()})
    singles = _rounds({key: partial(one.run, single) for key, one in sessions.items()})
    first = next(iter(opened))
    best = {
        name: min(threads, key=lambda count, name=name: median(batches[name, count]))
        for name in opened
    }
    reference = batches[first, best[first]]
    speeds: dict[str, Speed] = {}
    for name, count in best.items():
        seconds = batches[name, count]
        speeds[name] = Speed(
            threads=count,
            rows_a_second=rows / median(seconds),
            batch_ms=1000 * median(seconds),
            single_ms=1000 * median(singles[name, count]),
            speedup=_speedup(reference, seconds),
        )
    return speeds


def measured_clip_speed(chosen: Callable[[], object], fp32: Callable[[], object]) -> ClipSpeed:
    """The speed of a clip's way through the chosen engines, beside its way through fp32 ones.

    Some clips follow each other, as when serving: the first one finds caches and cores that the
    other way has left behind.
    """
    ways = {"chosen": chosen, "fp32": fp32}
    runs = {name: partial(_repeated, way, CLIPS_IN_A_ROW) for name, way in ways.items()}
    seconds = _rounds(runs, LEAST_ROUNDS)
    return ClipSpeed(
        clip_ms=1000 * median(seconds["chosen"]) / CLIPS_IN_A_ROW,
        speedup=_speedup(seconds["fp32"], seconds["chosen"]),
    )


def _speedup(reference: Sequence[float], seconds: Sequence[float]) -> float:
    """Times the reference's speed, compared within rounds: the median."""
    return float(np.median(np.array(reference) / np.array(seconds)))


def _repeated(run: Callable[[], object], times: int) -> None:
    for _ in range(times):
        run()


def best_candidate(goal: Goal, speeds: Mapping[str, Speed], sizes: Mapping[str, int]) -> str:
    """Name of the candidate that serves the goal best; sizes are in bytes."""
    ranks: dict[Goal, Callable[[str], float]] = {
        "throughput": lambda name: -speeds[name].speedup,
        "latency": lambda name: speeds[name].single_ms,
        "size": lambda name: sizes[name],
    }
    return min(sizes, key=ranks[goal])


def reason_for(best: str, goal: Goal, speeds: Mapping[str, Speed], sizes: Mapping[str, int]) -> str:
    """Why the best of the candidates is that, for people; arguments as `best_candidate` has."""
    others = {name: size for name, size in sizes.items() if name != best}
    if not others:
        return "the only one that passed and runs here" if speeds else "the only one that passed"
    following = best_candidate(goal, speeds, others)
    if goal == "size":
        return f"{sizes[best] / sizes[following]:.2f} times the bytes of {following}, the next"
    if goal == "latency":
        times = speeds[best].single_ms / speeds[following].single_ms
        return f"{times:.2f} times the milliseconds of {following}, the next, for one"
    times = speeds[best].speedup / speeds[following].speedup
    return f"{times:.2f} times the speed of {following}, the next, in batches"


def smallest_good_run(session: Session, feeds: Mapping[int, Tensors]) -> int:
    """Clips of the smallest run that is about as fast, for a clip, as the best of `feeds`.

    Small runs answer sooner, and large ones may outgrow the CPU's caches.
    """
    runs = {clips: partial(session.run, some) for clips, some in feeds.items()}
    seconds = _rounds(runs, RUN_ROUNDS)
    speeds = {clips: clips / median(spent) for clips, spent in seconds.items()}
    best = max(speeds.values())
    return min(clips for clips, speed in speeds.items() if speed >= (1 - RUN_LOSS) * best)


def _rounds(
    runs: Mapping[Key, Callable[[], object]], rounds: int = ROUNDS
) -> dict[Key, list[float]]:
    """Seconds of every round, after one that is not counted."""
    for run in runs.values():
        run()
    seconds: dict[Key, list[float]] = {key: [] for key in runs}
    end = time.monotonic() + SECONDS
    for number in range(rounds):
        if number >= LEAST_ROUNDS and time.monotonic() > end:
            break
        for key, run in runs.items():
            started = time.perf_counter()
            run()
            seconds[key].append(time.perf_counter() - started)
    return seconds
