"""Whether a candidate may be published: its answers against the trained model's.

C clips, T frames, D embedding, K classes.
"""

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from builder.comparison import max_difference
from builder.profile import Budget
from clip_har.config import Config

BINS = 15
RESAMPLES = 2000


class Figures(Config):
    """How far a candidate is from the trained model."""

    rows: int
    """Embeddings, or clips, that were compared."""
    mean_cosine: float | None = None
    """Between embeddings."""
    min_cosine: float | None = None
    """The worst of them."""
    max_probability_error: float | None = None
    """Largest absolute difference of a class probability."""
    top1_agreement: float | None = None
    """Share of clips on which both name the same class first."""
    accuracy: float | None = None
    """Top-1 with the candidate in its place."""
    accuracy_drop: float | None = None
    """Points of percent below the trained model's."""
    accuracy_drop_interval: tuple[float, float] | None = Field(default=None)
    """95 %, paired bootstrap over clips."""
    ece: float | None = None
    """Expected calibration error, 15 bins."""


@dataclass(frozen=True)
class Verdict:
    """What the gate says of a candidate."""

    figures: Figures
    """The comparison."""
    faults: tuple[str, ...]
    """What is over the budget; none where it may be published."""


def cosine_figures(exact: Tensor, given: Tensor) -> dict[str, float]:
    """Mean and least cosine of embeddings (..., D); what is not a number counts as the worst.

    Of thousands of frames; Polygraphy's comparator takes some milliseconds for each.
    """
    cosines = torch.cosine_similarity(exact.flatten(0, -2), given.flatten(0, -2), dim=-1)
    cosines = cosines.nan_to_num(nan=-1.0)
    return {"mean_cosine": float(cosines.mean()), "min_cosine": float(cosines.min())}


def class_figures(
    exact: Tensor, given: Tensor, truth: Tensor, *, trained: bool
) -> dict[str, float | tuple[float, float]]:
    """What probabilities (C, K) are against the exact ones; accuracy only of a trained model."""
    agreed = (exact.argmax(dim=1) == given.argmax(dim=1)).double()
    figures: dict[str, float | tuple[float, float]] = {
        "max_probability_error": max_difference([exact.numpy()], [given.numpy()]),
        "top1_agreement": float(agreed.mean()),
    }
    if trained:
        lost = 100 * (_hits(exact, truth) - _hits(given, truth))  # (C,)
        figures |= {
            "accuracy": float(_hits(given, truth).mean()),
            "accuracy_drop": float(lost.mean()),
            "accuracy_drop_interval": _interval(lost.numpy()),
            "ece": float(
                multiclass_calibration_error(given, truth, given.shape[1], BINS, norm="l1")
            ),
        }
    return figures


def judged(figures: Figures, budget: Budget, *, trained: bool) -> Verdict:
    """Holds figures against a budget; which class is first means nothing of random weights."""
    f, b = figures, budget
    limits = [
        ("cosine", f.min_cosine, b.min_cosine, False),
        ("probability error", f.max_probability_error, b.max_probability_error, True),
    ]
    if trained:
        limits += [
            ("top-1 agreement", f.top1_agreement, b.least_agreement(f.rows), False),
            ("accuracy drop in points", f.accuracy_drop, b.most_drop(f.rows), True),
        ]
    faults = [
        f"{name} {found:.5g} ({'at most' if most else 'at least'} {limit:g})"
        for name, found, limit, most in limits
        if found is not None and (found > limit if most else found < limit)
    ]
    return Verdict(figures, tuple(faults if figures.rows else ["nothing was compared"]))


def _hits(probs: Tensor, truth: Tensor) -> Tensor:
    return (probs.argmax(dim=1) == truth).double()


def _interval(lost: np.ndarray) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    means = lost[rng.integers(len(lost), size=(RESAMPLES, len(lost)))].mean(axis=1)
    low, high = np.percentile(means, (2.5, 97.5))
    return float(low), float(high)
