import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import numpy as np
import pytest

from clients.address import Protocol
from clients.async_recognizer import AsyncRecognizer
from clients.backoff import Backoff
from clients.errors import DeadlineExceeded, InvalidMedia, ServerOverloaded, ServerUnavailable
from clients.recognizer import Recognizer
from server.process import RunningServer

pytestmark = pytest.mark.triton
ClipOf = Callable[[str], bytes]
LABELS = ("red", "green", "blue", "brightening", "darkening")
Asks = Callable[[AsyncRecognizer], Coroutine[Any, Any, Any]]


@pytest.fixture
def ask(recognizer: Recognizer) -> Callable[..., Any]:
    """Runs a coroutine function with an AsyncRecognizer of the server, over each protocol."""

    def run(question: Asks, **settings: Any) -> Any:
        async def asked() -> Any:
            protocol = recognizer.protocol
            async with AsyncRecognizer(recognizer.url, protocol=protocol, **settings) as one:
                return await question(one)

        return asyncio.run(asked())

    return run


def test_answers_are_those_of_the_blocking_recognizer(
    ask: Callable[..., Any], recognizer: Recognizer, clip_of: ClipOf
) -> None:
    clip, texts = clip_of("brightening"), ["red", "brightening"]
    frames, times = np.zeros((5, 480, 640, 3), np.uint8), np.arange(5)

    async def all_calls(one: AsyncRecognizer) -> list[Any]:
        return [
            (await one.classify(clip)).predictions,
            [seen.predictions for seen in await one.classify_batch([clip, clip], top_k=1)],
            (await one.zero_shot(clip, texts)).predictions,
            (await one.classify_frames(frames, times)).predictions,
            (await one.classify_frames(frames, times, shared_memory=False)).predictions,
            await one.labels(),
            await one.server_version(),
            (await one.probabilities(clip)).tolist(),
            (await one.embed(clip)).tolist(),
            (await one.embed_texts(texts)).tolist(),
        ]

    assert ask(all_calls) == [
        recognizer.classify(clip).predictions,
        [seen.predictions for seen in recognizer.classify_batch([clip, clip], top_k=1)],
        recognizer.zero_shot(clip, texts).predictions,
        recognizer.classify_frames(frames, times).predictions,
        recognizer.classify_frames(frames, times, shared_memory=False).predictions,
        recognizer.labels(),
        recognizer.server_version(),
        recognizer.probabilities(clip).tolist(),
        recognizer.embed(clip).tolist(),
        recognizer.embed_texts(texts).tolist(),
    ]


def test_tasks_share_a_connection(ask: Callable[..., Any], clip_of: ClipOf) -> None:
    async def at_once(one: AsyncRecognizer) -> list[str]:
        seen = await asyncio.gather(*(one.classify(clip_of(label)) for label in LABELS * 4))
        return [each.best.label for each in seen]

    assert ask(at_once) == list(LABELS * 4)


def test_a_stream_and_its_end(ask: Callable[..., Any]) -> None:
    async def streamed(one: AsyncRecognizer) -> tuple[str, int]:
        async with one.stream() as stream:
            with pytest.raises(InvalidMedia):
                await stream.send(b"junk")
            for level in (0, 60, 120, 180, 255):
                seen = await stream.send(np.full((48, 64, 3), level, np.uint8))
        async with one.stream() as stream:
            left = await stream.send(b"streams?")
        return seen.best.label, round(left.best.score)

    assert ask(streamed) == ("brightening", 0)


def test_a_timeline_that_is_left_is_cancelled(stand_in: RunningServer, clip_of: ClipOf) -> None:
    async def cancelled(one: AsyncRecognizer) -> float:
        (segment,) = [each async for each in one.timeline(b"cancelled?")]
        return segment.start

    async def left() -> None:
        async with AsyncRecognizer(stand_in.grpc_url) as one:
            assert len([segment async for segment in one.timeline(clip_of("red"))]) == 5
            before = await cancelled(one)
            segments = one.timeline(clip_of("red"))
            await anext(segments)
            await segments.aclose()
            end = time.monotonic() + 30
            while await cancelled(one) == before:
                assert time.monotonic() < end, "the server was not told"
                await asyncio.sleep(0.1)

    asyncio.run(left())


def test_a_timeline_that_is_refused_is_asked_for_again(
    stand_in: RunningServer, clip_of: ClipOf
) -> None:
    async def segments(one: AsyncRecognizer) -> int:
        return len([each async for each in one.timeline(clip_of("red"))])

    async def together(tries: int) -> list[Any]:
        async with AsyncRecognizer(stand_in.grpc_url, backoff=Backoff(tries=tries)) as one:
            return await asyncio.gather(*(segments(one) for _ in range(4)), return_exceptions=True)

    assert {type(each).__name__ for each in asyncio.run(together(1))} == {"int", "ServerOverloaded"}
    assert asyncio.run(together(1000)) == [5] * 4


def test_http_has_no_timeline(stand_in: RunningServer) -> None:
    async def tried() -> None:
        async with AsyncRecognizer(stand_in.http_url, protocol="http") as one:
            with pytest.raises(ValueError, match="use protocol='grpc'"):
                await anext(one.timeline(b""))

    asyncio.run(tried())


def test_a_busy_server_is_asked_again(ask: Callable[..., Any]) -> None:
    black = np.zeros((48, 64, 3), np.uint8)

    async def together(one: AsyncRecognizer) -> list[Any]:
        asked = (one.classify(black, "har_slow") for _ in range(4))
        return await asyncio.gather(*asked, return_exceptions=True)

    async def alone(one: AsyncRecognizer) -> Any:
        return await one.classify(black, "har_slow")

    ask(alone, backoff=Backoff(first=0.5, tries=1000))  # what earlier tests left there is done now
    refused = ask(together, backoff=Backoff(tries=1))
    assert {type(each).__name__ for each in refused} == {"Recognition", "ServerOverloaded"}
    patient = ask(together, backoff=Backoff(first=0.5, tries=1000))
    assert {type(each).__name__ for each in patient} == {"Recognition"}
    hurried = ask(together, backoff=Backoff(first=0.5, tries=1000), timeout=1.2)
    late = [each for each in hurried if isinstance(each, DeadlineExceeded | ServerOverloaded)]
    assert late


def test_no_server_is_named_with_its_address() -> None:
    async def tried(protocol: Protocol) -> None:
        async with AsyncRecognizer("127.0.0.1:1", protocol=protocol) as one:
            with pytest.raises(ServerUnavailable, match=r"No server answers at 127\.0\.0\.1:1"):
                await one.classify(b"")

    asyncio.run(tried("grpc"))
    asyncio.run(tried("http"))
