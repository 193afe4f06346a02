import time

import numpy as np
import pytest

from clients.calls import Call
from clients.errors import (
    InvalidMedia,
    ServerOverloaded,
    ServerUnavailable,
    StreamLost,
    error_of,
)
from clients.query import LENGTH
from clients.recognizer import Recognizer
from clients.results import Recognition
from clients.sources import bytes_of
from clients.stream import Stream, StreamRequests
from clip_har.contract import PROBS, VISION_ENCODER, ServedModel
from clip_har.stream import Arrival, Streams, StreamSettings

GREYS = [np.full((48, 64, 3), level, np.uint8) for level in (0, 60, 120, 180, 255)]


def under_way(recognizer: Recognizer) -> int:
    """Streams that the stand-in keeps, but for the one that asks."""
    with recognizer.stream() as stream:
        return round(stream.send(b"streams?").best.score)


@pytest.mark.triton
def test_each_frame_is_answered_for_the_window_that_it_ends(recognizer: Recognizer) -> None:
    with recognizer.stream(top_k=2) as stream:
        seen = [stream.send(frame) for frame in GREYS]
        assert under_way(recognizer) == 1
    assert seen[-1].model == "har_stream"
    assert seen[-1].best.label == "brightening"
    scores = [
        next(p.score for p in one.predictions if p.label == "brightening") for one in seen[2:]
    ]
    assert scores == sorted(scores)
    assert under_way(recognizer) == 0


@pytest.mark.triton
def test_streams_do_not_see_each_others_frames(recognizer: Recognizer) -> None:
    with recognizer.stream() as up, recognizer.stream() as down:
        for rising, falling in zip(GREYS, GREYS[::-1], strict=True):
            seen = up.send(rising), down.send(falling)
    assert [one.best.label for one in seen] == ["brightening", "darkening"]


@pytest.mark.triton
def test_a_bad_frame_is_an_error_and_the_stream_goes_on(recognizer: Recognizer) -> None:
    with recognizer.stream() as stream:
        for bad in (b"junk", np.zeros(3, np.uint8)):
            with pytest.raises(InvalidMedia):
                stream.send(bad)
        for frame in GREYS:
            seen = stream.send(frame)
            with pytest.raises(InvalidMedia):
                stream.send(b"junk")
    assert seen.best.label == "brightening"
    assert under_way(recognizer) == 0


@pytest.mark.triton
def test_a_stream_ends_where_its_block_fails(recognizer: Recognizer) -> None:
    def fail() -> None:
        with recognizer.stream() as stream:
            stream.send(GREYS[0])
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert under_way(recognizer) == 0


@pytest.mark.triton
def test_frames_may_have_times(recognizer: Recognizer) -> None:
    with recognizer.stream() as stream:
        stream.send(GREYS[0], time=12.5)
        with pytest.raises(InvalidMedia, match=r"12\.25 came after 12\.5"):
            stream.send(GREYS[1], time=12.25)
        stream.send(GREYS[1], time=12.625)


def test_a_stream_needs_a_server() -> None:
    with (
        Recognizer("127.0.0.1:1") as one,
        one.stream() as stream,
        pytest.raises(ServerUnavailable),
    ):
        stream.send(GREYS[0])


@pytest.mark.triton
def test_a_stream_that_triton_forgot_is_begun_anew(recognizer: Recognizer) -> None:
    with recognizer.stream("har_brief_stream") as stream:
        for frame in GREYS[:3]:
            stream.send(frame)
        time.sleep(5)  # it is dropped after two
        with pytest.raises(StreamLost, match="must specify the START flag"):
            stream.send(GREYS[2])
        seen = [stream.send(frame) for frame in GREYS[::-1]]
    assert seen[-1].best.label == "darkening"


SETTINGS = {
    "frames": 3, "image_size": 8, "frame_rate": 5, "stride": 1, "max_gap_seconds": 2,
    "max_streams": 1, "max_bytes": 10_000, "max_pixels": 5000, "max_aspect": 10,
    "call_vision_encoder": "vision_encoder/-1", "call_temporal": "temporal/-1",
    "call_classifier_temporal": "classifier_temporal/-1",
}  # fmt: skip


def no_model(model: ServedModel, *inputs: np.ndarray) -> np.ndarray:
    """Answers nothing but zeros."""
    return np.zeros((len(inputs[0]), 1, 2) if model is VISION_ENCODER else (len(inputs[0]), 2))


class Served:
    """What the served model says of streams, its own words, without a server around it."""

    def __init__(self) -> None:
        self.now = 0.0
        settings = StreamSettings.model_validate(SETTINGS)
        self.streams = Streams(settings, 30.0, no_model, lambda: self.now)

    def stream(self) -> Stream:
        return Stream(StreamRequests("har_stream", 1), self._ask)

    def _ask(self, call: Call[Recognition]) -> Recognition:
        step, (frame,) = call.query.sequence, call.query.inputs
        assert step
        assert isinstance(frame.content, bytes)
        picture, seconds = frame.content[LENGTH.size :], call.query.parameters.get("time")
        arrival = Arrival(step.id, picture, step.start, step.end, seconds)
        (answer,) = self.streams.answers([arrival])
        if isinstance(answer, Exception):
            raise error_of("400", f"har_stream: {answer}")
        return call.read({PROBS.name: np.array([[b"0.5:0:red"]], object)}, 0.0)


FRAME = bytes_of(np.zeros((8, 8, 3), np.uint8))


def test_a_stream_that_was_idle_too_long_is_begun_anew() -> None:
    served = Served()
    with served.stream() as stream:
        stream.send(FRAME)
        served.now += 31
        with pytest.raises(StreamLost, match="is not under way"):
            stream.send(FRAME)
        assert stream.send(FRAME).best.label == "red"
    assert len(served.streams) == 0


def test_a_stream_with_a_gap_is_begun_anew() -> None:
    served = Served()
    with served.stream() as stream:
        stream.send(FRAME, time=1)
        with pytest.raises(StreamLost, match="no frame for 8 s"):
            stream.send(FRAME, time=9)
        assert stream.send(FRAME, time=9.2).best.label == "red"


def test_one_stream_too_many_is_overload_and_begins_when_there_is_room() -> None:
    served = Served()
    with served.stream() as second:
        with served.stream() as first:
            first.send(FRAME)
            with pytest.raises(ServerOverloaded, match="max_streams"):
                second.send(FRAME)
        assert second.send(FRAME).best.label == "red"
