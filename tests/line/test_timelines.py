"""Long videos on the real server: segments as they come, frames encoded once, work that stops.

K classes.
"""

import queue
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import tritonclient.grpc
import tritonclient.http
from PIL import Image
from tritonclient.utils import InferenceServerException

from clients.errors import InvalidMedia
from clients.recognizer import Recognizer
from clip_har.contract import (
    END,
    HAR_TEMPORAL,
    HAR_TIMELINE,
    MEDIA,
    PROBS,
    START,
    VISION_ENCODER,
    ServedModel,
)
from clip_har.nn.head import probabilities
from clip_har.nn.model import CLIPHARModel
from clip_har.parameters import settings_from_config
from clip_har.preprocess import pixels_from_image
from clip_har.segments import Segment
from clip_har.timeline import TimelineSettings, segments_from_video
from server.process import RunningServer

pytestmark = pytest.mark.triton
Client = tritonclient.grpc.InferenceServerClient
RATE, SAMPLED = 12, 5
"""Frames a second of the film, and of those that har_timeline samples."""
SIDE = 48


def pattern(seed: int, index: int) -> np.ndarray:
    """Frame `index` of a scene (S, S, 3): coloured tiles that drift."""
    draw = np.random.default_rng(seed)
    tiles = draw.integers(0, 255, (draw.integers(1, 5), draw.integers(1, 5), 3), np.uint8)
    frame = np.asarray(Image.fromarray(tiles).resize((SIDE, SIDE), Image.Resampling.NEAREST))
    return np.roll(frame, (seed % 3 - 1) * 2 * index, axis=1)


@pytest.fixture(scope="session")
@torch.inference_mode()
def scenes(model: CLIPHARModel) -> list[int]:
    """Patterns of which the model is sure, each of another class, the surest first."""
    size, frames = model.spec.preprocessing.image_size, model.spec.frames
    times = np.arange(frames, dtype=np.float32) / SAMPLED
    seconds = torch.from_numpy(times)[None]
    best: dict[int, tuple[float, int]] = {}
    for seed in range(100):
        places = np.arange(frames) * RATE // SAMPLED
        clip = np.stack([pixels_from_image(pattern(seed, place), size) for place in places])
        embeds = model.encode_frames(torch.from_numpy(clip)[None])
        score, label = model.recognise(embeds, seconds).probs[0].max(0)
        best[int(label)] = max(best.get(int(label), (0.0, 0)), (float(score), seed))
    found = [seed for _, seed in sorted(best.values(), reverse=True)]
    assert len(found) > 1, "the model says the same of everything"
    return found


@pytest.fixture(scope="session")
def film(scenes: list[int], movie: Callable[..., bytes]) -> bytes:
    """A minute: two scenes in turn, 12 seconds each."""

    def draw(index: int, width: int, height: int) -> np.ndarray:
        return pattern(scenes[index // (12 * RATE) % 2], index)

    return movie(60 * RATE, rate=RATE, size=(SIDE, SIDE), draw=draw)


def send(client: Client, media: bytes) -> "queue.SimpleQueue[Any]":
    """Starts a stream and gives the queue of its results and errors."""
    tensor = tritonclient.grpc.InferInput(MEDIA.name, [1, 1], MEDIA.dtype)
    tensor.set_data_from_numpy(np.array([[media]], object))
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.start_stream(lambda result, error: told.put(error or result))
    client.async_stream_infer(HAR_TIMELINE.name, [tensor], enable_empty_final_response=True)
    return told


def segments(client: Client, media: bytes) -> list[Segment]:
    """All segments; raises the error that Triton tells."""
    told, found = send(client, media), []
    while True:
        result = told.get(timeout=120)
        if isinstance(result, Exception):
            client.stop_stream()
            raise result
        if result.get_response().parameters["triton_final_response"].bool_param:
            client.stop_stream()
            return found
        start, end = (result.as_numpy(one.name) for one in (START, END))
        assert start.shape == end.shape == (1, 1)
        found.append(Segment(start[0, 0], end[0, 0], result.as_numpy(PROBS.name)[0]))


def encoded_frames(client: Client) -> int:
    told = client.get_inference_statistics(VISION_ENCODER.name, as_json=True)
    return int(told["model_stats"][0].get("inference_count", 0))


def settings_of(client: Client) -> TimelineSettings:
    told = client.get_model_config(HAR_TIMELINE.name, as_json=True)
    return settings_from_config(told["config"], TimelineSettings)


class Trained:
    """The trained model itself, asked like the served ones."""

    def __init__(self, model: CLIPHARModel) -> None:
        self.model = model
        self.frames = 0

    @torch.no_grad()
    def __call__(self, asked: ServedModel, *inputs: np.ndarray) -> np.ndarray:
        tensors = [torch.from_numpy(one) for one in inputs]
        if asked is VISION_ENCODER:
            self.frames += len(tensors[0])
            return self.model.encode_frames(*tensors).numpy()
        if asked.name == "temporal":
            return self.model.temporal(*tensors).numpy()
        return probabilities(self.model.head(*tensors), self.model.spec.temperature).numpy()


def test_segments_are_those_of_the_trained_model_and_each_frame_is_encoded_once(
    client: Client, film: bytes, model: CLIPHARModel
) -> None:
    trained = Trained(model)
    expected = list(segments_from_video(film, settings_of(client), trained, lambda: False))
    before = encoded_frames(client)
    found = segments(client, film)
    assert encoded_frames(client) - before == trained.frames == 300
    assert len(found) == len(expected) > 1
    for one, other in zip(found, expected, strict=True):
        assert one.start == pytest.approx(other.start, abs=1e-3)
        assert one.end == pytest.approx(other.end, abs=1e-3)
        assert np.abs(one.probs - other.probs).max() <= 1e-4


def test_a_short_clip_is_one_segment_that_says_what_har_temporal_says(
    client: Client, scenes: list[int], movie: Callable[..., bytes]
) -> None:
    clip = movie(RATE, rate=RATE, size=(SIDE, SIDE), draw=lambda i, w, h: pattern(scenes[0], i))
    tensor = tritonclient.grpc.InferInput(MEDIA.name, [1, 1], MEDIA.dtype)
    tensor.set_data_from_numpy(np.array([[clip]], object))
    said = client.infer(HAR_TEMPORAL.name, [tensor]).as_numpy(PROBS.name)[0]
    (segment,) = segments(client, clip)
    assert (segment.start, segment.end) == (0, pytest.approx(1))
    assert np.abs(segment.probs - said).max() <= 1e-4


def test_two_videos_at_once_are_told_like_one(
    client: Client, film: bytes, line: RunningServer
) -> None:
    alone = segments(client, film)
    with Client(line.grpc_url) as other:
        told = send(other, film)
        together = segments(client, film)
        assert isinstance(told.get(timeout=60), tritonclient.grpc.InferResult)
        other.stop_stream()
    assert [one.end for one in together] == pytest.approx([one.end for one in alone], abs=1e-3)


def blank(index: int, width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), index % 255, np.uint8)


def test_cancelling_stops_the_work(
    client: Client, film: bytes, movie: Callable[..., bytes], line: RunningServer
) -> None:
    long = movie(20_000, rate=10, size=(32, 32), draw=blank)
    before = encoded_frames(client)
    with Client(line.grpc_url) as other:
        send(other, long)
        deadline = time.monotonic() + 60
        while encoded_frames(client) < before + 50 and time.monotonic() < deadline:
            time.sleep(0.01)
        other.stop_stream(cancel_requests=True)
    last = -1
    while (now := encoded_frames(client)) != last:
        last = now
        time.sleep(1)
    assert before + 50 <= last < before + 9000, "all 10,000 frames were encoded"
    assert len(segments(client, film)) > 1
    assert line.fault() is None


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("empty", "The file is empty"),
        ("text", "Not a file that is read here"),
        ("half", "ends early"),
        ("sound", "no video stream"),
        ("still", "a picture, which has no timeline: send a video, or ask har_temporal"),
    ],
)
def test_bad_media_are_refused_with_the_reason(
    client: Client, film: bytes, sound: bytes, still: bytes, kind: str, reason: str
) -> None:
    media = {
        "empty": b"", "text": b"A letter. " * 100, "half": film[: len(film) // 2],
        "sound": sound, "still": still,
    }  # fmt: skip
    with pytest.raises(InferenceServerException, match=reason):
        segments(client, media[kind])
    assert len(segments(client, film)) > 1


def test_http_says_that_it_cannot(client: Client, film: bytes, line: RunningServer) -> None:
    tensor = tritonclient.http.InferInput(MEDIA.name, [1, 1], MEDIA.dtype)
    tensor.set_data_from_numpy(np.array([[film]], object))
    with (
        tritonclient.http.InferenceServerClient(line.http_url) as http,
        pytest.raises(InferenceServerException, match="decoupled transaction policy"),
    ):
        http.infer(HAR_TIMELINE.name, [tensor])


def test_the_recognizer_tells_the_same_segments(
    line: RunningServer, client: Client, film: bytes
) -> None:
    expected = segments(client, film)
    with Recognizer(line.grpc_url) as recognizer:
        labels = recognizer.labels()
        seen = list(recognizer.timeline(film))
        begun = recognizer.timeline(film)
        assert next(begun) == seen[0]
        begun.close()
        with pytest.raises(InvalidMedia, match="MEDIA: "):
            next(recognizer.timeline(b"junk"))
        assert list(recognizer.timeline(film)) == seen
    told = [(one.start, one.end, one.label) for one in seen]
    assert told == [(one.start, one.end, labels[int(one.probs.argmax())]) for one in expected]


def test_an_error_is_the_last_response(client: Client, film: bytes) -> None:
    tensor = tritonclient.grpc.InferInput(MEDIA.name, [1, 1], MEDIA.dtype)
    told: queue.SimpleQueue[Any] = queue.SimpleQueue()
    client.start_stream(lambda result, error: told.put((result, error)))
    for media in (b"junk", film):
        tensor.set_data_from_numpy(np.array([[media]], object))
        client.async_stream_infer(HAR_TIMELINE.name, [tensor], enable_empty_final_response=True)
        if media == b"junk":
            assert "MEDIA: " in str(told.get(timeout=60)[1])
            with pytest.raises(queue.Empty):
                told.get(timeout=1)
    result, error = told.get(timeout=60)
    client.stop_stream()
    assert error is None
    assert result.as_numpy(PROBS.name) is not None
