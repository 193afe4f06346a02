"""The tuner on sessions whose time is known: it compares within rounds and serves the goal."""

import time

import numpy as np
import pytest

from builder import tuner
from builder.engines.engine import Array, Tensors
from builder.tuner import best_candidate, measured_speeds, smallest_good_run

BATCH = {"X": np.zeros((8, 1))}
SINGLE = {"X": np.zeros((1, 1))}


class Sleeper:
    """Takes a time a row, and a time a run."""

    def __init__(self, row: float, run: float = 0.0) -> None:
        self.row, self.each = row, run

    def run(self, feeds: Tensors) -> dict[str, Array]:
        time.sleep(self.each + self.row * len(feeds["X"]))
        return {}


def test_candidates_are_compared_and_each_takes_the_threads_that_suit_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tuner, "ROUNDS", 3)
    speeds = measured_speeds(
        {
            "slow": lambda threads: Sleeper(0.01),
            "fast": lambda threads: Sleeper(0.002 if threads == 1 else 0.02),
            "batches": lambda threads: Sleeper(0.001, run=0.02),
        },
        (1, 2),
        BATCH,
        SINGLE,
        8,
    )
    assert speeds["fast"].threads == 1
    assert speeds["slow"].speedup == pytest.approx(1, abs=0.5)
    assert speeds["fast"].speedup > 1.5
    assert speeds["fast"].single_ms < speeds["batches"].single_ms
    sizes = {"slow": 1, "fast": 2, "batches": 3}
    assert best_candidate("latency", speeds, sizes) == "fast"
    assert best_candidate("throughput", speeds, sizes) == "fast"
    assert best_candidate("size", speeds, sizes) == "slow"


def test_only_what_may_be_served_is_chosen() -> None:
    assert best_candidate("size", {}, {"int8": 1, "fp32": 4}) == "int8"


class Cache:
    """Ten times slower for a row, where more rows run than fit."""

    def __init__(self, rows: int) -> None:
        self.rows = rows

    def run(self, feeds: Tensors) -> dict[str, Array]:
        rows = len(feeds["X"])
        time.sleep(rows * (0.003 if rows <= self.rows else 0.03))
        return {}


def test_a_run_is_no_larger_than_what_is_about_as_fast() -> None:
    feeds = {clips: {"X": np.zeros((clips, 1))} for clips in (1, 2, 4)}
    assert smallest_good_run(Sleeper(0.002, run=0.04), feeds) == 4
    assert smallest_good_run(Cache(2), {2: feeds[2], 4: feeds[4]}) == 2
    assert smallest_good_run(Sleeper(0.02), feeds) == 1
