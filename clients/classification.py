"""What was seen in a file, as programs read it."""

from dataclasses import asdict
from typing import Any

from clients.errors import RecognizerError
from clients.outcome import Outcome
from clients.results import Recognition

COLUMNS = ("path", "model", "rank", "label", "index", "score", "latency_ms", "error", "kind")
"""Of `rows`."""


def record(outcome: Outcome[Recognition]) -> dict[str, Any]:
    """path, model, predictions and latency_ms, or path, error and kind."""
    result = outcome.result
    if isinstance(result, RecognizerError):
        return {"path": str(outcome.path), "error": str(result), "kind": result.kind}
    rounded = {"latency_ms": round(result.latency_ms, 3)}
    return {"path": str(outcome.path)} | asdict(result) | rounded


def rows(outcome: Outcome[Recognition]) -> list[dict[str, Any]]:
    """A row for each prediction, or one for the error."""
    told = record(outcome)
    if outcome.failed:
        return [told]
    return [told | one | {"rank": rank} for rank, one in enumerate(told.pop("predictions"), 1)]
