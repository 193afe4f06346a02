"""The shipped weights against the first stage, on the same clips."""

import pytest
import torch

from training.evaluation.stage_figures import fair_coin, gain_over


def test_only_clips_with_two_answers_count_as_won_or_lost() -> None:
    before = torch.tensor([True, True, False, False, False, True])
    after = torch.tensor([True, False, True, True, True, True])
    gain = gain_over("frozen", before, after)
    assert (gain.over, gain.won, gain.lost) == ("frozen", 3, 1)
    assert gain.top1 == pytest.approx(2 / 6)
    assert gain.p == pytest.approx(10 / 16)  # 1 or fewer, or 3 or more, of 4 throws


def test_answers_that_differ_little_give_a_narrower_interval_than_each_has_alone() -> None:
    before = torch.arange(400) % 4 > 0  # 75 % right
    after = before.clone()
    after[:40] = True
    gain = gain_over("frozen", before, after)
    low, high = gain.interval
    assert 0 < low < gain.top1 < high < 0.05
    assert gain.p == pytest.approx(2 / 2**10)
    assert gain_over("frozen", before, after) == gain


def test_equal_answers_gain_nothing() -> None:
    right = torch.tensor([True, False])
    gain = gain_over("frozen", right, right)
    assert (gain.top1, gain.interval, gain.won, gain.lost, gain.p) == (0, (0, 0), 0, 0, 1)


@pytest.mark.parametrize(
    ("heads", "tails", "p"), [(0, 0, 1), (5, 0, 2 / 32), (0, 5, 2 / 32), (3, 3, 1), (2, 1, 1)]
)
def test_a_fair_coin(heads: int, tails: int, p: float) -> None:
    assert fair_coin(heads, tails) == pytest.approx(p)
