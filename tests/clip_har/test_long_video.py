"""A long video gives the frames of `Video`, without holding the file's packets."""

import gc
from collections.abc import Callable

import numpy as np
import pytest
from av.packet import Packet

from clip_har.container import kind_of
from clip_har.limits import Limits, MediaError
from clip_har.long_video import LongVideo
from clip_har.video import Video

Movie = Callable[..., bytes]
CODINGS = [
    ("mp4", "libx264", {"bf": "3"}),
    ("mov", "mjpeg", {}),
    ("avi", "libx264", {"bf": "3"}),
    ("avi", "mpeg4", {"bf": "0"}),
    ("webm", "libvpx-vp9", {}),
    ("matroska", "libx264", {"bf": "3"}),
]


def opened(data: bytes, **limits: float) -> LongVideo:
    return LongVideo(data, kind_of(data), Limits.model_validate(limits), 1)


@pytest.mark.parametrize(("container", "codec", "options"), CODINGS)
def test_frames_and_times_are_those_of_a_video(
    container: str, codec: str, options: dict[str, str], movie: Movie
) -> None:
    data = movie(25, container=container, codec=codec, options={"g": "8", **options})
    video, long = Video(data, kind_of(data), Limits(), 1), opened(data)
    assert long.timeline == video.timeline
    for indices in (range(25), [3, 4, 20], [24]):
        pairs = zip(video.frames(indices), long.frames(indices), strict=True)
        assert all(np.array_equal(one, other) for one, other in pairs)
        video.close()
        video = Video(data, kind_of(data), Limits(), 1)
    video.close()


def test_what_an_edit_list_cuts_off_is_not_shown(movie: Movie) -> None:
    data = movie(10, times=[10 * i - 40 for i in range(10)], options={"bf": "2"})
    video, long = Video(data, kind_of(data), Limits(), 1), opened(data)
    assert long.timeline == video.timeline
    indices = range(len(long.timeline.starts))
    for one, other in zip(video.frames(indices), long.frames(indices), strict=True):
        assert np.array_equal(one, other)
    video.close()


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_frames": 19}, "more than 19 frames"),
        ({"max_seconds": 1.9}, "lasts 2.0 seconds"),
        ({"max_pixels": 64 * 48 - 1}, "64x48 pixels, but the limit is 3071"),
        ({"max_decoded_pixels": 20 * 64 * 48 - 1}, "20 frames of 64x48"),
    ],
)
def test_limits_hold(limits: dict[str, float], message: str, movie: Movie) -> None:
    with pytest.raises(MediaError, match=message):
        opened(movie(20), **limits)


def test_a_video_that_breaks_off_gives_what_comes_before(movie: Movie) -> None:
    data = bytearray(movie(20, container="avi", codec="mjpeg"))
    index = data.rindex(b"idx1")
    last = data.rindex(b"00dc", 0, index) + 8
    data[last:index] = bytes(index - last)
    frames = opened(bytes(data)).frames(range(20))
    for _ in range(19):
        next(frames)
    with pytest.raises(MediaError, match=r"damaged|ends early"):
        next(frames)


def test_packets_are_not_held(movie: Movie) -> None:
    frames = opened(movie(200, draw=blank)).frames(range(200))
    for _ in range(150):
        next(frames)
    held = [one for one in gc.get_objects() if issubclass(type(one), Packet)]
    assert len(held) < 20
    frames.close()


def blank(index: int, width: int, height: int) -> np.ndarray:
    return np.full((height, width, 3), index, np.uint8)
