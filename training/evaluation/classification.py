"""What a classifier's answers are worth, by the usual figures. N clips, K classes."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_calibration_error,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from training.evaluation.answers import checked_answers
from training.evaluation.bootstrap import bootstrap_interval, mean_class_interval
from training.evaluation.metrics import Bin, Calibration, ClassFigures, Classification

BINS = 15
TOP_K = 5
SMALLEST_PROBABILITY = 1e-30
"""A probability of 0 counts as this much where a logarithm is taken."""


def classification_from_logits(
    logits: Tensor, truth: Tensor, temperature: float, labels: Sequence[str], seed: int = 0
) -> Classification:
    """All figures of N clips from their logits (N, K) and classes (N,).

    Log-probabilities, such as those of averaged views, are logits too. Classes without clips do
    not count in the mean class accuracy. Raises ValueError where answers are not numbers.
    """
    assert logits.shape == (len(truth), len(labels)), (logits.shape, len(truth), len(labels))
    logits, truth = checked_answers(logits, "clips"), truth.cpu()
    before, after = logits.softmax(dim=1), (logits / temperature).softmax(dim=1)
    hits = (logits.argmax(dim=1) == truth).double()  # (N,)
    calibration = calibration_of(after, truth)
    return Classification(
        clips=len(truth),
        top1=float(hits.mean()),
        top1_interval=bootstrap_interval(hits.numpy(), seed),
        top5=_top_k(logits, truth, min(TOP_K, len(labels))),
        mean_class_accuracy=_mean_class(hits, truth),
        mean_class_accuracy_interval=mean_class_interval(hits.numpy(), truth.numpy(), seed),
        temperature=temperature,
        **calibration.model_dump(),
        before_temperature=calibration_of(before, truth),
        reliability=reliability_bins(after, truth),
        reliability_before=reliability_bins(before, truth),
        per_class=_per_class(logits, truth, labels),
        confusion=_confusion(logits, truth),
    )


def calibration_of(probabilities: Tensor, truth: Tensor) -> Calibration:
    """How honest probabilities are: (N, K), (N,)."""
    classes = probabilities.shape[1]
    logs = probabilities.clamp(min=SMALLEST_PROBABILITY).log()
    distance = probabilities - F.one_hot(truth, classes)  # (N, K)
    return Calibration(
        ece=float(multiclass_calibration_error(probabilities, truth, classes, BINS, norm="l1")),
        nll=float(F.nll_loss(logs, truth)),
        brier=float(distance.square().sum(dim=1).mean()),
    )


def reliability_bins(probabilities: Tensor, truth: Tensor) -> tuple[Bin, ...]:
    """Clips by the confidence of their answer, in 15 bins of equal width: (N, K), (N,)."""
    confidence, answer = probabilities.max(dim=1)  # (N,), (N,)
    edges = torch.linspace(0, 1, BINS + 1, dtype=confidence.dtype)
    bin_of = (torch.bucketize(confidence, edges, right=True) - 1).clamp(max=BINS - 1)  # (N,)
    clips = torch.bincount(bin_of, minlength=BINS)  # (15,)
    sums = [
        torch.bincount(bin_of, weights=one.double(), minlength=BINS) / clips.clamp(min=1)
        for one in (confidence, answer == truth)
    ]  # (15,) each
    rows = zip(clips.tolist(), *(one.tolist() for one in sums), strict=True)
    return tuple(Bin(clips=n, confidence=sure, accuracy=right) for n, sure, right in rows)


def _mean_class(hits: Tensor, truth: Tensor) -> float:
    """Mean recall of the classes that occur; torchmetrics counts 0 for others once named."""
    return float(torch.stack([hits[truth == one].mean() for one in truth.unique()]).mean())


def _top_k(logits: Tensor, truth: Tensor, k: int) -> float:
    return float(multiclass_accuracy(logits, truth, logits.shape[1], average="micro", top_k=k))


def _per_class(logits: Tensor, truth: Tensor, labels: Sequence[str]) -> tuple[ClassFigures, ...]:
    classes = len(labels)
    precision, recall, f1 = (
        figure(logits, truth, classes, average="none").tolist()
        for figure in (multiclass_precision, multiclass_recall, multiclass_f1_score)
    )
    clips = torch.bincount(truth, minlength=classes).tolist()
    return tuple(
        ClassFigures(
            label=label, clips=clips[k], precision=precision[k], recall=recall[k], f1=f1[k]
        )
        for k, label in enumerate(labels)
    )


def _confusion(logits: Tensor, truth: Tensor) -> tuple[tuple[int, ...], ...]:
    counts = multiclass_confusion_matrix(logits, truth, logits.shape[1])  # (K, K)
    return tuple(tuple(row) for row in counts.tolist())
