"""Which samples people are shown: a spread over the classes, blind to what was answered."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import TypeVar

from clients.held_out import HeldOut
from clients.measurement import Measurement, Request
from clip_har.contract import HAR_BASE, HAR_TEMPORAL
from clip_har.dataset import Pair, Sample
from clip_har.labels import Prediction, rank

TABLE_CLIPS, TABLE_STILLS = 18, 6
SHEET_CLIPS, SHEET_PAIRS = 8, 4

AnySample = TypeVar("AnySample", bound=Sample)


@dataclass(frozen=True, slots=True)
class Shown:
    """A file with what both models said about it."""

    path: str
    """Relative to the data set."""
    truth: str
    """What is to be seen."""
    base: tuple[Prediction, ...]
    """What the base model saw, best first."""
    temporal: tuple[Prediction, ...]
    """What the temporal model saw, best first."""
    latency_ms: float
    """Of the temporal model over gRPC."""


def table_samples(answered: HeldOut, measured: Measurement, top_k: int) -> list[Shown]:
    """The rows of the table: clips of every class where they fit, then some stills."""
    samples = [*spread(answered.clips, TABLE_CLIPS), *spread(answered.stills, TABLE_STILLS)]
    return [shown(measured, one.path, one.label, top_k) for one in samples]


def sheet_clips(answered: HeldOut, measured: Measurement, top_k: int) -> list[Shown]:
    """The clips of the contact sheet, of other classes than its pairs where there are any."""
    of_pairs = {name for pair in _pairs(answered) for name in (pair.label, pair.reversed_label)}
    others = [clip for clip in answered.clips if clip.label not in of_pairs]
    samples = spread(others or answered.clips, SHEET_CLIPS)
    return [shown(measured, one.path, one.label, top_k) for one in samples]


def sheet_pairs(answered: HeldOut, measured: Measurement, top_k: int) -> list[tuple[Shown, Shown]]:
    """The pairs of the contact sheet: the first reversal of each two labels, both ways."""
    return [
        (
            shown(measured, pair.forward, pair.label, top_k),
            shown(measured, pair.backward, pair.reversed_label, top_k),
        )
        for pair in _pairs(answered)
    ]


def _pairs(answered: HeldOut) -> list[Pair]:
    first: dict[frozenset[str], Pair] = {}
    for pair in (one for one in answered.pairs if one.tier == "reversal"):
        first.setdefault(frozenset({pair.label, pair.reversed_label}), pair)
    return list(first.values())[:SHEET_PAIRS]


def spread(samples: Sequence[AnySample], count: int) -> list[AnySample]:
    """At most `count` samples: the first of each class, then the second of each, and so on.

    Where the classes are more than that, the classes are taken at even distances.
    """
    classes: dict[str, list[AnySample]] = {}
    for sample in samples:
        classes.setdefault(sample.label, []).append(sample)
    groups = list(classes.values())
    if count < len(groups):
        groups = [groups[place * len(groups) // count] for place in range(count)]
    rounds = zip_longest(*groups)
    return [sample for one in rounds for sample in one if sample is not None][:count]


def shown(measured: Measurement, path: str, truth: str, top_k: int) -> Shown:
    """What both models said about an answered file."""
    base, temporal = (
        measured.answers[Request("grpc", model.name, path)] for model in (HAR_BASE, HAR_TEMPORAL)
    )
    return Shown(
        path,
        truth,
        tuple(rank(base.probabilities.tolist(), measured.labels, top_k)),
        tuple(rank(temporal.probabilities.tolist(), measured.labels, top_k)),
        temporal.latency_ms,
    )
