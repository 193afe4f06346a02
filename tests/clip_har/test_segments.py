"""Windows merged into segments: the best of all ways to cut a video, told as early as can be."""

from itertools import pairwise, product

import numpy as np
import pytest

from clip_har.segments import DOUBT, Segment, Segmenter

STEP = 0.5
COST, WEIGHT, LEAST = 3.0, 0.5, 0.2


def sure(label: int, classes: int = 3, score: float = 0.8) -> np.ndarray:
    probs = np.full(classes, (1 - score) / (classes - 1), np.float32)
    probs[label] = score
    return probs


def told(windows: list[np.ndarray], cost: float = COST, end: float = 0) -> list[list[Segment]]:
    """Segments told at each window, and at the end."""
    segmenter = Segmenter(cost, LEAST, WEIGHT)
    early = [segmenter.add(STEP * (i + 1), probs) for i, probs in enumerate(windows)]
    return [*early, segmenter.finish(end or STEP * (len(windows) + 1))]


def segments(windows: list[np.ndarray], cost: float = COST) -> list[tuple[float, float, int]]:
    return [
        (one.start, one.end, int(one.probs.argmax()))
        for some in told(windows, cost)
        for one in some
    ]


def test_a_change_lies_between_the_middles_of_two_windows() -> None:
    windows = [sure(0)] * 8 + [sure(2)] * 8
    assert segments(windows) == [(0.0, 4.25, 0), (4.25, 8.5, 2)]


def test_a_change_lies_where_one_class_overtakes_the_other() -> None:
    last = np.array([0.4, 0.3, 0.3], np.float32)  # the lead is 0.1, then 0.7 behind
    windows = [*[sure(0)] * 8, last, *[sure(2)] * 8]
    (_, end, _), (start, _, _) = segments(windows)
    assert end == start == pytest.approx(4.5 + STEP * 0.1 / 0.8, abs=0.01)


def test_a_window_that_errs_makes_no_segment() -> None:
    windows = [sure(0)] * 8 + [sure(1)] + [sure(0)] * 8
    assert segments(windows) == [(0.0, 9.0, 0)]


def test_windows_that_err_at_a_change_belong_to_their_neighbours() -> None:
    first, second = sure(0), sure(2)
    between = np.array([0.35, 0.6, 0.05], np.float32)
    windows = [first] * 8 + [between] + [second] * 8
    found = segments(windows)
    assert [label for _, _, label in found] == [0, 2]
    assert 4.5 < found[0][1] < 5.0


def test_a_stretch_in_which_nothing_is_probable_is_in_no_segment() -> None:
    nothing = np.full(20, 0.05, np.float32)
    windows = [sure(0, 20)] * 8 + [nothing] * 16 + [sure(1, 20)] * 8
    (_, end, first), (start, _, second) = segments(windows)
    assert (first, second) == (0, 1)
    assert 4.0 < end < 4.5
    assert 12.0 < start < 12.5


def test_nothing_at_all_is_no_segment() -> None:
    assert segments([np.full(20, 0.05, np.float32)]) == []
    assert Segmenter(COST, LEAST, WEIGHT).finish(1.0) == []


def test_one_window_is_one_segment_with_its_best_class() -> None:
    ((segment,),) = (told([sure(1)], end=1.5)[-1],)
    assert (segment.start, segment.end) == (0.0, 1.5)
    assert segment.probs.argmax() == 1
    assert segment.probs.sum() == pytest.approx(1, abs=1e-6)


def test_a_segment_is_told_before_the_next_one_ends() -> None:
    windows = [sure(label) for label in (0, 1, 2, 0) for _ in range(20)]
    early = told(windows)
    when = [i for i, some in enumerate(early) if some]
    assert len(when) == 4
    for number, at in enumerate(when[:-1], start=1):
        assert 20 * number < at < 20 * number + 10


@pytest.mark.parametrize("seed", range(20))
def test_no_other_way_to_cut_the_video_is_better(seed: int) -> None:
    """Against every one of the 4^6 ways."""
    draw = np.random.default_rng(seed)
    windows = list(draw.dirichlet([0.6] * 3, size=6).astype(np.float32))
    logs = np.log([np.append((1 - DOUBT) * probs + DOUBT / 3, LEAST) for probs in windows])
    cost = float(draw.uniform(0.2, 2))

    def worth(labels: tuple[int, ...]) -> float:
        changes = sum(a != b for a, b in pairwise(labels))
        return WEIGHT * sum(logs[i, label] for i, label in enumerate(labels)) - cost * changes

    best = max(product(range(4), repeat=6), key=worth)
    found = segments(windows, cost)
    assert [at_time(found, STEP * (i + 1)) for i in range(6)] == list(best)


def at_time(found: list[tuple[float, float, int]], time: float) -> int:
    return next((label for start, end, label in found if start <= time < end), 3)


def test_what_is_kept_does_not_grow_with_the_video() -> None:
    segmenter = Segmenter(COST, LEAST, WEIGHT)
    draw = np.random.default_rng(1)
    for window in range(3000):
        probs = draw.dirichlet([0.3] * 5) if window % 100 < 50 else sure(window // 100 % 5, 5)
        segmenter.add(STEP * window, probs.astype(np.float32))
    reachable, todo = set(), list(segmenter._runs)
    while todo:
        run = todo.pop()
        if run is not None and id(run) not in reachable:
            reachable.add(id(run))
            todo.append(run.before)
    assert len(reachable) < 60
