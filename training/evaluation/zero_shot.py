"""Recognition by class names alone, under three protocols whose figures must not be mixed.

N clips, M names to choose from, D draws of classes, R resamples.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.evaluation.answers import checked_answers
from training.evaluation.bootstrap import (
    DRAWS,
    bootstrap_interval,
    percentile_interval,
    resampled_means,
)
from training.evaluation.metrics import ZeroShot

HALF_CLASS_DRAWS = 10


@dataclass(frozen=True)
class TextScores:
    """How well N clips match M class texts, for the tuned model and for the CLIP it came from."""

    tuned: Tensor
    """Of the variant in question, (N, M)."""
    frozen: Tensor
    """Of the pretrained CLIP, by the mean of its frames, (N, M)."""
    truth: Tensor
    """Column of each clip's class, (N,)."""


def zero_shot_hits(scores: Tensor, truth: Tensor) -> NDArray[np.float64]:
    """1 for every clip whose own class text matches best, else 0: (N, M), (N,) -> (N,)."""
    found = checked_answers(scores, "clips by class texts")
    return (found.argmax(dim=1) == truth.cpu()).double().numpy()


def zero_shot_accuracy(scores: Tensor, truth: Tensor) -> float:
    """Share of clips whose own class text matches best: (N, M), (N,) -> [0, 1]."""
    return float(zero_shot_hits(scores, truth).mean())


def harmonic_mean(one: float, other: float) -> float:
    """Of two shares: near the smaller, 0 if either is 0."""
    return 2 * one * other / (one + other) if one and other else 0.0


def all_classes(scores: TextScores, variant: str, seed: int = 0) -> ZeroShot:
    """EP1: a data set or classes that training never saw, all names at once."""
    tuned, frozen = (zero_shot_hits(one, scores.truth) for one in (scores.tuned, scores.frozen))
    return ZeroShot(
        protocol="EP1",
        variant=variant,
        classes=scores.tuned.shape[1],
        clips=len(scores.truth),
        accuracy=float(tuned.mean()),
        interval=bootstrap_interval(tuned, seed),
        chance=1 / scores.tuned.shape[1],
        frozen=float(frozen.mean()),
        frozen_interval=bootstrap_interval(frozen, seed),
        retention=float(tuned.mean() - frozen.mean()),
    )


def base_to_novel(
    novel: TextScores, base_scores: Tensor, base_truth: Tensor, variant: str, seed: int = 0
) -> ZeroShot:
    """base-to-novel: untrained classes among themselves, and trained classes among themselves.

    `base_scores` of clips of trained classes against their texts (N', M'), `base_truth` (N',).
    """
    base = zero_shot_accuracy(base_scores, base_truth)
    found = all_classes(novel, variant, seed)
    both = {"base": base, "harmonic_mean": harmonic_mean(base, found.accuracy)}
    return found.model_copy(update={"protocol": "base-to-novel", **both})


def half_class(
    scores: TextScores, variant: str, seed: int = 0, draws: int = HALF_CLASS_DRAWS
) -> ZeroShot:
    """half-class: draws of half of the classes that occur, each among themselves; their mean.

    The interval is over clips, for the same draws of classes. Raises ValueError where there are
    too few classes to halve.
    """
    inside, halves = _drawn_halves(scores, seed, draws)
    tuned, frozen = (
        np.stack([_hits_within(one, scores.truth, half) for half in halves], axis=1)
        for one in (scores.tuned, scores.frozen)
    )  # (N, D) each
    by_draw = tuned.sum(axis=0) / inside.sum(axis=0)  # (D,)
    frozen_by_draw = frozen.sum(axis=0) / inside.sum(axis=0)  # (D,)
    return ZeroShot(
        protocol="half-class",
        variant=variant,
        classes=len(halves[0]),
        clips=int(inside.any(axis=1).sum()),
        accuracy=float(by_draw.mean()),
        interval=_interval_over_draws(tuned, inside, seed),
        std=float(by_draw.std(ddof=1)) if draws > 1 else 0.0,
        chance=1 / len(halves[0]),
        frozen=float(frozen_by_draw.mean()),
        frozen_interval=_interval_over_draws(frozen, inside, seed),
        retention=float(by_draw.mean() - frozen_by_draw.mean()),
    )


def _drawn_halves(
    scores: TextScores, seed: int, draws: int
) -> tuple[NDArray[np.float64], list[NDArray[np.int64]]]:
    """Which clips each draw asks about, (N, D), and the columns it chooses from."""
    truth = scores.truth.cpu().numpy()
    occurring = np.unique(truth)
    if len(occurring) < 4:
        raise ValueError(
            f"The half-class protocol needs clips of at least 4 classes, and there are "
            f"{len(occurring)}. Use the protocol EP1, which asks about all classes at once."
        )
    random = np.random.default_rng(seed)
    size = len(occurring) // 2
    halves = [np.sort(random.choice(occurring, size, replace=False)) for _ in range(draws)]
    inside = np.stack([np.isin(truth, half) for half in halves], axis=1)
    return inside.astype(np.float64), halves


def _hits_within(scores: Tensor, truth: Tensor, half: NDArray[np.int64]) -> NDArray[np.float64]:
    """Hits where only `half` of the names may be chosen; other clips are none: (N, M) -> (N,)."""
    places = torch.full((scores.shape[1],), -1)  # column -> its place in `half`
    places[half] = torch.arange(len(half))
    return zero_shot_hits(scores[:, half], places[truth.cpu()])


def _interval_over_draws(
    hits: NDArray[np.float64], inside: NDArray[np.float64], seed: int
) -> tuple[float, float]:
    rows = np.concatenate([hits, inside], axis=1)  # (N, 2D)
    means = resampled_means(rows, np.random.default_rng(seed), DRAWS)  # (R, 2D)
    right, asked = np.split(means, 2, axis=1)  # (R, D) each
    return percentile_interval((right / np.maximum(asked, 1 / len(rows))).mean(axis=1))
