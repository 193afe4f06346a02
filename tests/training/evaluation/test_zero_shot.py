import math

import numpy as np
import pytest
import torch

from training.evaluation.zero_shot import (
    TextScores,
    all_classes,
    base_to_novel,
    half_class,
    harmonic_mean,
    zero_shot_accuracy,
)

TRUTH = torch.tensor([0, 0, 1, 2])
RIGHT = torch.eye(3)[TRUTH]
HALF = torch.eye(3)[torch.tensor([0, 1, 1, 0])]  # two of four right


def test_accuracy_is_the_share_of_clips_nearest_to_their_own_text() -> None:
    assert zero_shot_accuracy(RIGHT, TRUTH) == 1.0
    assert zero_shot_accuracy(HALF, TRUTH) == 0.5


def test_ep1_compares_the_tuned_model_with_the_frozen_one() -> None:
    found = all_classes(TextScores(HALF, RIGHT, TRUTH), "temporal")
    assert (found.protocol, found.variant, found.classes, found.clips) == ("EP1", "temporal", 3, 4)
    assert (found.accuracy, found.frozen, found.retention) == (0.5, 1.0, -0.5)
    assert found.chance == pytest.approx(1 / 3)
    assert found.frozen_interval == (1.0, 1.0)
    assert found.interval[0] < 0.5 < found.interval[1]
    assert (found.base, found.harmonic_mean, found.std) == (None, None, None)


def test_the_harmonic_mean_is_near_the_smaller() -> None:
    assert harmonic_mean(0.9, 0.6) == pytest.approx(0.72)
    assert harmonic_mean(0.5, 0.0) == 0.0
    assert harmonic_mean(0.0, 0.0) == 0.0


def test_base_to_novel_keeps_trained_and_untrained_classes_apart() -> None:
    base_scores, base_truth = torch.eye(2)[torch.tensor([0, 1, 1, 1])], torch.tensor([0, 1, 1, 0])
    found = base_to_novel(TextScores(HALF, RIGHT, TRUTH), base_scores, base_truth, "base")
    assert found.protocol == "base-to-novel"
    assert (found.base, found.accuracy, found.classes) == (0.75, 0.5, 3)
    assert found.harmonic_mean == pytest.approx(0.6)


def test_half_class_asks_among_half_of_the_names_in_several_draws() -> None:
    truth = torch.arange(6).repeat_interleave(50)
    # every clip is taken for the class below: right exactly where that class is not in the draw
    below = torch.eye(6)[(truth - 1) % 6] * 2 + torch.eye(6)[truth]
    found = half_class(TextScores(below, torch.eye(6)[truth], truth), "base", seed=1)
    assert (found.protocol, found.classes, found.chance) == ("half-class", 3, 1 / 3)
    assert (found.clips, found.frozen, found.frozen_interval) == (300, 1.0, (1.0, 1.0))
    # a class below is in the draw with probability 2/5
    assert found.std is not None
    assert abs(found.accuracy - 3 / 5) < 3 * found.std / math.sqrt(10)
    thirds = np.round(found.accuracy * 30, 6)  # each draw is a number of thirds, ten are averaged
    assert thirds == int(thirds)
    again = half_class(TextScores(below, torch.eye(6)[truth], truth), "base", seed=1)
    assert again == found


def test_the_interval_of_half_class_is_over_clips() -> None:
    random = torch.Generator().manual_seed(0)
    truth = torch.arange(4).repeat_interleave(250)
    scores = torch.randn(1000, 4, generator=random) + torch.eye(4)[truth]
    found = half_class(TextScores(scores, scores, truth), "base")
    low, high = found.interval
    # about 1000 clips decide: near the normal interval, a little narrower for several draws each
    assert low < found.accuracy < high
    normal = 2 * 1.96 * math.sqrt(found.accuracy * (1 - found.accuracy) / 1000)
    assert 0.7 * normal < high - low < 1.1 * normal
    assert found.interval == found.frozen_interval


def test_classes_without_clips_are_not_drawn_and_too_few_are_an_error() -> None:
    truth = torch.tensor([0, 2, 3, 5])
    found = half_class(TextScores(torch.eye(6)[truth], torch.eye(6)[truth], truth), "base")
    assert (found.classes, found.accuracy) == (2, 1.0)
    with pytest.raises(ValueError, match="at least 4 classes, and there are 3"):
        half_class(TextScores(RIGHT, RIGHT, TRUTH), "base")
