import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clip_har.limits import Limits, MediaError, MediaSettings
from clip_har.media import clip_from_media, frames_from_batch, frames_from_media
from clip_har.preprocess import pixels_from_image
from clip_har.sampling import centred, every_frame

Movie = Callable[..., bytes]
SETTINGS = MediaSettings(frames=4, image_size=32)


def photo(size: tuple[int, int] = (50, 40)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (200, 100, 50)).save(file, "PNG")
    return file.getvalue()


def test_frames_are_the_preprocessed_frames_of_the_clip(movie: Movie) -> None:
    data = movie(20)
    clip = clip_from_media(data, centred(8), Limits())
    frames, times = frames_from_media(data, 8, 32, Limits())
    assert frames.dtype == np.uint8
    assert times.dtype == np.float32
    assert np.array_equal(frames, np.stack([pixels_from_image(f, 32) for f in clip.frames]))
    assert np.array_equal(times, clip.times)


def test_a_short_video_repeats_frames_and_their_times(movie: Movie) -> None:
    frames, times = frames_from_media(movie(3), 8, 32, Limits())
    assert frames.shape == (8, 32, 32, 3)
    assert times.tolist() == pytest.approx([0.05, 0.05, 0.05, 0.15, 0.15, 0.25, 0.25, 0.25])
    assert np.array_equal(frames[0], frames[2])


def test_a_video_of_one_frame_fills_the_clip(movie: Movie) -> None:
    frames, times = frames_from_media(movie(1), 4, 32, Limits())
    assert frames.shape == (4, 32, 32, 3)
    assert len(set(times.tolist())) == 1


def test_one_pixel_is_a_picture() -> None:
    frames, times = frames_from_media(photo((1, 1)), 8, 32, Limits())
    assert frames.shape == (1, 32, 32, 3)
    assert (frames == (200, 100, 50)).all()
    assert times.tolist() == [0.0]


def test_a_batch_of_images_keeps_one_frame_each() -> None:
    frames, times = frames_from_batch([photo(), photo()], SETTINGS)
    assert frames.shape == (2, 1, 32, 32, 3)
    assert times.tolist() == [[0.0], [0.0]]


def test_beside_a_video_an_images_frame_is_repeated(movie: Movie) -> None:
    frames, times = frames_from_batch([photo(), movie(8)], SETTINGS)
    assert frames.shape == (2, 4, 32, 32, 3)
    assert times.shape == (2, 4)
    assert (frames[0] == frames[0, 0]).all()
    assert times[0].tolist() == [0.0] * 4
    assert times[1].tolist() == pytest.approx([0.15, 0.35, 0.45, 0.65])


def test_an_error_names_the_item_of_the_batch() -> None:
    with pytest.raises(MediaError, match="Item 2 of 3: The file is empty"):
        frames_from_batch([photo(), b"", photo()], SETTINGS)


@pytest.fixture(scope="module")
def seeds(movie: Movie) -> list[bytes]:
    animation = io.BytesIO()
    frames = [Image.new("L", (20, 20), level) for level in (0, 90, 180)]
    frames[0].save(animation, "GIF", save_all=True, append_images=frames[1:], duration=50)
    return [
        photo(),
        animation.getvalue(),
        movie(6),
        movie(6, container="avi", codec="mjpeg"),
        movie(6, container="matroska"),
    ]


@settings(max_examples=150, deadline=None)
@given(which=st.integers(0, 4), seed=st.integers(0, 2**32 - 1), changes=st.integers(1, 30))
def test_damaged_files_are_decoded_or_refused_and_nothing_else(
    seeds: list[bytes], which: int, seed: int, changes: int
) -> None:
    data = bytearray(seeds[which])
    generator = np.random.default_rng(seed)
    for place in generator.integers(0, len(data), changes):
        data[place] = generator.integers(0, 256)
    try:
        clip = clip_from_media(bytes(data), every_frame, Limits(max_pixels=1_000_000))
    except MediaError:
        return
    assert len(clip.frames) == len(clip.times) > 0
