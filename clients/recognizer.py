"""Recognises the action in images and videos by asking a server."""

import time
from collections.abc import Generator, Sequence
from contextlib import closing, suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from typing_extensions import Self

from clients import calls
from clients.address import Address, Protocol, checked_address
from clients.backoff import Backoff, Deadline, Patience
from clients.calls import Call
from clients.errors import (
    RecognizerError,
    ServerFault,
    ServerOverloaded,
    SharedMemoryForgotten,
    SharedMemoryRefused,
)
from clients.query import SERVER_METADATA, registration, unregistration
from clients.results import Recognition, Segment
from clients.shared_memory import Block, Blocks
from clients.sources import Media, Pixels, raw_frames
from clients.stream import Stream, StreamRequests
from clip_har.contract import (
    HAR_EMBED,
    HAR_STREAM,
    HAR_TEMPORAL,
    HAR_TEMPORAL_FRAMES,
    HAR_TEXT_EMBED,
    HAR_TIMELINE,
    HAR_ZERO_SHOT,
)

if TYPE_CHECKING:
    from clients.grpc_transport import GrpcTransport
    from clients.http_transport import HttpTransport

# T frames, K classes, N texts, D embedding

Result = TypeVar("Result")


class Recognizer:
    """A connection to a server, kept open between calls; threads may share it.

    Every method that asks the server raises a RecognizerError when it gets no answer. A request
    that the server is too busy for is sent again until the deadline or the backoff's end.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        protocol: Protocol = "grpc",
        timeout: float = 60.0,
        backoff: Backoff = Backoff(),  # noqa: B008  (frozen)
    ) -> None:
        """Connects at the first request.

        `url` is HOST:PORT, by default this machine's usual port of the protocol; `timeout` is the
        longest that a call may take, in seconds; `backoff` says when a request is sent again.
        Raises ValueError for an address or a protocol that cannot be.
        """
        address = checked_address(url, protocol)
        self.url = address.url
        self.protocol: Protocol = address.protocol
        self.timeout = timeout
        self._backoff = backoff
        self._blocks = Blocks(address)
        self._transport = _transport(address)

    def classify(self, media: Media, model: str = HAR_TEMPORAL.name, top_k: int = 3) -> Recognition:
        """The `top_k` most probable actions in an image or a video.

        Triton sends their scores with six decimals.
        """
        return self.classify_batch([media], model, top_k)[0]

    def classify_batch(
        self, items: Sequence[Media], model: str = HAR_TEMPORAL.name, top_k: int = 3
    ) -> list[Recognition]:
        """Like `classify` for several items in one request, whose latency they share.

        One bad item refuses the whole request, and so does more than the model's batch size.
        """
        return self._ask(calls.classification(items, model, top_k)) if items else []

    def classify_frames(
        self,
        frames: Pixels,
        times: Sequence[float] | NDArray[Any],
        model: str = HAR_TEMPORAL_FRAMES.name,
        top_k: int = 3,
        *,
        shared_memory: bool | None = None,
    ) -> Recognition:
        """Like `classify` for decoded frames: (T, H, W, 3) of uint8 RGB, and T times in seconds.

        `shared_memory` hands them to a server on this machine without sending them; by default
        that is done where it is faster and the server takes it.
        """
        raw = raw_frames(frames, times)
        question = partial(calls.frames_classification, raw, model, top_k)
        for small in self._blocks.outgrown(raw, shared_memory):
            self._let_go(small)
        block = self._blocks.taken(raw, shared_memory)
        if not block:
            return self._ask(question(None))
        block.fill(raw)
        try:
            return self._ask_shared(question(block.region), block)
        except SharedMemoryRefused:
            if shared_memory:
                raise
            self._blocks.refused()
            return self._ask(question(None))
        finally:
            self._blocks.give_back(block)

    def probabilities(self, media: Media, model: str = HAR_TEMPORAL.name) -> NDArray[np.float32]:
        """The probability of every class: (K,), in the order of `labels`."""
        return self._ask(calls.probabilities(media, model))

    def zero_shot(
        self, media: Media, texts: Sequence[str], model: str = HAR_ZERO_SHOT.name
    ) -> Recognition:
        """Any action names, ranked by how well they fit; an index is a place in `texts`."""
        return self._ask(calls.zero_shot(media, texts, model))

    def embed(self, media: Media, model: str = HAR_EMBED.name) -> NDArray[np.float32]:
        """The clip's place in the space that it shares with texts: (D,), unit length."""
        return self._ask(calls.embedding(media, model))

    def embed_texts(
        self, texts: Sequence[str], model: str = HAR_TEXT_EMBED.name
    ) -> NDArray[np.float32]:
        """The texts' places in the space that they share with clips: (N, D), unit length."""
        return self._ask(calls.text_embeddings(texts, model))

    def stream(self, model: str = HAR_STREAM.name, top_k: int = 3) -> Stream:
        """A live stream, for a `with` block: frames go in one by one, an answer comes for each."""
        return Stream(StreamRequests(model, top_k), self._ask)

    def timeline(
        self, media: Media, model: str = HAR_TIMELINE.name, *, timeout: float | None = None
    ) -> Generator[Segment]:
        """The actions of a long video, each as soon as the server has seen its end; gRPC only.

        Closing the iterator cancels the request. `timeout` is for the whole video, in seconds; by
        default it may take as long as it likes.
        """
        deadline = Deadline() if timeout is None else Deadline(timeout)
        return self._segments(calls.timeline(media, model), deadline)

    def labels(self, model: str = HAR_TEMPORAL.name) -> tuple[str, ...]:
        """Class names in the order of `probabilities`."""
        return self._ask(calls.labels(model))

    def server_version(self) -> str:
        """Name and version of the server, such as `triton 2.51.0`."""
        told = self._transport.command(SERVER_METADATA, Deadline(self.timeout))
        return f"{told['name']} {told['version']}"

    def close(self) -> None:
        """Closes the connection and frees what was shared."""
        for block in self._blocks.take_all():
            self._let_go(block)
        self._transport.close()

    def _ask(self, call: Call[Result]) -> Result:
        start = time.perf_counter()
        deadline = Deadline(self.timeout)
        patience = Patience(self._backoff, deadline)
        while True:
            try:
                answer = self._transport.infer(call.query, deadline)
            except ServerOverloaded as refusal:
                time.sleep(patience.pause(refusal))
            else:
                return call.read(answer, (time.perf_counter() - start) * 1000)

    def _segments(self, call: Call[Segment], deadline: Deadline) -> Generator[Segment]:
        patience = Patience(self._backoff, deadline)
        begun = False
        while True:
            try:
                with closing(self._transport.stream(call.query, deadline)) as answers:
                    for answer in answers:
                        begun = True
                        yield call.read(answer, 0.0)
                return
            except ServerOverloaded as refusal:
                if begun:
                    raise
                time.sleep(patience.pause(refusal))

    def _ask_shared(self, call: Call[Result], block: Block) -> Result:
        if block.registered:
            with suppress(SharedMemoryForgotten):
                return self._ask(call)
        self._register(block)
        return self._ask(call)

    def _register(self, block: Block) -> None:
        try:
            self._transport.command(registration(block.region), Deadline(self.timeout))
        except ServerFault as error:
            raise SharedMemoryRefused(f"The server takes no shared memory: {error}") from error
        block.registered = True

    def _let_go(self, block: Block) -> None:
        with suppress(RecognizerError):  # a server that has gone remembers nothing
            self._transport.command(unregistration(block.region), Deadline(self.timeout))
        block.free()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def _transport(address: Address) -> "GrpcTransport | HttpTransport":
    if address.protocol == "grpc":
        from clients.grpc_transport import GrpcTransport

        return GrpcTransport(address)
    from clients.http_transport import HttpTransport

    return HttpTransport(address)
