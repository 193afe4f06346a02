"""Sends a data set through live servers and keeps every answer."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clients.address import Protocol
from clients.errors import RecognizerError, ServerUnavailable
from clients.held_out import HeldOut
from clients.recognizer import Recognizer
from clip_har.contract import PUBLIC_CLASSIFIERS
from clip_har.dataset import sample_bytes

PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http")
CLASSIFIERS = tuple(model.name for model in PUBLIC_CLASSIFIERS)

Track: TypeAlias = Callable[[Sequence[Any], str], Iterable[Any]]
"""Goes through a sequence under a title while telling somebody how far it is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a model said about a file."""

    probabilities: NDArray[np.float32]
    """(K,), in the order of the server's labels."""
    latency_ms: float
    """Time from sending the request to having its answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """One file for one model over one protocol."""

    protocol: Protocol
    """Which recognizer sends it."""
    model: str
    """Which model answers."""
    path: str
    """Which file, relative to the data set."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """Every answer to a data set."""

    labels: tuple[str, ...]
    """Class names in the order of probabilities."""
    server: str
    """Name and version of the server."""
    answers: Mapping[Request, Answer]
    """What was answered."""
    failed: Mapping[str, str]
    """Files that some request failed for, with the error."""

    def answered_part(self, data: HeldOut) -> HeldOut:
        """The data set without the files that some request failed for."""
        return replace(
            data,
            clips=tuple(clip for clip in data.clips if clip.path not in self.failed),
            stills=tuple(still for still in data.stills if still.path not in self.failed),
            pairs=tuple(p for p in data.pairs if not self.failed.keys() & {p.forward, p.backward}),
        )

    def indices(self, labels: Iterable[str]) -> NDArray[np.intp]:
        """Places of the labels in the probabilities: (N,)."""
        return np.array([self.labels.index(label) for label in labels], np.intp)

    def probabilities(
        self, protocol: Protocol, model: str, paths: Sequence[str]
    ) -> NDArray[np.float32]:
        """(N, K) for N answered files."""
        rows = [self.answers[Request(protocol, model, path)].probabilities for path in paths]
        return np.stack(rows) if rows else np.empty((0, len(self.labels)), np.float32)

    def latencies_ms(self, protocol: Protocol, model: str, paths: Sequence[str]) -> list[float]:
        """One latency for each of the answered files."""
        return [self.answers[Request(protocol, model, path)].latency_ms for path in paths]


def agreed_labels(recognizers: Mapping[Protocol, Recognizer]) -> tuple[str, ...]:
    """The server's labels; raises ValueError unless all classifiers have the same.

    These are also each connection's first requests, which are slower than the rest.
    """
    told = {one.labels(model) for one in recognizers.values() for model in CLASSIFIERS}
    if len(told) > 1:
        shown = "; ".join(", ".join(labels) for labels in sorted(told))
        raise ValueError(
            f"{' and '.join(CLASSIFIERS)} do not have the same classes: {shown}. Build one "
            "repository from checkpoints that were trained on the same data."
        )
    return told.pop()


def measure(
    data: HeldOut,
    labels: tuple[str, ...],
    recognizers: Mapping[Protocol, Recognizer],
    track: Track,
) -> Measurement:
    """Test clips and stills to every classifier over every protocol, pairs over gRPC.

    `labels` are `agreed_labels`. Files that the server refuses are noted and passed over. Raises
    ServerUnavailable if the server goes away, ValueError if a file is not the one of the manifest.
    """
    samples = {sample.path: sample for sample in (*data.clips, *data.stills)}
    pair_files = [path for pair in data.pairs for path in (pair.forward, pair.backward)]
    answers: dict[Request, Answer] = {}
    failed: dict[str, str] = {}
    for protocol, model, paths in _steps(list(samples), pair_files):
        for path in track(paths, f"{model} over {protocol}"):
            content = (
                sample_bytes(data.folder, samples[path])
                if path in samples
                else data.file_bytes(path)
            )
            try:
                answer = _answer(recognizers[protocol], content, model)
            except ServerUnavailable:
                raise
            except RecognizerError as error:
                failed.setdefault(path, str(error))
            else:
                answers[Request(protocol, model, path)] = answer
    return Measurement(labels, recognizers["grpc"].server_version(), answers, failed)


def _steps(samples: list[str], pair_files: list[str]) -> Iterator[tuple[Protocol, str, list[str]]]:
    for model in CLASSIFIERS:
        yield "grpc", model, samples + pair_files
        yield "http", model, samples


def _answer(recognizer: Recognizer, content: bytes, model: str) -> Answer:
    start = time.perf_counter()
    probabilities = recognizer.probabilities(content, model)
    return Answer(probabilities, (time.perf_counter() - start) * 1000)
