"""Whether a model knows the order of frames, from its answers to pairs. P pairs, K classes."""

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


def order_tier(
    forward: Tensor,
    backward: Tensor,
    shuffled_forward: Tensor,
    shuffled_backward: Tensor,
    bag_forward: Tensor,
    bag_backward: Tensor,
    label: Tensor,
    reversed_label: Tensor,
    seed: int = 0,
) -> OrderTier:
    """Figures of P pairs from logits (P, K) of both clips of each and their classes (P,).

    Three models of the same clips: the one in question, the same with each clip's frames in random
    order, and the control that averages frames.
    """
    truth = PairTruth(label.cpu(), reversed_label.cpu())
    margins = pair_margins(forward, backward, truth)
    scores = pair_scores(margins)
    shuffled = pair_scores(pair_margins(shuffled_forward, shuffled_backward, truth))
    bag = pair_scores(pair_margins(bag_forward, bag_backward, truth))
    return OrderTier(
        pairs=len(label),
        accuracy=float(scores.mean()),
        interval=bootstrap_interval(scores, seed),
        swap_rate=float((margins.prod(axis=1) > 0).mean()),
        shuffled=float(shuffled.mean()),
        shuffled_interval=bootstrap_interval(shuffled, seed),
        frame_bag=float(bag.mean()),
        frame_bag_max_logit_difference=float((bag_forward - bag_backward).abs().max()),
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
