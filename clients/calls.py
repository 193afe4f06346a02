"""Every question that a Recognizer asks: what is sent, and how the answer is read.

B items of a request, T frames, K classes, N texts, D embedding.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from clients.query import (
    Output,
    Query,
    Region,
    SequenceStep,
    Tensor,
    Tensors,
    tensor_from_array,
    tensor_from_bytes,
)
from clients.results import Recognition, Segment
from clients.sources import Media, RawFrames, bytes_of, check_size
from clip_har.contract import (
    EMBEDDING,
    EMBEDDINGS,
    END,
    FRAME,
    MEDIA,
    PROBS,
    RAW_FRAMES,
    SCORES,
    START,
    TEXTS,
    TIMES,
)
from clip_har.labels import Prediction, rank

Result = TypeVar("Result")
EVERY_CLASS = 2**20
"""Asked for more classes than there are, Triton gives all."""


@dataclass(frozen=True, slots=True)
class Call(Generic[Result]):
    """One question."""

    query: Query
    """What is sent."""
    read: Callable[[Tensors, float], Result]
    """Makes the result of the answer and of its latency in milliseconds."""


def classification(items: Sequence[Media], model: str, top_k: int) -> Call[list[Recognition]]:
    """The `top_k` best classes of each item."""

    def read(answer: Tensors, latency_ms: float) -> list[Recognition]:
        return _recognitions(answer, latency_ms, model)

    return Call(Query(model, (_media(items),), (Output(PROBS, _checked(top_k)),)), read)


def frames_classification(
    frames: RawFrames, model: str, top_k: int, region: Region | None
) -> Call[Recognition]:
    """The `top_k` best classes of decoded frames, which lie in `region` if there is one."""
    shape = (1, *frames.pixels.shape)  # (1, T, H, W, 3)
    pixels = (
        Tensor(RAW_FRAMES, shape, region)
        if region
        else tensor_from_array(RAW_FRAMES, frames.pixels[None])
    )
    times = tensor_from_array(TIMES, frames.times[None])  # (1, T)

    def read(answer: Tensors, latency_ms: float) -> Recognition:
        return _recognitions(answer, latency_ms, model)[0]

    return Call(Query(model, (pixels, times), (Output(PROBS, _checked(top_k)),)), read)


def labels(model: str) -> Call[tuple[str, ...]]:
    """Class names; Triton only tells them beside an answer, here to a small black image."""
    blank = classification([np.zeros((64, 64, 3), np.uint8)], model, EVERY_CLASS)

    def read(answer: Tensors, latency_ms: float) -> tuple[str, ...]:
        told = blank.read(answer, latency_ms)[0].predictions
        return tuple(one.label for one in sorted(told, key=lambda one: one.index))

    return Call(blank.query, read)


def probabilities(media: Media, model: str) -> Call[NDArray[np.float32]]:
    """The probability of every class: (K,)."""
    return Call(
        Query(model, (_media([media]),), (Output(PROBS),)),
        lambda answer, _: answer[PROBS.name][0],
    )


def zero_shot(media: Media, texts: Sequence[str], model: str) -> Call[Recognition]:
    """The texts ranked by how well they fit."""
    given = (_media([media]), _texts(texts))

    def read(answer: Tensors, latency_ms: float) -> Recognition:
        scores = answer[SCORES.name][0]  # (N,)
        return Recognition(model, tuple(rank(scores.tolist(), texts, len(texts))), latency_ms)

    return Call(Query(model, given, (Output(SCORES),)), read)


def embedding(media: Media, model: str) -> Call[NDArray[np.float32]]:
    """The unit vector of a piece of media: (D,)."""
    return Call(
        Query(model, (_media([media]),), (Output(EMBEDDING),)),
        lambda answer, _: answer[EMBEDDING.name][0],
    )


def text_embeddings(texts: Sequence[str], model: str) -> Call[NDArray[np.float32]]:
    """The unit vectors of texts: (N, D)."""
    return Call(
        Query(model, (_texts(texts),), (Output(EMBEDDINGS),)),
        lambda answer, _: answer[EMBEDDINGS.name][0],
    )


def stream_step(
    frame: Media, time: float | None, step: SequenceStep, model: str, top_k: int
) -> Call[Recognition]:
    """One frame of a stream, taken at `time` in seconds."""

    def read(answer: Tensors, latency_ms: float) -> Recognition:
        return _recognitions(answer, latency_ms, model)[0]

    given = tensor_from_bytes(FRAME, [[bytes_of(frame)]])
    parameters = {} if time is None else {"time": repr(float(time))}
    wanted = (Output(PROBS, _checked(top_k)),)
    return Call(Query(model, (given,), wanted, step, parameters), read)


def timeline(media: Media, model: str) -> Call[Segment]:
    """A long video, whose answers are segments."""

    def read(answer: Tensors, latency_ms: float) -> Segment:
        best = _recognitions(answer, latency_ms, model)[0].best
        start, end = (float(answer[one.name][0, 0]) for one in (START, END))
        return Segment(start, end, best.label, best.index, best.score)

    wanted = (Output(START), Output(END), Output(PROBS, 1))
    return Call(Query(model, (_media([media]),), wanted), read)


def _media(items: Sequence[Media]) -> Tensor:
    files = [bytes_of(item) for item in items]
    check_size(sum(map(len, files)), f"{len(files)} files in one request")
    return tensor_from_bytes(MEDIA, [[file] for file in files])  # (B, 1)


def _texts(texts: Sequence[str]) -> Tensor:
    if isinstance(texts, str) or not texts:
        raise ValueError(f"texts is {texts!r}: expected a list of at least one text.")
    return tensor_from_bytes(TEXTS, [[text.encode() for text in texts]])  # (1, N)


def _checked(top_k: int) -> int:
    if top_k < 1:
        raise ValueError(f"top_k is {top_k}: expected 1 or more.")
    return top_k


def _recognitions(answer: Tensors, latency_ms: float, model: str) -> list[Recognition]:
    rows = answer[PROBS.name]  # (B, top_k)
    return [Recognition(model, tuple(map(_prediction, row)), latency_ms) for row in rows]


def _prediction(told: Any) -> Prediction:
    score, index, label = told.decode().split(":", 2)
    return Prediction(label=label, index=int(index), score=float(score))
