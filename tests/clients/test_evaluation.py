import math

import numpy as np
import pytest

from clients.evaluation import (
    Confusion,
    centred_logits,
    confusions,
    max_abs_error,
    mean_class_accuracy,
    order_accuracy,
    order_difference,
    top1,
)

PROBABILITIES = np.array(
    [[0.7, 0.2, 0.1], [0.6, 0.3, 0.1], [0.1, 0.8, 0.1], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]]
)
TRUTH = np.array([0, 0, 0, 1, 1])  # seen: 0, 0, 1, 1, 0


def test_top1_is_the_share_of_samples_read_right() -> None:
    assert top1(PROBABILITIES, TRUTH) == pytest.approx(3 / 5)


def test_every_class_that_occurs_weighs_the_same_in_the_mean_class_accuracy() -> None:
    assert mean_class_accuracy(PROBABILITIES, TRUTH) == pytest.approx((2 / 3 + 1 / 2) / 2)


def test_confusions_are_the_mistakes_most_frequent_first() -> None:
    truth = np.array([0, 1, 0, 2, 1])  # seen: 0, 0, 1, 1, 0
    assert confusions(PROBABILITIES, truth, most=2) == [Confusion(1, 0, 2), Confusion(0, 1, 1)]


def test_a_model_blind_to_order_reads_half_of_the_files_right() -> None:
    same = np.array([[0.6, 0.3, 0.1], [0.1, 0.2, 0.7]])
    label, reversed_label = np.array([0, 1]), np.array([1, 2])
    assert order_accuracy(same, same, label, reversed_label) == 0.5
    assert order_difference(same, same, label, reversed_label) == 0


def test_order_accuracy_chooses_between_the_two_labels_and_halves_a_tie() -> None:
    label, reversed_label = np.array([0, 0]), np.array([1, 1])
    forward = np.array([[0.2, 0.1, 0.7], [0.3, 0.3, 0.4]])  # right, tie
    backward = np.array([[0.2, 0.1, 0.7], [0.1, 0.2, 0.7]])  # wrong, right
    assert order_accuracy(forward, backward, label, reversed_label) == pytest.approx(2.5 / 4)


def test_order_difference_is_the_largest_move_of_a_logit_or_of_the_margin() -> None:
    # logits 1, -1, 0 become -1, 1, 0: each moves by 2, the margin between them by 4
    forward, backward = softmax([[1.0, -1.0, 0.0]]), softmax([[-1.0, 1.0, 0.0]])
    assert order_difference(forward, backward, np.array([0]), np.array([1])) == pytest.approx(4)
    # another class moves by 3 * 2/3 = 2, the margin of the pair not at all
    forward, backward = softmax([[0.0, 0.0, 0.0]]), softmax([[0.0, 0.0, 3.0]])
    assert order_difference(forward, backward, np.array([0]), np.array([1])) == pytest.approx(2)


def test_logits_are_centred_and_a_zero_counts_as_1e_30() -> None:
    logits = centred_logits(np.array([[1.0, 0.0]], np.float32))
    half = -math.log(1e-30) / 2
    assert logits[0].tolist() == pytest.approx([half, -half])


def test_the_largest_difference_counts_and_nothing_differs_from_nothing() -> None:
    assert max_abs_error(np.array([0.5, 0.25]), np.array([0.25, 0.125])) == 0.25
    assert max_abs_error(np.empty((0, 3)), np.empty((0, 3))) == 0


def softmax(logits: list[list[float]]) -> np.ndarray:
    weights = np.exp(np.array(logits))
    return weights / weights.sum(axis=1, keepdims=True)
