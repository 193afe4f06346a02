"""How far a figure could be off: percentile bootstrap over clips, 95 %.

N clips, C columns of figures a clip, R resamples. Everything is drawn from the seed alone.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Interval = tuple[float, float]
DRAWS = 2000
PERCENTILES = (2.5, 97.5)


def bootstrap_interval(per_clip: ArrayLike, seed: int, draws: int = DRAWS) -> Interval:
    """Interval of a mean: one number a clip, (N,), such as 1 for right and 0 for wrong.

    Where all clips are alike it has no width: a resample cannot show what no clip shows.
    """
    rows = np.asarray(per_clip, np.float64)[:, None]  # (N, 1)
    return percentile_interval(resampled_means(rows, np.random.default_rng(seed), draws)[:, 0])


def mean_class_interval(
    per_clip: ArrayLike, classes: ArrayLike, seed: int, draws: int = DRAWS
) -> Interval:
    """Interval of the mean over classes of their means: (N,), class of each clip (N,).

    Stratified: clips are drawn within their class, so that no resample loses one. A class of one
    clip adds no width.
    """
    rows, of = np.asarray(per_clip, np.float64)[:, None], np.asarray(classes)  # (N, 1), (N,)
    random = np.random.default_rng(seed)
    means = [resampled_means(rows[of == one], random, draws)[:, 0] for one in np.unique(of)]
    return percentile_interval(np.mean(means, axis=0))


def resampled_means(
    rows: NDArray[np.float64], random: np.random.Generator, draws: int
) -> NDArray[np.float64]:
    """Means of R resamples of the clips: (N, C) -> (R, C).

    Clips that are alike are drawn together, as a multinomial: the same distribution, far faster.
    """
    assert len(rows), "no clip to draw from"
    kinds, counts = np.unique(rows, axis=0, return_counts=True)  # (U, C), (U,)
    drawn = random.multinomial(len(rows), counts / len(rows), size=draws)  # (R, U)
    return drawn @ kinds / len(rows)


def percentile_interval(resampled: NDArray[np.float64]) -> Interval:
    """The middle 95 % of a statistic's resamples, (R,)."""
    low, high = np.percentile(resampled, PERCENTILES)
    return float(low), float(high)
