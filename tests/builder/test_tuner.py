"""The tuner on sessions whose time is known: it compares within rounds and serves the goal."""

import numpy as np
import pytest

from builder import tuner
from builder.engines.engine import Array, Tensors
from builder.tuner import (
    best_candidate,
    measured_clip_speed,
    measured_speeds,
    reason_for,
    smallest_good_run,
)

BATCH = {"X": np.zeros((8, 1))}
SINGLE = {"X": np.zeros((1, 1))}


class Clock:
    """Time that goes by only while a session runs."""

    now = 0.0

    def perf_counter(self) -> float:
        return self.now

    monotonic = perf_counter


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(tuner, "time", clock)
    return clock


class Steady:
    """Takes a time a row, and a time a run."""

    def __init__(self, clock: Clock, row: float, run: float = 0.0) -> None:
        self.clock, self.row, self.each = clock, row, run

    def run(self, feeds: Tensors) -> dict[str, Array]:
        self.clock.now += self.each + self.row * len(feeds["X"])
        return {}


def test_candidates_are_compared_and_each_takes_the_threads_that_suit_it(
    clock: Clock,
) -> None:
    speeds = measured_speeds(
        {
            "slow": lambda threads: Steady(clock, 0.01),
            "fast": lambda threads: Steady(clock, 0.002 if threads == 1 else 0.02),
            "batches": lambda threads: Steady(clock, 0.001, run=0.02),
        },
        (1, 2),
        BATCH,
        SINGLE,
        8,
    )
    assert speeds["fast"].threads == 1
    assert speeds["slow"].speedup == pytest.approx(1)
    assert speeds["fast"].speedup == pytest.approx(5)
    assert speeds["fast"].single_ms < speeds["batches"].single_ms
    sizes = {"slow": 1, "fast": 2, "batches": 3}
    assert best_candidate("latency", speeds, sizes) == "fast"
    assert best_candidate("throughput", speeds, sizes) == "fast"
    assert best_candidate("size", speeds, sizes) == "slow"
    assert "times the speed of batches, the next" in reason_for("fast", "throughput", speeds, sizes)
    assert "milliseconds of" in reason_for("fast", "latency", speeds, sizes)
    assert reason_for("slow", "size", speeds, sizes) == "0.50 times the bytes of fast, the next"
    assert reason_for("slow", "size", {}, {"slow": 1}) == "the only one that passed"


def test_only_what_may_be_served_is_chosen() -> None:
    assert best_candidate("size", {}, {"int8": 1, "fp32": 4}) == "int8"


class Cache(Steady):
    """Ten times slower for a row, where more than two rows run."""

    def run(self, feeds: Tensors) -> dict[str, Array]:
        rows = len(feeds["X"])
        self.clock.now += self.row * rows * (1 if rows <= 2 else 10)
        return {}


def test_a_run_is_no_larger_than_what_is_about_as_fast(clock: Clock) -> None:
    feeds = {clips: {"X": np.zeros((clips, 1))} for clips in (1, 2, 4)}
    assert smallest_good_run(Steady(clock, 0.002, run=0.04), feeds) == 4
    assert smallest_good_run(Cache(clock, 0.003), {2: feeds[2], 4: feeds[4]}) == 2
    assert smallest_good_run(Steady(clock, 0.02), feeds) == 1
    assert smallest_good_run(Steady(clock, 0.02, run=0.0005), feeds) == 1


def test_a_clips_way_is_compared_with_its_way_in_fp32(clock: Clock) -> None:
    chosen, fp32 = Steady(clock, 0.02), Steady(clock, 0.05)
    speed = measured_clip_speed(lambda: chosen.run(SINGLE), lambda: fp32.run(SINGLE))
    assert speed.clip_ms == pytest.approx(20)
    assert speed.speedup == pytest.approx(2.5)
