import math

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_accuracy

from training.evaluation.classification import classification_from_logits

PROBABILITIES = torch.tensor(
    [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]]
)
TRUTH = torch.tensor([0, 0, 0, 1, 1])  # named: 0, 0, 1, 1, 0; nothing shows class 2
LABELS = ("running", "sitting", "waving")


def test_shares_by_hand() -> None:
    found = classification_from_logits(PROBABILITIES.log(), TRUTH, 1.0, LABELS)
    assert found.clips == 5
    assert found.top1 == pytest.approx(3 / 5)
    assert found.top5 == 1.0  # of three classes, all are among the first five
    assert found.mean_class_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    low, high = found.top1_interval
    assert 0 <= low < found.top1 < high <= 1


def test_confusion_and_figures_of_a_class_by_hand() -> None:
    found = classification_from_logits(PROBABILITIES.log(), TRUTH, 1.0, LABELS)
    assert found.confusion == ((2, 1, 0), (1, 1, 0), (0, 0, 0))
    running, sitting, waving = found.per_class
    assert (running.label, running.clips) == ("running", 3)
    shown = (running.precision, running.recall, running.f1)
    assert shown == pytest.approx((2 / 3, 2 / 3, 2 / 3))
    assert (sitting.precision, sitting.recall) == pytest.approx((1 / 2, 1 / 2))
    assert (waving.clips, waving.precision, waving.recall, waving.f1) == (0, 0, 0, 0)


def test_a_class_without_clips_does_not_lower_the_mean_class_accuracy_where_it_is_named() -> None:
    logits = torch.eye(3)[[0, 2, 1]]  # the second clip is called by the missing class
    found = classification_from_logits(logits, torch.tensor([0, 0, 1]), 1.0, LABELS)
    assert found.mean_class_accuracy == pytest.approx((1 / 2 + 1) / 2)
    assert float(multiclass_accuracy(logits, torch.tensor([0, 0, 1]), 3)) == pytest.approx(0.5)


def test_calibration_by_hand() -> None:
    found = classification_from_logits(PROBABILITIES.log(), TRUTH, 1.0, LABELS)
    nll = -np.log([0.7, 0.6, 0.1, 0.7, 0.4]).mean()
    brier = np.mean([0.14, 0.26, 0.81 + 0.64 + 0.01, 0.04 + 0.09 + 0.01, 0.25 + 0.36 + 0.01])
    assert found.nll == pytest.approx(nll)
    assert found.brier == pytest.approx(brier)
    # bins: {0.7 right, 0.7 right}, {0.6 right}, {0.5 wrong}, {0.8 wrong}
    assert found.ece == pytest.approx((2 * 0.3 + 0.4 + 0.5 + 0.8) / 5)


def test_a_temperature_divides_the_logits_and_both_calibrations_are_kept() -> None:
    logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [0.0, 4.0], [4.0, 0.0]])
    truth = torch.tensor([0, 0, 1, 1])
    found = classification_from_logits(logits, truth, 4.0, ("a", "b"))
    assert found.temperature == 4.0
    assert found.ece == pytest.approx(abs(1 / (1 + math.exp(-1)) - 0.75))
    assert found.before_temperature.ece == pytest.approx(1 / (1 + math.exp(-4)) - 0.75)
    assert found.nll < found.before_temperature.nll
    cold = classification_from_logits(logits, truth, 1.0, ("a", "b"))
    assert (found.top1, found.confusion) == (cold.top1, cold.confusion)


def test_reliability_bins_hold_every_clip_and_sum_to_the_calibration_error() -> None:
    random = torch.Generator().manual_seed(0)
    logits = torch.randn(300, 6, generator=random) * 2
    truth = torch.randint(6, (300,), generator=random)
    found = classification_from_logits(logits, truth, 1.3, tuple("abcdef"))
    for bins, ece in (
        (found.reliability, found.ece),
        (found.reliability_before, found.before_temperature.ece),
    ):
        assert (len(bins), sum(one.clips for one in bins)) == (15, 300)
        gaps = [one.clips * abs(one.accuracy - one.confidence) for one in bins]
        assert sum(gaps) / 300 == pytest.approx(ece)
        assert all(
            place / 15 <= one.confidence <= (place + 1) / 15
            for place, one in enumerate(bins)
            if one.clips
        )
    top5 = [
        int(row.topk(5).indices.eq(true).any()) for row, true in zip(logits, truth, strict=True)
    ]
    assert found.top5 == pytest.approx(np.mean(top5))


def test_a_probability_of_one_is_in_the_last_bin_and_one_of_zero_costs_finitely() -> None:
    logits = torch.tensor([[1.0, 0.0], [1.0, 0.0]]).log()  # averaged views may underflow
    found = classification_from_logits(logits, torch.tensor([0, 1]), 1.0, ("a", "b"))
    assert found.reliability[-1].clips == 2
    assert found.reliability[-1].accuracy == 0.5
    assert found.nll == pytest.approx(-math.log(1e-30) / 2)
    assert found.brier == pytest.approx(1.0)


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_answers_that_are_not_numbers_are_an_error_that_says_where(broken: float) -> None:
    logits = torch.zeros(3, 2)
    logits[1, 0] = broken
    with pytest.raises(ValueError, match=r"1 of 3 clips are not numbers.*number 1\."):
        classification_from_logits(logits, torch.tensor([0, 1, 0]), 1.0, ("a", "b"))
