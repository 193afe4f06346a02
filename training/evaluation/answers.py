"""A model's answers as figures are computed from them. N clips, K classes."""

import torch
from torch import Tensor

IMPOSSIBLE = -1e30
"""Stands for minus infinity, the logarithm of a probability of 0: differences stay numbers."""


def checked_answers(answers: Tensor, kind: str) -> Tensor:
    """Logits, log-probabilities or text scores (N, K) in float64 on the CPU.

    Raises ValueError where they are not numbers; `kind` says what was asked about.
    """
    found = answers.detach().cpu().double()
    broken = found.isnan().any(dim=1) | (found == torch.inf).any(dim=1)
    broken |= ~found.isfinite().any(dim=1)  # (N,)
    if broken.any():
        raise ValueError(
            f"The model's answers to {int(broken.sum())} of {len(found)} {kind} are not numbers "
            f"(NaN or infinity), the first of them to number {int(broken.nonzero()[0])}. Its "
            "weights are damaged or its training diverged: train again, with a lower learning rate."
        )
    return found.clamp(min=IMPOSSIBLE)
