"""Runs side by side: how what waits is shared, without a server."""

import threading
from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic

import numpy as np
import pytest

from server.backends import lanes as lanes_module
from server.backends.lanes import Lanes
from server.backends.runs import RunLimits, Waiting

WAIT = 30.0
"""Seconds after which a test has failed."""


def waiting(rows: int = 1, frames: int = 1, side: int = 4, joins: bool = True) -> Waiting:
    return Waiting(object(), {"X": np.zeros((rows, frames, side), np.uint8)}, joins)


def test_a_run_takes_rows_of_one_shape_and_keeps_the_order():
    several = [waiting(side=4), waiting(side=5), waiting(side=4), waiting(side=5)]
    found = list(RunLimits(8, 0).runs(several))
    assert found == [[several[0], several[2]], [several[1], several[3]]]


@pytest.mark.parametrize(
    ("limits", "rows", "frames", "sizes"),
    [
        (RunLimits(8, 0), 1, 4, [8, 2]),
        (RunLimits(8, 0), 3, 1, [2, 2, 2, 2, 2]),
        (RunLimits(8, 8), 1, 4, [2, 2, 2, 2, 2]),
        (RunLimits(8, 2), 1, 4, [1] * 10),
        (RunLimits(2, 0), 3, 1, [1] * 10),
    ],
)
def test_a_run_holds_no_more_rows_and_frames_than_it_may(limits, rows, frames, sizes):
    found = limits.runs([waiting(rows, frames) for _ in range(10)])
    assert [len(run) for run in found] == sizes


def test_what_cannot_join_runs_alone():
    several = [waiting(joins=False), waiting(joins=False)]
    assert list(RunLimits(8, 0).runs(several)) == [[several[0]], [several[1]]]
    assert RunLimits(8, 0).first_run(several[:1], 8) == ([several[0]], False)


def test_a_request_without_inputs_is_a_run():
    empty = Waiting(object(), {}, joins=False)
    assert list(RunLimits(1, 0).runs([empty])) == [[empty]]


class Work:
    """Runs that last until they are let go."""

    def __init__(self) -> None:
        self.runs: list[int] = []
        self.done: list[Waiting] = []
        self.go = threading.Semaphore(0)
        self._changed = threading.Condition()

    def __call__(self, place: str, run: list[Waiting]) -> None:
        with self._changed:
            self.runs.append(len(run))
            self._changed.notify_all()
        assert self.go.acquire(timeout=WAIT)
        self.done += run

    def begun(self, *sizes: int) -> None:
        """Returns when runs of these sizes have begun, fails when others have."""
        with self._changed:
            self._changed.wait_for(lambda: len(self.runs) >= len(sizes), WAIT)
            assert tuple(self.runs) == sizes

    def end(self, runs: int) -> None:
        for _ in range(runs):
            self.go.release()


@contextmanager
def two_lanes(work: Work, rows: int = 8) -> Generator[Lanes[str]]:
    lanes = Lanes(["left", "right"], RunLimits(rows, 0), work)
    try:
        yield lanes
    finally:
        work.end(100)
        lanes.close()


def in_thread(lanes: Lanes[str], *several: Waiting) -> threading.Thread:
    thread = threading.Thread(target=lanes.add, args=(several,))
    thread.start()
    return thread


@contextmanager
def one_free_of_two(work: Work) -> Generator[Lanes[str]]:
    """Four requests are under way in one lane, and four are done in the other."""
    with two_lanes(work) as lanes:
        adding = in_thread(lanes, *[waiting() for _ in range(8)])
        work.begun(4, 4)
        work.end(1)
        adding.join(WAIT)
        yield lanes


def test_what_comes_together_is_shared_evenly_and_more_is_taken_when_a_lane_is_free():
    work = Work()
    with two_lanes(work) as lanes:
        assert lanes.idle
        adding = in_thread(lanes, *[waiting() for _ in range(8)])
        work.begun(4, 4)
        assert not lanes.idle
        assert adding.is_alive()
        work.end(1)
        adding.join(WAIT)
        assert not adding.is_alive()


def test_a_free_lane_waits_until_it_has_as_much_as_the_other(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lanes_module, "PATIENCE", 1e9)  # of a run that took no time
    work = Work()
    with one_free_of_two(work) as lanes:
        for _ in range(3):
            lanes.add([waiting()])  # returns, for the lane would take more
            work.begun(4, 4)
        adding = in_thread(lanes, waiting())
        work.begun(4, 4, 4)
        work.end(2)
        adding.join(WAIT)


def test_a_lane_does_not_wait_for_long():
    work = Work()
    with one_free_of_two(work) as lanes:
        began = monotonic()
        adding = in_thread(lanes, waiting())  # nobody follows
        work.begun(4, 4, 1)
        assert monotonic() - began < WAIT
        work.end(2)
        adding.join(WAIT)


def test_one_of_another_shape_does_not_keep_the_lanes_waiting(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(lanes_module, "PATIENCE", 1e9)
    work = Work()
    with one_free_of_two(work) as lanes:
        lanes.add([waiting(side=5)])
        work.begun(4, 4)
        adding = in_thread(lanes, waiting())
        work.begun(4, 4, 1)
        work.end(100)
        adding.join(WAIT)


def test_work_that_fails_gives_its_place_back(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    def fail(place: str, run: list[Waiting]) -> None:
        raise RuntimeError("broken")

    lanes = Lanes(["left", "right"], RunLimits(1, 0), fail)
    lanes.add([waiting()])
    for _ in range(100):
        if lanes.idle:
            break
        threading.Event().wait(0.05)
    assert lanes.idle
    lanes.close()


def test_requests_that_came_apart_are_no_more_than_a_run_may_hold():
    work = Work()
    with two_lanes(work, rows=2) as lanes:
        adding = in_thread(lanes, *[waiting() for _ in range(8)])
        work.begun(2, 2)
        work.end(2)
        work.begun(2, 2, 2, 2)
        work.end(2)
        adding.join(WAIT)


def test_all_that_waits_is_answered_before_the_end():
    work = Work()
    several = [waiting() for _ in range(5)]
    lanes = Lanes(["left", "right"], RunLimits(1, 0), work)
    adding = in_thread(lanes, *several)
    work.begun(1, 1)
    work.end(100)
    lanes.close()
    adding.join(WAIT)
    assert set(work.done) == set(several)
