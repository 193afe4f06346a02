"""Answers of two engines side by side, by Polygraphy's comparator. C clips."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
NAME = "ANSWER"


def max_difference(exact: Sequence[Array], given: Sequence[Array]) -> float:
    """Largest absolute difference of a value in C answers; infinite where one is no number."""
    from polygraphy.comparator import SimpleCompareFunc

    results = _compared(exact, given, SimpleCompareFunc(check_error_stat="max"))
    return max(_or_worst(result.max_absdiff, np.inf) for result in results)


def min_cosine(exact: Sequence[Array], given: Sequence[Array]) -> float:
    """Smallest cosine between C pairs of vectors; -1 where one is no number."""
    from polygraphy.comparator import CosineSimilarityCompareFunc

    results = _compared(exact, given, CosineSimilarityCompareFunc())
    return min(_or_worst(result.cosine_similarity, -1.0) for result in results)


def _compared(exact: Sequence[Array], given: Sequence[Array], function: Any) -> list[Any]:
    """What the function says of each pair."""
    from polygraphy.comparator import Comparator, IterationResult, RunResults
    from polygraphy.logger import G_LOGGER

    def run(name: str, answers: Sequence[Array]) -> Any:
        return RunResults([(name, [IterationResult({NAME: answer}) for answer in answers])])

    # The budget decides, not its own thresholds; what is no number is told below as the worst.
    with G_LOGGER.verbosity(G_LOGGER.CRITICAL), np.errstate(invalid="ignore"):
        results: Any = Comparator.compare_accuracy(
            [run("torch", exact), run("engine", given)], compare_func=function
        )
    (pairs,) = results[0].values()
    return [pair[NAME] for pair in pairs]


def _or_worst(value: float, worst: float) -> float:
    return value if np.isfinite(value) else worst
