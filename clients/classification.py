"""Classifies many files one after the other; a bad one does not stop the rest."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from clients.errors import RecognizerError, ServerUnavailable
from clients.recognizer import Recognizer
from clients.results import Recognition


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one file."""

    path: Path
    """The file."""
    result: Recognition | RecognizerError
    """What was seen in it, or why nothing was."""

    @property
    def failed(self) -> bool:
        """True where there is no recognition."""
        return isinstance(self.result, RecognizerError)

    def as_json(self) -> str:
        """One line: path, model, predictions and latency_ms, or path, error and kind."""
        if isinstance(self.result, RecognizerError):
            told = {"error": str(self.result), "kind": self.result.kind}
        else:
            told = asdict(self.result) | {"latency_ms": round(self.result.latency_ms, 3)}
        return json.dumps({"path": str(self.path), **told}, ensure_ascii=False)


def outcomes(
    recognizer: Recognizer, paths: Iterable[Path], model: str, top_k: int
) -> Iterator[Outcome]:
    """One outcome for each file, in order. Raises ServerUnavailable if the server goes away."""
    for path in paths:
        try:
            yield Outcome(path, recognizer.classify(path, model, top_k))
        except ServerUnavailable:
            raise
        except RecognizerError as error:
            yield Outcome(path, error)
