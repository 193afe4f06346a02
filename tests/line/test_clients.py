"""Every call of the clients, asked of the real models; blocking and asyncio agree."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from clients.async_recognizer import AsyncRecognizer
from clients.recognizer import Recognizer
from clients.sources import bytes_of
from clip_har.limits import Limits
from clip_har.media import clip_from_media
from clip_har.sampling import every_frame

pytestmark = pytest.mark.triton
TEXTS = ["kicking", "lying down on the back", "a dog"]


@pytest.fixture(scope="session")
def frames(clip: bytes) -> np.ndarray:
    """All frames of the good video: (T, H, W, 3)."""
    return np.stack(clip_from_media(clip, every_frame, Limits()).frames)


def test_texts_and_clips_share_a_space(recognizer: Recognizer, clip: bytes) -> None:
    vectors = np.stack([recognizer.embed(clip), *recognizer.embed_texts(TEXTS)])  # (1 + N, D)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1, abs=1e-5)
    seen = recognizer.zero_shot(clip, TEXTS)
    assert sorted(one.label for one in seen.predictions) == sorted(TEXTS)
    assert sum(one.score for one in seen.predictions) == pytest.approx(1, abs=1e-5)


def test_shared_frames_are_answered_as_sent_ones(
    recognizer: Recognizer, frames: np.ndarray
) -> None:
    times = np.arange(len(frames)) / 12
    sent, shared = (
        recognizer.classify_frames(frames, times, top_k=99, shared_memory=way).predictions
        for way in (False, True)
    )
    assert [one.label for one in sent] == [one.label for one in shared]
    assert [one.score for one in sent] == pytest.approx([one.score for one in shared], abs=1e-5)


def test_a_stream_tells_the_classes_of_the_classifier(
    recognizer: Recognizer, frames: np.ndarray
) -> None:
    labels = recognizer.labels()
    with recognizer.stream(top_k=99) as one, recognizer.stream(top_k=99) as other:
        for place in range(4):
            seen = one.send(frames[place], time=place / 5)
            assert other.send(frames[place], time=place / 5 + 1).predictions[0].label in labels
    assert sorted(each.label for each in seen.predictions) == sorted(labels)
    assert sum(each.score for each in seen.predictions) == pytest.approx(1, abs=1e-4)


def test_asyncio_gives_the_same_answers(
    recognizer: Recognizer, clip: bytes, frames: np.ndarray
) -> None:
    times = np.arange(len(frames)) / 12
    still = bytes_of(frames[0])

    async def asked() -> list[Any]:
        async with AsyncRecognizer(recognizer.url, protocol=recognizer.protocol) as one:
            async with one.stream() as stream:
                first = await stream.send(still)
            return [
                (await one.classify(clip)).predictions,
                (await one.zero_shot(clip, TEXTS)).predictions,
                (await one.classify_frames(frames, times, shared_memory=True)).predictions,
                first.predictions,
                await one.labels(),
            ]

    with recognizer.stream() as stream:
        first = stream.send(still)
    expected = [
        recognizer.classify(clip).predictions,
        recognizer.zero_shot(clip, TEXTS).predictions,
        recognizer.classify_frames(frames, times).predictions,
        first.predictions,
    ]
    with ThreadPoolExecutor(1) as other:  # this thread may have a browser's loop already
        *answers, labels = other.submit(lambda: asyncio.run(asked())).result()
    assert labels == recognizer.labels()
    for answer, blocking in zip(answers, expected, strict=True):
        assert [one.label for one in answer] == [one.label for one in blocking]
        scores = [one.score for one in blocking]
        assert [one.score for one in answer] == pytest.approx(scores, abs=1e-5)
