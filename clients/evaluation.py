"""What probabilities say about a model: pure functions of arrays."""

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# N samples, P pairs, K classes

Probabilities = NDArray[np.floating]
Indices = NDArray[np.integer]

SMALLEST_PROBABILITY = 1e-30
"""A probability of 0 counts as this much where a logarithm is taken."""


@dataclass(frozen=True, slots=True)
class Confusion:
    """A mistake and how often it was made."""

    truth: int
    """Index of the true class."""
    predicted: int
    """Index of the class that the model saw."""
    count: int
    """Samples."""


def right(probabilities: Probabilities, truth: Indices) -> NDArray[np.bool_]:
    """Which samples have the true class as their most probable one: (N, K), (N,) -> (N,)."""
    return np.equal(probabilities.argmax(axis=1), truth)


def top1(probabilities: Probabilities, truth: Indices) -> float:
    """Share of samples whose most probable class is the true one: (N, K), (N,) -> [0, 1]."""
    return float(right(probabilities, truth).mean())


def mean_class_accuracy(probabilities: Probabilities, truth: Indices) -> float:
    """Mean over the classes that occur of the share of their samples that is read right."""
    hits = right(probabilities, truth)
    return float(np.mean([hits[truth == one].mean() for one in np.unique(truth)]))


def confusions(probabilities: Probabilities, truth: Indices, most: int) -> list[Confusion]:
    """The most frequent mistakes, at most `most`; equally frequent ones in the order of classes."""
    predicted = probabilities.argmax(axis=1)  # (N,)
    counts = Counter(
        (int(true), int(seen)) for true, seen in zip(truth, predicted, strict=True) if true != seen
    )
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Confusion(true, seen, count) for (true, seen), count in ordered[:most]]


def order_accuracy(
    forward: Probabilities, backward: Probabilities, label: Indices, reversed_label: Indices
) -> float:
    """Two-way accuracy over the 2P files of the pairs: (P, K), (P, K), (P,), (P,) -> [0, 1].

    A file is right if its own label is more probable than the other of its pair; a tie counts half.
    """
    pairs = np.arange(len(label))
    first = forward[pairs, label] - forward[pairs, reversed_label]  # (P,)
    second = backward[pairs, reversed_label] - backward[pairs, label]  # (P,)
    margins = np.concatenate([first, second])  # (2P,)
    return float(np.heaviside(margins, 0.5).mean())


def order_difference(
    forward: Probabilities, backward: Probabilities, label: Indices, reversed_label: Indices
) -> float:
    """How far a reversal moves the logits at most; 0 for a model that is blind to order.

    Logits are known up to a constant, so they are compared centred, and as the difference between
    the two labels of the pair.
    """
    pairs = np.arange(len(label))
    moved = centred_logits(forward) - centred_logits(backward)  # (P, K)
    margins = moved[pairs, label] - moved[pairs, reversed_label]  # (P,)
    return float(max(np.abs(moved).max(), np.abs(margins).max()))


def centred_logits(probabilities: Probabilities) -> NDArray[np.float64]:
    """Logits with mean 0 over the classes: (N, K) -> (N, K)."""
    logs = np.log(np.maximum(probabilities.astype(np.float64), SMALLEST_PROBABILITY))
    return logs - logs.mean(axis=1, keepdims=True)


def max_abs_error(one: Probabilities, other: Probabilities) -> float:
    """The largest difference between two arrays of the same shape; 0 where they are empty."""
    return float(np.abs(one.astype(np.float64) - other).max(initial=0.0))
