"""Timelines without a server: a stand-in tells black from white frames."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from clip_har.contract import CLASSIFIER_TEMPORAL, TEMPORAL, VISION_ENCODER, ServedModel
from clip_har.limits import MediaError
from clip_har.segments import Segment
from clip_har.timeline import TimelineSettings, segments_from_video

Movie = Callable[..., bytes]
SETTINGS = {
    "frames": 4, "image_size": 8, "frame_rate": 5, "stride": 2, "change_cost": 3,
    "min_score": 0.2, "batch": 8, "threads": 1,
    "call_vision_encoder": "vision_encoder/-1", "call_temporal": "temporal/-1",
    "call_classifier_temporal": "classifier_temporal/-1",
}  # fmt: skip


class Models:
    """Class 1 is white, class 0 black."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.windows: list[int] = []
        self.times: list[np.ndarray] = []

    def __call__(self, model: ServedModel, *inputs: np.ndarray) -> np.ndarray:
        if model is VISION_ENCODER:
            self.frames.append(len(inputs[0]))
            return inputs[0][:, :, :1, 4, 0].astype(np.float32) / 255  # (B, 1, 1)
        if model is TEMPORAL:
            embeddings, times = inputs
            self.windows.append(len(embeddings))
            self.times += list(times)
            return embeddings.mean(axis=1)  # (B, 1)
        assert model is CLASSIFIER_TEMPORAL
        white = np.clip(inputs[0], 0.02, 0.98)
        return np.concatenate([1 - white, white], axis=1)  # (B, 2)


@pytest.fixture
def models() -> Models:
    return Models()


def striped(second: int, rate: int = 10) -> Callable[[int, int, int], np.ndarray]:
    """White in every other stretch of `second` seconds, which begins with black."""

    def draw(index: int, width: int, height: int) -> np.ndarray:
        level = 255 * (index // (second * rate) % 2)
        return np.full((height, width, 3), level, np.uint8)

    return draw


def told(
    data: bytes, models: Models, stopped: Callable[[], bool] = lambda: False, **changes: float
) -> list[Segment]:
    settings = TimelineSettings.model_validate(SETTINGS | changes)
    return list(segments_from_video(data, settings, models, stopped))


def test_segments_begin_and_end_where_the_action_changes(movie: Movie, models: Models) -> None:
    found = told(movie(240, draw=striped(8)), models)
    assert [int(one.probs.argmax()) for one in found] == [0, 1, 0]
    bounds = [found[0].start, *(one.end for one in found)]
    assert bounds == pytest.approx([0, 8, 16, 24], abs=0.2)
    assert [one.start for one in found[1:]] == [one.end for one in found[:-1]]


def test_each_sampled_frame_is_encoded_once_in_batches(movie: Movie, models: Models) -> None:
    told(movie(100, draw=striped(5)), models)
    assert models.frames == [8] * 6 + [2]  # 10 s at 5 a second
    assert sum(models.windows) == (50 - 4) // 2 + 1
    assert all(np.allclose(times, [0, 0.2, 0.4, 0.6]) for times in models.times)


def test_a_frame_that_stays_is_encoded_once(movie: Movie, models: Models) -> None:
    found = told(movie(20, rate=1, draw=striped(10, rate=1)), models)
    assert sum(models.frames) == 20
    assert max(models.windows) <= 8
    assert [round(one.end) for one in found] == [10, 20]


def test_a_segment_is_told_while_the_rest_is_still_to_be_decoded(
    movie: Movie, models: Models
) -> None:
    settings = TimelineSettings.model_validate(SETTINGS)
    segments = segments_from_video(movie(600, draw=striped(6)), settings, models, lambda: False)
    next(segments)
    assert sum(models.frames) <= 5 * 10
    segments.close()


def test_stopping_ends_the_work(movie: Movie, models: Models) -> None:
    found = told(movie(600, draw=striped(6)), models, lambda: sum(models.frames) >= 100)
    assert sum(models.frames) == 104
    assert len(found) == 3


def test_a_short_video_is_one_window_of_frames_picked_like_those_of_a_clip(
    movie: Movie, models: Models
) -> None:
    (segment,) = told(movie(6), models)
    assert (segment.start, segment.end) == (0, pytest.approx(0.6))
    assert len(models.times) == 1
    assert np.allclose(models.times[0], [0, 0.2, 0.3, 0.5], atol=0.11)


def test_an_animation_has_a_timeline(models: Models) -> None:
    frames = [Image.new("L", (16, 16), 255 * (i >= 20)) for i in range(40)]
    file = io.BytesIO()
    frames[0].save(
        file, "WEBP", save_all=True, append_images=frames[1:], duration=200, lossless=True
    )
    found = told(file.getvalue(), models)
    assert [int(one.probs.argmax()) for one in found] == [0, 1]
    assert found[0].end == pytest.approx(4, abs=0.4)


def test_a_still_picture_has_none(models: Models) -> None:
    file = io.BytesIO()
    Image.new("L", (16, 16)).save(file, "JPEG")
    with pytest.raises(MediaError, match=r"a picture, which has no timeline.*har_temporal"):
        told(file.getvalue(), models)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_bytes": 100}, "bytes, but the limit is 100"),
        ({"max_seconds": 1}, "lasts 2.0 seconds"),
        ({"max_frames": 10}, "more than 10 frames"),
    ],
)
def test_limits_hold(limits: dict[str, float], message: str, movie: Movie, models: Models) -> None:
    with pytest.raises(MediaError, match=message):
        told(movie(20), models, **limits)
    assert models.frames == []
