"""Streams without a server: models that answer by arithmetic stand behind them.

The stand-in's embedding of a frame is (level, 1); a window's answer is its frames' levels summed,
the length of its window, its last time.
"""

import io

import numpy as np
import pytest
from PIL import Image

from clip_har.contract import CLASSIFIER_TEMPORAL, TEMPORAL, VISION_ENCODER, ServedModel
from clip_har.limits import MediaError
from clip_har.stream import Arrival, StreamError, Streams, StreamSettings

SETTINGS = {
    "frames": 3, "image_size": 8, "frame_rate": 5, "stride": 1, "max_gap_seconds": 2,
    "max_streams": 4, "max_bytes": 10_000, "max_pixels": 5000, "max_aspect": 10,
    "call_vision_encoder": "vision_encoder/-1", "call_temporal": "temporal/-1",
    "call_classifier_temporal": "classifier_temporal/-1",
}  # fmt: skip


class Models:
    """Stand-ins for the three models, and how often each was asked for how many rows."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []
        self.fails = False

    def __call__(self, model: ServedModel, *inputs: np.ndarray) -> np.ndarray:
        self.asked.append((model.name, len(inputs[0])))
        if self.fails:
            raise RuntimeError("out of memory")
        if model is VISION_ENCODER:
            level = inputs[0][:, :, 0, 0, 0].astype(np.float32)  # (B, 1)
            return np.stack([level, np.ones_like(level)], -1)  # (B, 1, 2)
        if model is TEMPORAL:
            embeddings, times = inputs
            return np.column_stack([embeddings.sum(axis=1), times[:, -1]])  # (B, 3)
        assert model is CLASSIFIER_TEMPORAL
        return inputs[0]

    def rows(self, model: ServedModel) -> list[int]:
        return [rows for name, rows in self.asked if name == model.name]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def made(models: Models, clock: Clock, **changes: float) -> Streams:
    return Streams(StreamSettings.model_validate(SETTINGS | changes), 30.0, models, clock)


@pytest.fixture
def streams(models: Models, clock: Clock) -> Streams:
    return made(models, clock)


def picture(level: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (10, 8), (level, level, level)).save(file, kind)
    return file.getvalue()


def frame(stream: int | str, level: int, **more: object) -> Arrival:
    return Arrival(stream, picture(level), **more)


def seen(streams: Streams, *arrivals: Arrival) -> list[list[float]]:
    told = streams.answers(arrivals)
    assert not [one for one in told if isinstance(one, Exception)]
    return [[round(float(number), 4) for number in one] for one in told]


def refused(streams: Streams, arrival: Arrival) -> str:
    (error,) = streams.answers([arrival])
    assert isinstance(error, StreamError | MediaError)
    return str(error)


def test_a_window_grows_then_slides(streams: Streams) -> None:
    told = [
        seen(streams, frame(1, level, starts=level == 1, ends=level == 5))[0]
        for level in range(1, 6)
    ]
    assert told == [[1, 1, 0], [3, 2, 0.2], [6, 3, 0.4], [9, 3, 0.4], [12, 3, 0.4]]
    assert len(streams) == 0


def test_streams_that_meet_share_requests_and_nothing_else(
    streams: Streams, models: Models
) -> None:
    seen(streams, frame(1, 10, starts=True))
    told = seen(streams, frame(1, 11), frame("b", 50, starts=True), frame(3, 7, starts=True))
    assert told == [[21, 2, 0.2], [50, 1, 0], [7, 1, 0]]
    assert models.rows(VISION_ENCODER) == [1, 3]
    assert sorted(models.rows(TEMPORAL)[1:]) == [1, 2]


def test_two_frames_of_a_stream_that_meet_are_answered_in_order(streams: Streams) -> None:
    told = seen(streams, frame(1, 1, starts=True), frame(1, 2), frame(2, 9, starts=True))
    assert told == [[1, 1, 0], [3, 2, 0.2], [9, 1, 0]]


def test_frames_between_two_strides_are_told_the_last_answer(models: Models, clock: Clock) -> None:
    streams = made(models, clock, stride=2)
    told = [seen(streams, frame(1, i, starts=i == 1))[0] for i in range(1, 6)]
    assert [one[0] for one in told] == [1, 1, 6, 6, 12]
    assert models.rows(VISION_ENCODER) == [1] * 5
    assert models.rows(TEMPORAL) == [1] * 3


def test_times_are_the_senders_where_it_says_them(streams: Streams) -> None:
    seen(streams, frame(1, 1, starts=True, time=7.5))
    assert seen(streams, frame(1, 1, time="8.25"))[0][2] == 0.75
    assert seen(streams, frame(1, 1))[0][2] == 0.95, "at the nominal rate from there"


@pytest.mark.parametrize("time", [7.5, 7.0, "7.5"])
def test_a_frame_out_of_order_is_refused_and_the_stream_goes_on(
    streams: Streams, time: object
) -> None:
    seen(streams, frame(1, 1, starts=True, time=7.5))
    message = refused(streams, frame(1, 2, time=time))
    assert "came after that of 7.5 s" in message
    assert "leave out one that is late" in message
    assert seen(streams, frame(1, 3, time=8))[0] == [4, 2, 0.5]


def test_a_gap_ends_the_stream(streams: Streams) -> None:
    seen(streams, frame(1, 1, starts=True, time=0))
    assert seen(streams, frame(1, 1, time=2))[0][1] == 2
    message = refused(streams, frame(1, 1, time=4.1))
    assert "no frame for 2.1 s, but the limit is 2 s (max_gap_seconds)" in message
    assert "not under way" in refused(streams, frame(1, 1, time=4.2))
    assert seen(streams, frame(1, 1, time=4.2, starts=True))[0][1] == 1


@pytest.mark.parametrize("time", ["soon", "nan", float("inf"), [1], True])
def test_a_time_that_is_none_is_refused(streams: Streams, time: object) -> None:
    message = refused(streams, frame(1, 1, starts=True, time=time))
    assert "the parameter time is" in message
    assert "expected seconds" in message


def test_a_frame_without_a_start_is_refused(streams: Streams, models: Models) -> None:
    message = refused(streams, frame(9, 1))
    assert "Stream 9 is not under way" in message
    assert "sequence_start" in message
    assert models.asked == []


def test_an_id_under_way_cannot_start_again(streams: Streams) -> None:
    seen(streams, frame(1, 1, starts=True))
    message = refused(streams, frame(1, 50, starts=True))
    assert "Stream 1 is under way already" in message
    assert "another id" in message
    assert seen(streams, frame(1, 2))[0] == [3, 2, 0.2], "the first one goes on"


def test_an_id_that_ended_can_start_again(streams: Streams) -> None:
    seen(streams, frame(1, 1, starts=True), frame(1, 2, ends=True))
    assert seen(streams, frame(1, 5, starts=True)) == [[5, 1, 0]]


def test_an_idle_stream_ends_by_itself(streams: Streams, clock: Clock) -> None:
    seen(streams, frame(1, 1, starts=True), frame(2, 1, starts=True))
    clock.now += 20
    seen(streams, frame(2, 1))
    clock.now += 20
    assert seen(streams, frame(2, 1))[0][1] == 3
    assert len(streams) == 1
    message = refused(streams, frame(1, 1))
    assert "idle for more than 30 s" in message
    assert seen(streams, frame(1, 1, starts=True))[0][1] == 1


def test_streams_are_bounded_in_number(streams: Streams) -> None:
    for key in range(4):
        seen(streams, frame(key, 1, starts=True))
    message = refused(streams, frame(9, 1, starts=True))
    assert "4 streams are under way, the limit (max_streams)" in message
    seen(streams, frame(0, 1, ends=True))
    seen(streams, frame(9, 1, starts=True))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"text", "Not a file that is read here"),
        (b"", "The file is empty"),
        (picture(5)[:-20], "ends early"),
        (bytes(10_001), "10001 bytes, but the limit is 10000"),
    ],
)
def test_a_bad_frame_is_refused_and_harms_nobody(
    streams: Streams, models: Models, data: bytes, message: str
) -> None:
    seen(streams, frame(1, 1, starts=True), frame(2, 10, starts=True))
    models.asked.clear()
    first, second = streams.answers([Arrival(1, data), frame(2, 11)])
    assert isinstance(first, StreamError | MediaError)
    assert message in str(first)
    assert np.allclose(second, [21, 2, 0.2])
    assert models.rows(VISION_ENCODER) == [1]
    assert seen(streams, frame(1, 2)) == [[3, 2, 0.4]], "the bad frame took its time"


def test_a_video_and_an_animation_are_no_frames(streams: Streams) -> None:
    moving = io.BytesIO()
    frames = [Image.new("L", (8, 8), level) for level in (0, 99)]
    frames[0].save(moving, "GIF", save_all=True, append_images=frames[1:])
    assert "an animation" in refused(streams, Arrival(1, moving.getvalue(), starts=True))
    video = b"\0\0\0\x10ftypisom\0\0\0\0"
    assert "a video (mov)" in refused(streams, Arrival(1, video))


def test_a_bad_frame_still_starts_and_ends_its_stream(streams: Streams) -> None:
    assert refused(streams, Arrival(1, b"text", starts=True))
    assert seen(streams, frame(1, 1)) == [[1, 1, 0]]
    assert refused(streams, Arrival(1, b"text", ends=True))
    assert len(streams) == 0


def test_a_server_fault_reaches_the_caller_and_ends_what_was_to_end(
    streams: Streams, models: Models
) -> None:
    seen(streams, frame(1, 1, starts=True), frame(2, 1, starts=True))
    models.fails = True
    with pytest.raises(RuntimeError, match="out of memory"):
        streams.answers([frame(1, 2), frame(2, 2, ends=True)])
    models.fails = False
    assert len(streams) == 1
    assert seen(streams, frame(1, 3)) == [[4, 2, 0.4]]
