"""Decoded frames as the model takes them. B clips, T frames, S side in pixels."""

import numpy as np
import pytest
from PIL import Image

from clip_har.limits import MediaError
from clip_har.preprocess import pixels_from_image
from clip_har.raw_frames import RawFrameSettings, resized

SETTINGS = RawFrameSettings(image_size=16, max_frames=4, max_pixels=5000, max_aspect=10)


def test_frames_are_resized_as_pictures_are() -> None:
    frames = np.random.default_rng(0).integers(0, 256, (2, 3, 40, 30, 3), np.uint8)
    times = np.arange(6, dtype=np.float32).reshape(2, 3)
    shaped = resized(frames, times, SETTINGS)
    assert shaped.shape == (2, 3, 16, 16, 3)
    assert shaped.dtype == np.uint8
    for place in np.ndindex(2, 3):
        expected = pixels_from_image(Image.fromarray(frames[place]), 16)
        assert np.array_equal(shaped[place], expected)


@pytest.mark.parametrize(
    ("shape", "times", "message"),
    [
        ((5, 9, 9), range(5), r"5 frames, but 1 to 4 are taken \(max_frames\)"),
        ((0, 9, 9), (), "0 frames"),
        ((1, 71, 71), (0,), r"71x71 pixels, but the limit is 5000"),
        ((1, 2, 21), (0,), r"too narrow: 21x2 pixels"),
        ((2, 9, 9), (0,), "TIMES has 1 values for 2 frames"),
        ((2, 9, 9), (1, 0.5), "may not fall"),
        ((2, 9, 9), (0, np.inf), "must be finite"),
    ],
)
def test_what_cannot_be_is_refused(shape: tuple[int, ...], times: object, message: str) -> None:
    seconds = np.array([list(times)], np.float32)
    with pytest.raises(MediaError, match=message):
        resized(np.zeros((1, *shape, 3), np.uint8), seconds, SETTINGS)


def test_frames_that_stand_still_in_time_are_allowed() -> None:
    frames = np.zeros((1, 2, 9, 9, 3), np.uint8)
    assert resized(frames, np.zeros((1, 2), np.float32), SETTINGS).shape == (1, 2, 16, 16, 3)
