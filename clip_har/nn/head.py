"""The action classifier. B clips, D embedding, K classes."""

from torch import Tensor, nn


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
