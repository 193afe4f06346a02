"""The action classifier. B clips, D embedding, K classes."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TEMPERATURE_BOUNDS = (0.05, 20.0)  # a handful of clips can ask for any value beyond


class ActionHead(nn.Sequential):
    """Dropout, a layer of D/2, ReLU, a layer of K: clip embedding (B, D) -> logits (B, K)."""

    def __init__(self, dim: int, classes: int, dropout: float = 0.5) -> None:
        super().__init__(
            nn.Dropout(dropout),
            nn.Linear(dim, dim // 2),
            nn.ReLU(),
            nn.Linear(dim // 2, classes),
        )


def probabilities(logits: Tensor, temperature: float) -> Tensor:
    """Calibrated class probabilities, (B, K) -> (B, K)."""
    return (logits / temperature).softmax(dim=-1)


def fitted_temperature(logits: Tensor, truth: Tensor) -> float:
    """The temperature under which held-out logits (B, K) are most likely (Guo et al., 2017)."""
    log_temperature = torch.zeros(1, requires_grad=True)
    low, high = (math.log(bound) for bound in TEMPERATURE_BOUNDS)
    optimizer = torch.optim.LBFGS([log_temperature], max_iter=50)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(logits / log_temperature.clamp(low, high).exp(), truth)
        loss.backward()
        return loss

    optimizer.step(closure)
    return float(log_temperature.detach().clamp(low, high).exp())
