"""What a measurement comes to, as `report.json` keeps it."""

from collections.abc import Sequence
from datetime import datetime, timezone
from importlib.metadata import version
from pathlib import Path

import numpy as np

from clients.address import Protocol
from clients.evaluation import (
    confusions,
    max_abs_error,
    mean_class_accuracy,
    order_accuracy,
    order_difference,
    top1,
)
from clients.held_out import HeldOut, LeftOut
from clients.measurement import CLASSIFIERS, PROTOCOLS, Measurement
from clients.reference import Parity
from clip_har.config import Config
from clip_har.contract import HAR_BASE, HAR_TEMPORAL
from clip_har.dataset import Pair, Sample, Tier
from clip_har.product import write_whole

MOST_CONFUSIONS = 10
VARIANTS = {"base": HAR_BASE.name, "temporal": HAR_TEMPORAL.name}
"""The served model of each variant that the report compares."""


class Latency(Config):
    """Milliseconds from sending a test clip to having its answer, one request at a time."""

    p50: float
    """Half of the requests were faster."""
    p95: float
    """19 of 20 requests were faster."""


class ConfusionRow(Config):
    """A mistake and how often it was made."""

    truth: str
    """What was to be seen."""
    predicted: str
    """What the model saw."""
    count: int
    """Test clips."""


class OrderReport(Config):
    """How one model did on the pairs of one tier."""

    pairs: int
    """Videos with their reversals."""
    accuracy: float
    """Two-way accuracy on both files of each; blind to order means 0.5."""
    max_abs_logit_difference: float
    """How far a reversal moves the logits at most; blind to order means 0."""


class ModelReport(Config):
    """How one model did. A number is null where the data have nothing to measure it on."""

    top1: float
    """Share of the test clips read right."""
    mean_class_accuracy: float
    """Mean over the classes of that share."""
    stills_top1: float | None
    """Share of the stills read right."""
    order: dict[Tier, OrderReport]
    """By tier, for those that the data have; the next two are those of the tier `reversal`."""
    order_pairs: float | None
    """Two-way accuracy on videos and their reversals; blind to order means 0.5."""
    order_pairs_max_abs_logit_difference: float | None
    """How far a reversal moves the logits at most; blind to order means 0."""
    latency_ms: dict[Protocol, Latency]
    """By protocol."""
    confusions: tuple[ConfusionRow, ...]
    """The most frequent mistakes."""


class FailedFile(Config):
    """A file that some request failed for; it is left out of every number."""

    path: str
    """Relative to the data set."""
    error: str
    """What the server said."""


class Report(Config):
    """The report of one evaluation."""

    data: str
    """Name of the data set."""
    classes: int
    """K."""
    test_clips: int
    """Test clips answered."""
    stills: int
    """Stills answered."""
    pairs: int
    """Pairs answered, of all tiers."""
    left_out: LeftOut
    """What was not asked about, since the models do not know its classes."""
    models: dict[str, ModelReport]
    """By the name of the served model."""
    top1: dict[str, float]
    """By variant, from `models`; so are the next two."""
    mean_class_accuracy: dict[str, float]
    """By variant."""
    order_pairs: dict[str, float | None]
    """By variant."""
    parity: Parity | None
    """Null without a reference."""
    grpc_http_agree: bool
    """True where both protocols gave the very same bits for every clip and still."""
    grpc_http_max_abs_error: float
    """Largest difference of probabilities between the protocols."""
    failed: tuple[FailedFile, ...]
    """Files without an answer."""
    versions: dict[str, str]
    """Of the server and of the client."""
    date: str
    """When it was measured, UTC."""


def report_of(data: HeldOut, measured: Measurement, parity: Parity | None) -> Report:
    """Boils a measurement down to numbers; raises ValueError if no test clip was answered."""
    answered = measured.answered_part(data)
    if not answered.clips:
        path, error = next(iter(measured.failed.items()))
        raise ValueError(f"The server answered none of the test clips. {path}: {error}")
    models = {model: _model_report(answered, measured, model) for model in CLASSIFIERS}
    paths = [sample.path for sample in (*answered.clips, *answered.stills)]
    grpc, http = (
        np.stack([measured.probabilities(protocol, model, paths) for model in CLASSIFIERS])
        for protocol in PROTOCOLS
    )  # (models, N, K) each
    by_variant = {variant: models[name] for variant, name in VARIANTS.items()}
    return Report(
        data=data.name,
        classes=len(measured.labels),
        test_clips=len(answered.clips),
        stills=len(answered.stills),
        pairs=len(answered.pairs),
        left_out=data.left_out,
        models=models,
        top1={v: one.top1 for v, one in by_variant.items()},
        mean_class_accuracy={v: one.mean_class_accuracy for v, one in by_variant.items()},
        order_pairs={v: one.order_pairs for v, one in by_variant.items()},
        parity=parity,
        grpc_http_agree=np.array_equal(grpc, http),
        grpc_http_max_abs_error=max_abs_error(grpc, http),
        failed=tuple(FailedFile(path=p, error=e) for p, e in measured.failed.items()),
        versions={"server": measured.server, "tritonclient": version("tritonclient")},
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def write_report(folder: Path, report: Report, picture: bytes) -> list[Path]:
    """Writes `report.json` and `predictions.png` (its bytes), each whole; gives their paths."""
    numbers, predictions = folder / "report.json", folder / "predictions.png"
    write_whole(predictions, picture)
    write_whole(numbers, report.model_dump_json(indent=2) + "\n")
    return [numbers, predictions]


def _model_report(answered: HeldOut, measured: Measurement, model: str) -> ModelReport:
    paths = [clip.path for clip in answered.clips]
    probabilities = measured.probabilities("grpc", model, paths)  # (N, K)
    truth = measured.indices(clip.label for clip in answered.clips)  # (N,)
    order = _order(answered.pairs, measured, model)
    reversal = order.get("reversal")
    return ModelReport(
        top1=top1(probabilities, truth),
        mean_class_accuracy=mean_class_accuracy(probabilities, truth),
        stills_top1=_stills_top1(answered.stills, measured, model),
        order=order,
        order_pairs=reversal and reversal.accuracy,
        order_pairs_max_abs_logit_difference=reversal and reversal.max_abs_logit_difference,
        latency_ms={p: _latency(measured.latencies_ms(p, model, paths)) for p in PROTOCOLS},
        confusions=tuple(
            ConfusionRow(
                truth=measured.labels[one.truth],
                predicted=measured.labels[one.predicted],
                count=one.count,
            )
            for one in confusions(probabilities, truth, MOST_CONFUSIONS)
        ),
    )


def _stills_top1(stills: Sequence[Sample], measured: Measurement, model: str) -> float | None:
    if not stills:
        return None
    probabilities = measured.probabilities("grpc", model, [still.path for still in stills])
    return top1(probabilities, measured.indices(still.label for still in stills))


def _order(pairs: Sequence[Pair], measured: Measurement, model: str) -> dict[Tier, OrderReport]:
    tiers: dict[Tier, None] = dict.fromkeys(pair.tier for pair in pairs)
    return {
        tier: _order_of_tier([pair for pair in pairs if pair.tier == tier], measured, model)
        for tier in tiers
    }


def _order_of_tier(pairs: Sequence[Pair], measured: Measurement, model: str) -> OrderReport:
    forward = measured.probabilities("grpc", model, [pair.forward for pair in pairs])  # (P, K)
    backward = measured.probabilities("grpc", model, [pair.backward for pair in pairs])  # (P, K)
    label = measured.indices(pair.label for pair in pairs)  # (P,)
    reversed_label = measured.indices(pair.reversed_label for pair in pairs)  # (P,)
    given = (forward, backward, label, reversed_label)
    return OrderReport(
        pairs=len(pairs),
        accuracy=order_accuracy(*given),
        max_abs_logit_difference=order_difference(*given),
    )


def _latency(milliseconds: Sequence[float]) -> Latency:
    p50, p95 = np.percentile(milliseconds, [50, 95])
    return Latency(p50=round(float(p50), 3), p95=round(float(p95), 3))
