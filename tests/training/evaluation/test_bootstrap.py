import math

import numpy as np
import pytest

from training.evaluation.bootstrap import (
    bootstrap_interval,
    mean_class_interval,
    resampled_means,
)


def test_the_interval_of_a_share_is_close_to_the_normal_one() -> None:
    hits = np.repeat([1, 0], [700, 300])
    half = 1.96 * math.sqrt(0.7 * 0.3 / 1000)
    assert bootstrap_interval(hits, seed=0) == pytest.approx((0.7 - half, 0.7 + half), abs=0.004)


def test_numbers_that_all_differ_are_drawn_too() -> None:
    numbers = np.random.default_rng(1).normal(5, 2, 400)
    half = 1.96 * numbers.std() / 20
    low, high = bootstrap_interval(numbers, seed=0)
    assert (low, high) == pytest.approx((numbers.mean() - half, numbers.mean() + half), abs=0.02)


def test_the_same_seed_gives_the_same_interval_and_the_order_of_clips_does_not_matter() -> None:
    hits = np.array([1, 0, 1, 1, 0, 0.5, 1])
    assert bootstrap_interval(hits, seed=3) == bootstrap_interval(hits[::-1], seed=3)
    assert bootstrap_interval(hits, seed=3, draws=50) != bootstrap_interval(hits, seed=4, draws=50)


def test_clips_that_are_all_alike_leave_no_width() -> None:
    assert bootstrap_interval([1, 1, 1], seed=0) == (1.0, 1.0)
    assert bootstrap_interval([0], seed=0) == (0.0, 0.0)


def test_means_of_columns_are_drawn_together() -> None:
    rows = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    means = resampled_means(rows, np.random.default_rng(0), 100)
    assert means.shape == (100, 2)
    assert means.sum(axis=1) == pytest.approx(np.ones(100))


def test_classes_are_drawn_apart_so_that_a_small_one_weighs_as_much_as_a_large_one() -> None:
    hits = np.concatenate([np.repeat([1, 0], [50, 50]), np.repeat([1, 0], [450, 450])])
    classes = np.repeat([4, 9], [100, 900])
    half = 1.96 * math.sqrt(0.25 / 100 + 0.25 / 900) / 2
    found = mean_class_interval(hits, classes, seed=0)
    assert found == pytest.approx((0.5 - half, 0.5 + half), abs=0.004)
    # drawn apart, a class that is always right and one that is always wrong leave no doubt
    assert mean_class_interval([1, 1, 0, 0], [0, 0, 1, 1], seed=0) == (0.5, 0.5)
