"""An exponential moving average of the weights that are trained."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.distributed.tensor import DTensor, distribute_tensor


class WeightAverage:
    """Follows the trained weights of a model: average = decay * average + (1 - decay) * weights.

    Early on the decay is lower, (1 + step) / (10 + step), so that the random start is forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: value.clone() for name, value in trained_weights(model).items()}

    @torch.no_grad()
    def update(self, model: nn.Module, step: int) -> None:
        """Takes the weights after `step` steps into account."""
        share = 1 - min(self.decay, (1 + step) / (10 + step))
        for name, value in trained_weights(model).items():
            self.weights[name].lerp_(value, share)

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Goes on from saved averages."""
        for name, value in weights.items():
            self.weights[name].copy_(_spread_like(self.weights[name], value))


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """The weights that learn, by name; they share the model's memory."""
    return {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}


@torch.no_grad()
def load_trained_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts values in the place of the weights that learn."""
    ours = trained_weights(model)
    assert ours.keys() == weights.keys(), "the weights of another stage"
    for name, value in weights.items():
        ours[name].copy_(_spread_like(ours[name], value))


def whole_weights(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, put together where each process holds a part; all of them call it."""
    whole = {n: v.full_tensor() if isinstance(v, DTensor) else v for n, v in weights.items()}
    return {name: value.detach().cpu().clone() for name, value in whole.items()}


def _spread_like(ours: Tensor, value: Tensor) -> Tensor:
    if not isinstance(ours, DTensor) or isinstance(value, DTensor):
        return value
    return distribute_tensor(value.to(ours.device), ours.device_mesh, ours.placements)
