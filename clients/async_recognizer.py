"""The Recognizer for asyncio."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
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
from clients.stream import AsyncStream, StreamRequests
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
    from clients.grpc_transport import AsyncGrpcTransport
    from clients.http_transport import AsyncHttpTransport

# T frames, K classes, N texts, D embedding

Result = TypeVar("Result")


class AsyncRecognizer:
    """A Recognizer whose methods are awaited: the same calls, answers and errors.

    It belongs to the event loop that it is made in; any number of its tasks may ask at once.
    Cancelling a task cancels its request.
    """

    def __init__(
        self,
        url: str | None = None,
        *,
        protocol: Protocol = "grpc",
        timeout: float = 60.0,
        backoff: Backoff = Backoff(),  # noqa: B008  (frozen)
    ) -> None:
        """Like Recognizer."""
        address = checked_address(url, protocol)
        self.url = address.url
        self.protocol: Protocol = address.protocol
        self.timeout = timeout
        self._backoff = backoff
        self._blocks = Blocks(address)
        self._transport = _transport(address)

    async def classify(
        self, media: Media, model: str = HAR_TEMPORAL.name, top_k: int = 3
    ) -> Recognition:
        """Like Recognizer.classify."""
        return (await self.classify_batch([media], model, top_k))[0]

    async def classify_batch(
        self, items: Sequence[Media], model: str = HAR_TEMPORAL.name, top_k: int = 3
    ) -> list[Recognition]:
        """Like Recognizer.classify_batch."""
        if not items:
            return []
        return await self._ask_about(calls.classification, items, model, top_k)

    async def classify_frames(
        self,
        frames: Pixels,
        times: Sequence[float] | NDArray[Any],
        model: str = HAR_TEMPORAL_FRAMES.name,
        top_k: int = 3,
        *,
        shared_memory: bool | None = None,
    ) -> Recognition:
        """Like Recognizer.classify_frames."""
        raw = raw_frames(frames, times)
        question = partial(calls.frames_classification, raw, model, top_k)
        for small in self._blocks.outgrown(raw, shared_memory):
            await self._let_go(small)
        block = self._blocks.taken(raw, shared_memory)
        if not block:
            return await self._ask(question(None))
        block.fill(raw)
        try:
            return await self._ask_shared(question(block.region), block)
        except SharedMemoryRefused:
            if shared_memory:
                raise
            self._blocks.refused()
            return await self._ask(question(None))
        finally:
            self._blocks.give_back(block)

    async def probabilities(
        self, media: Media, model: str = HAR_TEMPORAL.name
    ) -> NDArray[np.float32]:
        """Like Recognizer.probabilities."""
        return await self._ask_about(calls.probabilities, media, model)

    async def zero_shot(
        self, media: Media, texts: Sequence[str], model: str = HAR_ZERO_SHOT.name
    ) -> Recognition:
        """Like Recognizer.zero_shot."""
        return await self._ask_about(calls.zero_shot, media, texts, model)

    async def embed(self, media: Media, model: str = HAR_EMBED.name) -> NDArray[np.float32]:
        """Like Recognizer.embed."""
        return await self._ask_about(calls.embedding, media, model)

    async def embed_texts(
        self, texts: Sequence[str], model: str = HAR_TEXT_EMBED.name
    ) -> NDArray[np.float32]:
        """Like Recognizer.embed_texts."""
        return await self._ask(calls.text_embeddings(texts, model))

    def stream(self, model: str = HAR_STREAM.name, top_k: int = 3) -> AsyncStream:
        """Like Recognizer.stream, for an `async with` block."""
        return AsyncStream(StreamRequests(model, top_k), self._ask)

    async def timeline(
        self, media: Media, model: str = HAR_TIMELINE.name, *, timeout: float | None = None
    ) -> AsyncGenerator[Segment]:
        """Like Recognizer.timeline, for `async for`."""
        call = await asyncio.to_thread(calls.timeline, media, model)
        deadline = Deadline() if timeout is None else Deadline(timeout)
        patience = Patience(self._backoff, deadline)
        begun = False
        while True:
            try:
                async with aclosing(self._transport.stream(call.query, deadline)) as answers:
                    async for answer in answers:
                        begun = True
                        yield call.read(answer, 0.0)
                return
            except ServerOverloaded as refusal:
                if begun:
                    raise
                await asyncio.sleep(patience.pause(refusal))

    async def labels(self, model: str = HAR_TEMPORAL.name) -> tuple[str, ...]:
        """Like Recognizer.labels."""
        return await self._ask(calls.labels(model))

    async def server_version(self) -> str:
        """Like Recognizer.server_version."""
        told = await self._transport.command(SERVER_METADATA, Deadline(self.timeout))
        return f"{told['name']} {told['version']}"

    async def close(self) -> None:
        """Closes the connection and frees what was shared."""
        for block in self._blocks.take_all():
            await self._let_go(block)
        await self._transport.close()

    async def _ask_about(self, question: Callable[..., Call[Result]], *given: Any) -> Result:
        # Files are read and pixels are coded meanwhile.
        return await self._ask(await asyncio.to_thread(question, *given))

    async def _ask(self, call: Call[Result]) -> Result:
        start = time.perf_counter()
        deadline = Deadline(self.timeout)
        patience = Patience(self._backoff, deadline)
        while True:
            try:
                answer = await self._transport.infer(call.query, deadline)
            except ServerOverloaded as refusal:
                await asyncio.sleep(patience.pause(refusal))
            else:
                return call.read(answer, (time.perf_counter() - start) * 1000)

    async def _ask_shared(self, call: Call[Result], block: Block) -> Result:
        if block.registered:
            with suppress(SharedMemoryForgotten):
                return await self._ask(call)
        await self._register(block)
        return await self._ask(call)

    async def _register(self, block: Block) -> None:
        try:
            await self._transport.command(registration(block.region), Deadline(self.timeout))
        except ServerFault as error:
            raise SharedMemoryRefused(f"The server takes no shared memory: {error}") from error
        block.registered = True

    async def _let_go(self, block: Block) -> None:
        with suppress(RecognizerError):  # a server that has gone remembers nothing
            await self._transport.command(unregistration(block.region), Deadline(self.timeout))
        block.free()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


def _transport(address: Address) -> "AsyncGrpcTransport | AsyncHttpTransport":
    if address.protocol == "grpc":
        from clients.grpc_transport import AsyncGrpcTransport

        return AsyncGrpcTransport(address)
    from clients.http_transport import AsyncHttpTransport

    return AsyncHttpTransport(address)
