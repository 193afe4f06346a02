"""Recognises the action in images and videos by asking a server."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from clients.sources import Media, bytes_of
from clients.transport import Transport
from clip_har.contract import EMBEDDING, HAR_EMBED, HAR_TEMPORAL, MEDIA, PROBS
from clip_har.labels import Prediction

# B items of a request, K classes, D embedding

Protocol = Literal["grpc", "http"]

DEFAULT_URLS: dict[Protocol, str] = {"grpc": "127.0.0.1:8001", "http": "127.0.0.1:8000"}
"""Where a server on this machine listens."""


@dataclass(frozen=True, slots=True)
class Recognition:
    """What the server saw in one piece of media."""

    model: str
    """Name of the model that answered."""
    predictions: tuple[Prediction, ...]
    """The most probable classes, best first; Triton sends scores with six decimals."""
    latency_ms: float
    """Time from sending the request to having its answer."""


class Recognizer:
    """A connection to a server, kept open between calls.

    Over gRPC it may be shared between threads, over HTTP each thread needs its own. Every method
    that asks the server raises a RecognizerError when it gets no answer.
    """

    def __init__(
        self, url: str | None = None, *, protocol: Protocol = "grpc", timeout: float = 60.0
    ) -> None:
        """Connects at the first request.

        `url` is host:port, by default this machine's usual port of the protocol; `timeout` is the
        longest that a request may take, in seconds. Raises ValueError for an address or a protocol
        that cannot be.
        """
        if protocol not in DEFAULT_URLS:
            raise ValueError(f"unknown protocol {protocol!r}: expected grpc or http.")
        self.url = url or DEFAULT_URLS[protocol]
        self.protocol: Protocol = protocol
        if "://" in self.url or ":" not in self.url:
            raise ValueError(f"{self.url}: expected HOST:PORT, such as {DEFAULT_URLS[protocol]}.")
        self._transport = _transport(protocol, self.url, timeout)

    def classify(self, media: Media, model: str = HAR_TEMPORAL.name, top_k: int = 3) -> Recognition:
        """The `top_k` most probable actions in an image or a video."""
        return self.classify_batch([media], model, top_k)[0]

    def classify_batch(
        self, items: Sequence[Media], model: str = HAR_TEMPORAL.name, top_k: int = 3
    ) -> list[Recognition]:
        """Like `classify` for several items in one request, whose latency they share.

        One bad item refuses the whole request, and so does more than the model's batch size.
        """
        if top_k < 1:
            raise ValueError(f"top_k is {top_k}: expected 1 or more.")
        if not items:
            return []
        tensor = _media_tensor(items)
        start = time.perf_counter()
        rows = self._transport.infer(model, (MEDIA, tensor), PROBS, class_count=top_k)  # (B, top_k)
        latency_ms = (time.perf_counter() - start) * 1000
        return [Recognition(model, tuple(map(_prediction, row)), latency_ms) for row in rows]

    def probabilities(self, media: Media, model: str = HAR_TEMPORAL.name) -> NDArray[np.float32]:
        """The probability of every class: (K,), in the order of `labels`."""
        return self._transport.infer(model, (MEDIA, _media_tensor([media])), PROBS)[0]

    def embed(self, media: Media, model: str = HAR_EMBED.name) -> NDArray[np.float32]:
        """The clip's place in the space that it shares with texts: (D,), unit length."""
        return self._transport.infer(model, (MEDIA, _media_tensor([media])), EMBEDDING)[0]

    def labels(self, model: str = HAR_TEMPORAL.name) -> tuple[str, ...]:
        """Class names in the order of `probabilities`.

        Triton only tells them beside an answer, so this classifies a small black image.
        """
        blank = np.zeros((64, 64, 3), np.uint8)
        count = self._transport.output_size(model, PROBS)
        told = self.classify(blank, model, top_k=count).predictions
        return tuple(one.label for one in sorted(told, key=lambda one: one.index))

    def server_version(self) -> str:
        """Name and version of the server, such as `triton 2.51.0`."""
        return self._transport.server_version()

    def close(self) -> None:
        """Closes the connection."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _transport(protocol: Protocol, url: str, timeout: float) -> Transport:
    if protocol == "grpc":
        from clients.grpc_transport import GrpcTransport

        return GrpcTransport(url, timeout)
    from clients.http_transport import HttpTransport

    return HttpTransport(url, timeout)


def _media_tensor(items: Sequence[Media]) -> NDArray[Any]:
    return np.array([[bytes_of(item)] for item in items], dtype=object)  # (B, 1)


def _prediction(told: bytes) -> Prediction:
    score, index, label = told.decode().split(":", 2)
    return Prediction(label=label, index=int(index), score=float(score))
