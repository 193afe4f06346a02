"""Where the time of a request went."""

from collections.abc import Mapping
from dataclasses import dataclass

from clients.web.triton import Spent
from clip_har.contract import (
    CLASSIFIER_BASE,
    CLASSIFIER_TEMPORAL,
    MEAN_POOL,
    PREPROCESS,
    TEMPORAL,
    VISION_ENCODER,
)

STEP_OF_MODEL = {
    PREPROCESS.name: "preprocess",
    VISION_ENCODER.name: "encoder",
    MEAN_POOL.name: "temporal",
    TEMPORAL.name: "temporal",
    CLASSIFIER_BASE.name: "classifier",
    CLASSIFIER_TEMPORAL.name: "classifier",
}
"""What people call a composing model, in the order of the work; others go by their own names."""
WAITING, NETWORK = "waiting", "network"
"""Queues and the hand-over between steps; what the server has not seen of the time."""
NANOSECONDS = 1e6
"""In a millisecond."""


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the time."""

    name: str
    """What was done in it."""
    ms: float
    """Milliseconds."""


def split(
    model: str, before: Mapping[str, Spent], after: Mapping[str, Spent], latency_ms: float
) -> list[Step]:
    """The steps of a request to `model`, whose time at the client was `latency_ms`.

    The statistics of the server `before` and `after` it hold the requests of others too, if there
    were any: then a step is their mean. Nothing where the server keeps no statistics.
    """
    added = {name: now.since(before.get(name, Spent())) for name, now in after.items()}
    asked = added.get(model, Spent())
    if asked.requests < 1:
        return []
    worked = {
        name: (one.total_ns - one.queue_ns) / asked.requests / NANOSECONDS
        for name, one in added.items()
        if one.requests and not name.startswith("har_")
    }
    in_server = asked.total_ns / asked.requests / NANOSECONDS
    steps = [Step(STEP_OF_MODEL.get(name, name), worked[name]) for name in _in_order(worked)]
    waiting = Step(WAITING, max(0.0, in_server - sum(worked.values())))
    return [*steps, waiting, Step(NETWORK, max(0.0, latency_ms - in_server))]


def _in_order(models: Mapping[str, float]) -> list[str]:
    known = [name for name in STEP_OF_MODEL if name in models]
    return known + sorted(name for name in models if name not in STEP_OF_MODEL)
