"""The moving average of the weights that learn."""

import pytest
import torch
from torch import nn

from training.averaging import (
    WeightAverage,
    load_trained_weights,
    trained_weights,
    whole_weights,
)


@pytest.fixture
def layer() -> nn.Linear:
    """Only its weight learns; it is 1 everywhere."""
    one = nn.Linear(2, 1)
    nn.init.ones_(one.weight)
    one.bias.requires_grad_(False)
    return one


def set_to(layer: nn.Linear, value: float) -> None:
    with torch.no_grad():
        layer.weight.fill_(value)


def test_the_average_follows_by_its_decay_and_faster_early_on(layer: nn.Linear) -> None:
    average = WeightAverage(layer, 0.9)
    set_to(layer, 2.0)
    average.update(layer, 1)  # decay 2 / 11 at step 1
    assert average.weights["weight"][0, 0] == pytest.approx(2 - 2 / 11)
    late = WeightAverage(layer, 0.9)
    set_to(layer, 3.0)
    late.update(layer, 1000)
    assert late.weights["weight"][0, 0] == pytest.approx(2 * 0.9 + 3 * 0.1)


def test_the_average_is_apart_from_the_weights_that_go_on(layer: nn.Linear) -> None:
    average = WeightAverage(layer, 0.9)
    set_to(layer, 5.0)
    assert average.weights.keys() == {"weight"}
    assert average.weights["weight"].unique().item() == 1.0
    average.restore({"weight": torch.full((1, 2), 7.0)})
    assert average.weights["weight"].unique().item() == 7.0
    assert layer.weight.unique().item() == 5.0


def test_trained_weights_share_memory_and_whole_ones_do_not(layer: nn.Linear) -> None:
    shared = trained_weights(layer)
    whole = whole_weights(shared)
    set_to(layer, 4.0)
    assert shared["weight"].unique().item() == 4.0
    assert whole["weight"].unique().item() == 1.0
    load_trained_weights(layer, whole)
    assert layer.weight.unique().item() == 1.0


def test_weights_of_another_stage_are_not_loaded(layer: nn.Linear) -> None:
    with pytest.raises(AssertionError, match="another stage"):
        load_trained_weights(layer, {"bias": torch.zeros(1)})
