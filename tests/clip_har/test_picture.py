import io
import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from clip_har.limits import Limits, MediaError
from clip_har.media import Clip, clip_from_media, frames_from_media
from clip_har.sampling import every_frame

LEVELS = [0, 60, 120, 180, 240]
DURATIONS = [100, 100, 300, 200, 300]


def animation(kind: str, **options: object) -> bytes:
    frames = [Image.new("RGB", (40, 30), (level,) * 3) for level in LEVELS]
    file = io.BytesIO()
    settings = {"append_images": frames[1:], "duration": DURATIONS, "lossless": True} | options
    frames[0].save(file, kind, save_all=True, **settings)
    return file.getvalue()


def still(kind: str, size: tuple[int, int] = (40, 30)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (10, 20, 30)).save(file, kind)
    return file.getvalue()


def every(data: bytes, **limits: float) -> Clip:
    return clip_from_media(data, every_frame, Limits.model_validate(limits))


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_a_video_of_its_frames(kind: str) -> None:
    clip = every(animation(kind))
    assert not clip.still
    assert [int(frame[0, 0, 0]) for frame in clip.frames] == pytest.approx(LEVELS, abs=2)
    assert clip.times.tolist() == pytest.approx([0.05, 0.15, 0.35, 0.6, 0.85])
    assert clip.frames[0].shape == (30, 40, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_sampled_by_its_durations(kind: str) -> None:
    frames, times = frames_from_media(animation(kind), 4, 16, Limits())
    assert frames[:, 8, 8, 0].tolist() == pytest.approx([60, 120, 180, 240], abs=2)
    assert times.tolist() == pytest.approx([0.15, 0.35, 0.6, 0.85])


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "JPEG"])
def test_a_single_picture_is_a_clip_of_one_frame(kind: str) -> None:
    clip = every(still(kind))
    assert clip.still
    assert len(clip.frames) == 1
    assert clip.times.tolist() == [0.0]
    assert clip.times.dtype == np.float32


def test_a_gif_without_times_shows_each_frame_a_tenth_of_a_second() -> None:
    clip = every(animation("GIF", duration=0))
    assert clip.times.tolist() == pytest.approx([0.05, 0.15, 0.25, 0.35, 0.45])


def test_the_picture_for_readers_without_animation_is_no_frame() -> None:
    clip = every(animation("PNG", default_image=True, duration=100))
    assert [int(frame[0, 0, 0]) for frame in clip.frames] == LEVELS[1:]


def test_a_jpeg_with_a_second_picture_is_still_one_picture() -> None:
    frames = [Image.new("RGB", (40, 30), (level,) * 3) for level in (10, 200)]
    file = io.BytesIO()
    frames[0].save(file, "MPO", save_all=True, append_images=frames[1:])
    clip = every(file.getvalue())
    assert clip.still
    assert int(clip.frames[0][0, 0, 0]) == 10


@pytest.mark.parametrize("size", [(30_000, 30_000), (100_000, 1000), (9000, 9000)])
def test_a_bomb_is_refused_by_its_header(
    size: tuple[int, int], png_header: Callable[[int, int], bytes]
) -> None:
    with pytest.raises(MediaError, match=rf"{size[0]}x{size[1]} pixels.*50000000 pixels"):
        every(png_header(*size))


def test_a_webp_bomb_is_refused_by_its_header() -> None:
    data = bytearray(animation("WEBP"))
    assert data[12:16] == b"VP8X"
    data[24:30] = (16_000 - 1).to_bytes(3, "little") * 2
    with pytest.raises(MediaError, match="50000000 pixels"):
        every(bytes(data))


def test_a_frame_of_a_gif_cannot_outgrow_the_limit() -> None:
    data = bytearray(animation("GIF"))
    second = data.index(b"\x2c", data.index(b"\x2c") + 1)
    while data[second - 8 : second - 6] != b"\x21\xf9":  # a descriptor follows its control block
        second = data.index(b"\x2c", second + 1)
    data[second + 5 : second + 9] = struct.pack("<HH", 60_000, 60_000)
    with pytest.raises(MediaError, match="limit"):
        every(bytes(data))


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_frames": 4}, "more than 4 frames"),
        ({"max_seconds": 0.9}, "lasts 1.0 seconds, but the limit is 0.9"),
        ({"max_decoded_pixels": 4 * 1200}, "5 frames of 40x30"),
        ({"max_pixels": 1199}, "40x30 pixels, but the limit is 1199"),
        ({"max_bytes": 100}, "bytes, but the limit is 100"),
    ],
)
@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_limits_hold_for_animations(kind: str, limits: dict[str, float], message: str) -> None:
    with pytest.raises(MediaError, match=message):
        every(animation(kind), **limits)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_exactly_the_limit_is_allowed(kind: str) -> None:
    data = animation(kind)
    exact = {"max_frames": 5, "max_seconds": 1, "max_decoded_pixels": 6000, "max_pixels": 1200}
    assert len(every(data, max_bytes=len(data), **exact).frames) == 5


def test_a_narrow_picture_is_refused_and_named() -> None:
    assert every(still("PNG", (500, 1))).still
    with pytest.raises(MediaError, match=r"501x1 .* 500 times"):
        every(still("PNG", (501, 1)))
