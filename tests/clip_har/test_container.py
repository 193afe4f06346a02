import io
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from clip_har.container import kind_of
from clip_har.kinds import Kind
from clip_har.limits import Limits, MediaError
from clip_har.media import clip_from_media
from clip_har.sampling import every_frame


def picture(kind: str, frames: int = 1, seed: int = 0) -> bytes:
    """Noise, the same at every call: a JPEG of 30 needs no last byte to be decoded."""
    rng = np.random.default_rng(seed)
    grey = rng.integers(0, 255, (frames, 61, 90), np.uint8)
    noise = [Image.fromarray(one).convert("RGB") for one in grey]
    file = io.BytesIO()
    more = {"save_all": True, "append_images": noise[1:], "duration": 50} if frames > 1 else {}
    noise[0].save(file, kind, **more)
    return file.getvalue()


@pytest.fixture(scope="module")
def files(movie: Callable[..., bytes]) -> dict[str, bytes]:
    return {
        "jpeg": picture("JPEG"),
        "png": picture("PNG"),
        "apng": picture("PNG", 4),
        "webp": picture("WEBP"),
        "animated webp": picture("WEBP", 4),
        "gif": picture("GIF"),
        "animated gif": picture("GIF", 4),
        "mp4": movie(),
        "mp4, index first": movie(options={"movflags": "faststart"}),
        "mp4, fragments": movie(options={"movflags": "frag_keyframe+empty_moov", "g": "5"}),
        "mov": movie(container="mov"),
        "avi": movie(container="avi", codec="mjpeg"),
        "webm": movie(container="webm", codec="libvpx-vp9"),
        "mkv": movie(container="matroska"),
    }


KINDS = {
    "jpeg": Kind.JPEG,
    "png": Kind.PNG,
    "apng": Kind.PNG,
    "webp": Kind.WEBP,
    "animated webp": Kind.WEBP,
    "gif": Kind.GIF,
    "animated gif": Kind.GIF,
    "mp4": Kind.MP4,
    "mp4, index first": Kind.MP4,
    "mp4, fragments": Kind.MP4,
    "mov": Kind.MP4,
    "avi": Kind.AVI,
    "webm": Kind.MATROSKA,
    "mkv": Kind.MATROSKA,
}


@pytest.mark.parametrize("name", KINDS)
def test_a_file_is_known_by_its_first_bytes(name: str, files: dict[str, bytes]) -> None:
    assert kind_of(files[name]) is KINDS[name]


@pytest.mark.parametrize("part", [0.02, 0.3, 0.6, 0.9, 0.99])
@pytest.mark.parametrize("name", KINDS)
def test_a_file_that_is_cut_off_says_that_it_ends_early(
    name: str, part: float, files: dict[str, bytes]
) -> None:
    data = files[name]
    with pytest.raises(MediaError, match=r"ends early|Not a file that is read here"):
        clip_from_media(data[: int(len(data) * part)], every_frame, Limits())


@pytest.mark.parametrize("name", KINDS)
def test_the_last_byte_is_missed(name: str, files: dict[str, bytes]) -> None:
    with pytest.raises(MediaError, match="ends early"):
        clip_from_media(files[name][:-1], every_frame, Limits())


def test_a_jpeg_without_its_last_byte_is_refused_or_loses_nothing() -> None:
    """The byte is half of a mark. It is missed where the last pixels end with the byte before."""
    refused = 0
    for seed in range(100):
        data = picture("JPEG", seed=seed)
        try:
            clip = clip_from_media(data[:-1], every_frame, Limits())
        except MediaError:
            refused += 1
        else:
            whole = clip_from_media(data, every_frame, Limits())
            assert np.array_equal(clip.frames, whole.frames)
    assert 80 < refused < 100


@pytest.mark.parametrize("name", ["jpeg", "png", "gif", "mp4", "mkv"])
def test_bytes_after_the_end_do_no_harm(name: str, files: dict[str, bytes]) -> None:
    whole = clip_from_media(files[name], every_frame, Limits())
    longer = clip_from_media(files[name] + b"\0" * 1000, every_frame, Limits())
    assert len(longer.frames) == len(whole.frames)


@pytest.mark.parametrize(
    "data",
    [
        b"hello, I am a text",
        b"#EXTM3U\n#EXTINF:1\nfile:///etc/passwd\n",
        b"ffconcat version 1.0\nfile /etc/passwd\n",
        b"v=0\no=- 0 0 IN IP4 127.0.0.1\n",
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
        b"\0\0\0\x1cftypheic" + bytes(100),
        b"RIFF\x24\0\0\0WAVE" + bytes(100),
        bytes(100),
        b"\xff",
    ],
)
def test_whatever_is_not_on_the_list_is_refused(data: bytes) -> None:
    with pytest.raises(MediaError, match=r"begins with .* Send a JPEG, PNG"):
        kind_of(data)


def test_an_empty_file_is_called_empty() -> None:
    with pytest.raises(MediaError, match="empty"):
        kind_of(b"")
