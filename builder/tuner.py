"""How fast candidates are on this machine, side by side, and which one is the best.

Candidates run in turn, round after round, and are compared within a round: what else the machine
does falls on all of them alike.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import numpy as np

from builder.engines.engine import Session, Tensors
from builder.profile import Goal
from clip_har.config import Config

ROUNDS = 15
LEAST_ROUNDS = 5
SECONDS = 40.0
"""Rounds end after this long, but not before LEAST_ROUNDS."""
RUN_ROUNDS = 3
RUN_LOSS = 0.05
"""Share of the best speed that a smaller run may lose."""


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
    """Times the first candidate's speed in batches, the median over rounds."""


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
    batches = _rounds(sessions, batch)
    singles = _rounds(sessions, single)
    first = next(iter(opened))
    best = {
        name: min(threads, key=lambda count, name=name: median(batches[name, count]))
        for name in opened
    }
    reference = np.array(batches[first, best[first]])
    speeds: dict[str, Speed] = {}
    for name, count in best.items():
        seconds = batches[name, count]
        speeds[name] = Speed(
            threads=count,
            rows_a_second=rows / median(seconds),
            batch_ms=1000 * median(seconds),
            single_ms=1000 * median(singles[name, count]),
            speedup=float(np.median(reference / np.array(seconds))),
        )
    return speeds


def best_candidate(goal: Goal, speeds: Mapping[str, Speed], sizes: Mapping[str, int]) -> str:
    """Name of the candidate that serves the goal best; sizes are in bytes."""
    ranks: dict[Goal, Callable[[str], float]] = {
        "throughput": lambda name: -speeds[name].speedup,
        "latency": lambda name: speeds[name].single_ms,
        "size": lambda name: sizes[name],
    }
    return min(sizes, key=ranks[goal])


def smallest_good_run(session: Session, feeds: Mapping[int, Tensors]) -> int:
    """Clips of the smallest run that is about as fast, for a clip, as the best of `feeds`.

    Small runs answer sooner, and large ones may outgrow the CPU's caches.
    """
    seconds: dict[int, list[float]] = {clips: [] for clips in feeds}
    for _ in range(1 + RUN_ROUNDS):
        for clips, some in feeds.items():
            started = time.perf_counter()
            session.run(some)
            seconds[clips].append((time.perf_counter() - started) / clips)
    speeds = {clips: 1 / median(spent[1:]) for clips, spent in seconds.items()}
    best = max(speeds.values())
    return min(clips for clips, speed in speeds.items() if speed >= (1 - RUN_LOSS) * best)


def _rounds(
    sessions: Mapping[tuple[str, int], Session], feeds: Tensors
) -> dict[tuple[str, int], list[float]]:
    """Seconds of every round, after one that is not counted."""
    for session in sessions.values():
        session.run(feeds)
    seconds: dict[tuple[str, int], list[float]] = {key: [] for key in sessions}
    end = time.monotonic() + SECONDS
    for number in range(ROUNDS):
        if number >= LEAST_ROUNDS and time.monotonic() > end:
            break
        for key, session in sessions.items():
            started = time.perf_counter()
            session.run(feeds)
            seconds[key].append(time.perf_counter() - started)
    return seconds
