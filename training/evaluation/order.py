"""Whether a model knows the order of frames, from its answers to pairs. P pairs, K classes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.evaluation.answers import checked_answers
from training.evaluation.bootstrap import bootstrap_interval
from training.evaluation.metrics import OrderTier


@dataclass(frozen=True)
class PairTruth:
    """What the two clips of each pair show."""

    label: Tensor
    """Class of the clip as it was taken, (P,)."""
    reversed_label: Tensor
    """Class of its reversal, (P,)."""


Both = tuple[Tensor, Tensor]
"""Logits (P, K) of the clips as they were taken, and of their reversals."""


def order_tier(
    told: Both, shuffled: Sequence[Both], bag: Both, truth: PairTruth, seed: int = 0
) -> OrderTier:
    """Figures of P pairs from the answers to both clips of each.

    Three models of the same clips: the one in question, the same with each clip's frames in random
    order, several times, and the control that averages frames.
    """
    margins = pair_margins(*told, truth)
    scores = pair_scores(margins)
    mixed = np.mean([pair_scores(pair_margins(*one, truth)) for one in shuffled], axis=0)  # (P,)
    return OrderTier(
        pairs=len(truth.label),
        accuracy=float(scores.mean()),
        interval=bootstrap_interval(scores, seed),
        swap_rate=float((margins.prod(axis=1) > 0).mean()),
        shuffled=float(mixed.mean()),
        shuffled_interval=bootstrap_interval(mixed, seed),
        frame_bag=float(pair_scores(pair_margins(*bag, truth)).mean()),
        frame_bag_max_logit_difference=float((bag[0] - bag[1]).abs().max()),
    )


def pair_margins(forward: Tensor, backward: Tensor, truth: PairTruth) -> NDArray[np.float64]:
    """How far each clip's own class is above the other of its pair: (P, K), (P, K) -> (P, 2)."""
    ahead = _difference(forward, truth.label, truth.reversed_label)
    back = _difference(backward, truth.reversed_label, truth.label)
    return torch.stack([ahead, back], dim=1).numpy()


def pair_scores(margins: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of each pair's two clips that are right, an exact tie half: (P, 2) -> (P,)."""
    return np.heaviside(margins, 0.5).mean(axis=1)


def _difference(logits: Tensor, one: Tensor, other: Tensor) -> Tensor:
    logits, rows = checked_answers(logits, "clips of pairs"), torch.arange(len(one))
    return logits[rows, one] - logits[rows, other]  # (P,)
