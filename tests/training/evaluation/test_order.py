import pytest
import torch
from torch import Tensor

from training.evaluation.metrics import OrderTier
from training.evaluation.order import Both, PairTruth, order_tier

# Two pairs of the classes 0 and 1, and one of the classes 2 and 1.
TRUTH = PairTruth(torch.tensor([0, 0, 2]), torch.tensor([1, 1, 1]))
SAME = torch.tensor([[0.3, 0.2, 0.9], [0.3, 0.4, 0.1], [0.5, 0.5, 0.5]])


def tier_of(
    forward: Tensor, backward: Tensor, bag: Both = (SAME, SAME), *shuffled: Both
) -> OrderTier:
    return order_tier((forward, backward), shuffled or [(SAME, SAME)], bag, TRUTH)


def test_a_model_that_averages_frames_is_at_exactly_one_half() -> None:
    found = tier_of(SAME, SAME)
    assert (found.pairs, found.accuracy, found.interval) == (3, 0.5, (0.5, 0.5))
    assert (found.shuffled, found.frame_bag, found.swap_rate) == (0.5, 0.5, 0.0)
    assert found.frame_bag_max_logit_difference == 0.0


def test_each_clip_is_right_where_its_own_class_is_above_that_of_its_reversal() -> None:
    forward = torch.tensor([[2.0, 1.0, 9.0], [1.0, 2.0, 9.0], [9.0, 0.0, 1.0]])  # right wrong right
    backward = torch.tensor([[1.0, 2.0, 9.0], [2.0, 1.0, 9.0], [9.0, 1.0, 1.0]])  # right wrong tie
    found = tier_of(forward, backward)
    assert found.accuracy == pytest.approx((2 + 0 + 1.5) / 6)
    # the first two pairs get opposite answers, the second pair the wrong ones; a tie is no answer
    assert found.swap_rate == pytest.approx(2 / 3)
    low, high = found.interval
    assert low < found.accuracy < high


def test_shuffled_frames_are_asked_about_in_several_orders() -> None:
    forward, backward = torch.eye(3)[TRUTH.label], torch.eye(3)[TRUTH.reversed_label]
    right, wrong = (forward, backward), (backward, forward)
    found = tier_of(SAME, SAME, (SAME, SAME), right, right, right, wrong)
    assert found.shuffled == 0.75
    assert found.shuffled_interval == (0.75, 0.75)  # over pairs, which are all alike


def test_what_a_reversal_does_to_the_control_is_shown() -> None:
    found = tier_of(SAME, SAME, (SAME, SAME + torch.tensor([0.0, 0.25, 0.0])))
    assert found.frame_bag_max_logit_difference == pytest.approx(0.25)
    assert found.frame_bag > 0.5


def test_answers_that_are_not_numbers_are_an_error() -> None:
    with pytest.raises(ValueError, match="clips of pairs are not numbers"):
        tier_of(SAME * torch.nan, SAME)
