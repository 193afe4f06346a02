"""A live stream: frames go in one by one, an answer comes back for each."""

import secrets
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType

from typing_extensions import Self

from clients import calls
from clients.calls import Call
from clients.errors import (
    InvalidMedia,
    RecognizerError,
    ServerOverloaded,
    ServerUnavailable,
    StreamLost,
)
from clients.query import SequenceStep
from clients.results import Recognition
from clients.sources import Media

NOT_STARTED = (ServerOverloaded, ServerUnavailable)
"""Errors of a first frame that the server has not begun a stream for."""


class StreamRequests:
    """The requests of one stream, in their order."""

    def __init__(self, model: str, top_k: int) -> None:
        """A stream of its own."""
        self._model = model
        self._top_k = top_k
        self._id = secrets.randbits(62) + 1
        self.under_way = False
        """Whether the server knows of it."""

    def next(self, frame: Media, time: float | None) -> Call[Recognition]:
        """The request of the next frame, taken at `time` in seconds."""
        return self._step(frame, time, start=not self.under_way, end=False)

    def end(self) -> Call[Recognition]:
        """Ends the stream: an empty frame, which is refused but lets the server forget the rest."""
        return self._step(b"", None, start=False, end=True)

    def _step(
        self, frame: Media, time: float | None, *, start: bool, end: bool
    ) -> Call[Recognition]:
        step = SequenceStep(self._id, start, end)
        return calls.stream_step(frame, time, step, self._model, self._top_k)

    def failed(self, error: RecognizerError) -> None:
        """Notes that the last request failed."""
        if isinstance(error, StreamLost):
            self.under_way = False
        elif not isinstance(error, NOT_STARTED):
            self.under_way = True


class Stream:
    """One stream of a Recognizer, for a `with` block. Not for two threads."""

    def __init__(
        self, requests: StreamRequests, ask: Callable[[Call[Recognition]], Recognition]
    ) -> None:
        """Recognizer.stream makes it."""
        self._requests = requests
        self._ask = ask

    def send(self, frame: Media, time: float | None = None) -> Recognition:
        """Sends the next frame; gives what is seen in the window that ends with it.

        `time` is when it was taken, in seconds on any clock; without it frames count as evenly
        spaced, at the rate that the server is set to. Raises a RecognizerError for a frame that is
        not answered; the stream goes on without it. Where the server has forgotten the stream
        (StreamLost), the next frame begins it anew.
        """
        call = self._requests.next(frame, time)
        try:
            seen = self._ask(call)
        except RecognizerError as error:
            self._requests.failed(error)
            raise
        self._requests.under_way = True
        return seen

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._requests.under_way:
            with suppress(RecognizerError if error else InvalidMedia):
                self._ask(self._requests.end())


class AsyncStream:
    """Stream for asyncio, for an `async with` block."""

    def __init__(
        self,
        requests: StreamRequests,
        ask: Callable[[Call[Recognition]], Awaitable[Recognition]],
    ) -> None:
        """AsyncRecognizer.stream makes it."""
        self._requests = requests
        self._ask = ask

    async def send(self, frame: Media, time: float | None = None) -> Recognition:
        """Like Stream.send."""
        call = self._requests.next(frame, time)
        try:
            seen = await self._ask(call)
        except RecognizerError as error:
            self._requests.failed(error)
            raise
        self._requests.under_way = True
        return seen

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._requests.under_way:
            with suppress(RecognizerError if error else InvalidMedia):
                await self._ask(self._requests.end())
