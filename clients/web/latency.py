"""Where the time of a request went."""

from collections.abc import Mapping, Sequence
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
"""What people call a composing model; others go by their own names."""
SERVER, WAITING, NETWORK = "server", "waiting", "network"
"""The work of a model that is no ensemble; queues and the hand-over between steps; what the server
has not seen of the time."""


@dataclass(frozen=True, slots=True)
class Step:
    """A part of the time."""

    name: str
    """What was done in it."""
    ms: float
    """Milliseconds."""


def split(
    model: str,
    members: Sequence[str],
    before: Mapping[str, Spent],
    after: Mapping[str, Spent],
    latency_ms: float,
) -> list[Step]:
    """The steps of a request to `model`, whose time at the client was `latency_ms`.

    `members` are the composing models of an ensemble, in the order of the work. The statistics of
    the server `before` and `after` it hold the requests of others too, if there were any: then a
    step is their mean. Nothing where the server keeps no statistics.
    """
    added = {name: now.since(before.get(name, Spent())) for name, now in after.items()}
    asked = added.get(model, Spent())
    if asked.requests < 1:
        return []
    worked = [
        Step(STEP_OF_MODEL.get(name, name), added[name].working_ms)
        for name in members
        if name in added and added[name].requests
    ] or [Step(SERVER, asked.working_ms)]
    # The server may still clean up when the client has its answer.
    served_ms = min(asked.total_ms, latency_ms)
    worked = _within(served_ms, worked)
    waiting = max(0.0, served_ms - sum(step.ms for step in worked))
    return [*worked, Step(WAITING, waiting), Step(NETWORK, latency_ms - served_ms)]


def _within(total_ms: float, worked: list[Step]) -> list[Step]:
    """The steps, shortened alike where they overlap: one may clean up after it has handed over."""
    longer = sum(step.ms for step in worked) / total_ms if total_ms else 1.0
    return [Step(step.name, step.ms / max(1.0, longer)) for step in worked]
