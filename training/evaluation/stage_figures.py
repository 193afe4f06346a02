"""What the stages of training brought, on held-out clips. C clips."""

from math import comb

from torch import Tensor

from clip_har.config import Config
from training.evaluation.bootstrap import Interval, bootstrap_interval


class StageFigures(Config):
    """The model as a stage left it, on held-out clips."""

    name: str
    """Name of the stage."""
    top1: float
    """Of the main variant."""
    mean_class_accuracy: float
    """Of the main variant."""
    top1_interval: Interval
    """Of `top1`."""
    variants: dict[str, float]
    """Top-1 of every variant."""
    zero_shot: float | None
    """Accuracy on classes that were never trained, by their names; None: there are none."""
    trained_parameters: int
    """Numbers that the stage could change."""
    steps: int
    """Optimiser steps."""
    seconds: float
    """How long it took, interruptions not counted."""


class Gain(Config):
    """The main variant as it is shipped against the same after the first stage alone."""

    over: str
    """Name of the first stage."""
    top1: float
    """Difference of top-1; above 0 where the later stages helped."""
    interval: Interval
    """Of `top1`, drawn over clips, each with both answers."""
    won: int
    """Clips that only the shipped weights name right."""
    lost: int
    """Clips that only the first stage names right."""
    p: float
    """How often chance alone would divide those clips as unevenly (McNemar's exact test)."""


def gain_over(first: str, before: Tensor, after: Tensor, seed: int = 0) -> Gain:
    """From whether each clip is named right after the stage `first`, and as shipped: bool (C,)."""
    change = (after.double() - before.double()).cpu()
    won, lost = int((change > 0).sum()), int((change < 0).sum())
    return Gain(
        over=first,
        top1=float(change.mean()),
        interval=bootstrap_interval(change.numpy(), seed),
        won=won,
        lost=lost,
        p=fair_coin(won, lost),
    )


def fair_coin(heads: int, tails: int) -> float:
    """How often a fair coin falls at least as unevenly, to either side."""
    throws = heads + tails
    tail = sum(comb(throws, few) for few in range(min(heads, tails) + 1)) / 2**throws
    return min(2 * tail, 1.0)
