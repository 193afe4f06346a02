import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clients.errors import InvalidMedia
from clients.recognizer import Recognizer
from clients.sources import MEDIA_SUFFIXES, bytes_of, find_media
from clip_har.container import kind_of
from clip_har.limits import Limits
from clip_har.media import pixels_from_picture


def decoded(content: bytes) -> np.ndarray:
    image = Image.open(io.BytesIO(content))
    assert image.format == "PNG"
    return np.asarray(image.convert("RGB"))


def pixels(height: int = 5, width: int = 7) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), np.uint8)


def test_files_and_bytes_are_sent_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"whatever it is")
    assert bytes_of(path) == bytes_of(str(path)) == bytes_of(b"whatever it is")


def test_a_frame_survives_to_the_last_bit() -> None:
    assert np.array_equal(decoded(bytes_of(pixels())), pixels())


def test_a_view_of_a_larger_array_is_a_frame_too() -> None:
    flipped = pixels()[:, ::-1]
    assert np.array_equal(decoded(bytes_of(flipped)), flipped)


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_images_of_any_colour_mode_are_sent(mode: str) -> None:
    image = Image.fromarray(pixels()).convert(mode)
    assert np.array_equal(decoded(bytes_of(image)), np.asarray(image.convert("RGB")))


GREYS = np.linspace(0, 65535, 70).reshape(7, 10).astype(np.uint16)


@pytest.mark.parametrize(
    "image",
    [
        Image.merge("LA", [Image.fromarray((GREYS >> 8).astype(np.uint8))] * 2),
        Image.fromarray(GREYS),
        Image.fromarray(pixels()).quantize(8),
        Image.fromarray(np.dstack([pixels(), pixels()[..., 0]])),
    ],
    ids=lambda image: image.mode,
)
def test_the_server_sees_an_image_as_it_sees_its_file(image: Image.Image, tmp_path: Path) -> None:
    path = tmp_path / "image.png"
    image.save(path)
    seen, read = (
        pixels_from_picture(one, 5, Limits()) for one in (bytes_of(image), path.read_bytes())
    )
    assert np.array_equal(seen, read)
    assert np.ptp(seen) > 50, "a picture of one colour shows nothing"


@pytest.mark.parametrize(
    "image", [Image.fromarray(GREYS.astype(kind)) for kind in (np.int32, ">u2")], ids=["I", "I;16B"]
)
def test_greys_of_16_bits_are_sent_however_they_are_kept(image: Image.Image) -> None:
    sent = Image.open(io.BytesIO(bytes_of(image)))
    assert np.array_equal(np.asarray(sent), GREYS)


def test_a_rotated_photo_is_sent_upright(tmp_path: Path) -> None:
    path = tmp_path / "photo.png"
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise to see it upright
    Image.fromarray(pixels()).save(path, exif=exif)
    assert np.array_equal(decoded(bytes_of(Image.open(path))), np.rot90(pixels(), -1))


@pytest.mark.parametrize(
    "array", [np.zeros((4, 4, 3)), np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8)]
)
def test_an_array_that_is_no_frame_is_refused(array: np.ndarray) -> None:
    with pytest.raises(InvalidMedia, match=r"shape \(H, W, 3\), got"):
        bytes_of(array)


def test_urls_are_not_fetched() -> None:
    with pytest.raises(InvalidMedia, match="URLs are not fetched"):
        bytes_of("https://example.org/clip.mp4")


def test_a_missing_file_is_named() -> None:
    with pytest.raises(InvalidMedia, match=r"nowhere\.mp4: cannot be read: No such file"):
        bytes_of(Path("nowhere.mp4"))


def test_a_file_over_2_gb_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "long.mp4"
    path.touch()
    for size in (2**31, 5 * 2**30):
        os.truncate(path, size)  # a hole: it takes no room
        with pytest.raises(InvalidMedia, match=rf"long\.mp4: {size} bytes, .*2 GB.*into parts"):
            bytes_of(path)
    with pytest.raises(InvalidMedia, match=r"The file: 2147483648 bytes"):
        bytes_of(bytes(2**31))


def test_files_that_are_together_over_2_gb_are_refused() -> None:
    with (
        Recognizer("127.0.0.1:1") as one,
        pytest.raises(InvalidMedia, match=r"2 files in one request: 2147483648 bytes"),
    ):
        one.classify_batch([bytes(2**30)] * 2)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("b.mp4", "a.JPG", "notes.txt", ".hidden.png", "sub/c.webm", "odd"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    return tmp_path


def names(found: list[Path], root: Path) -> list[str]:
    return [str(path.relative_to(root)) for path in found]


def test_a_folder_gives_the_media_below_it(tree: Path) -> None:
    assert names(find_media([str(tree)]), tree) == ["a.JPG", "b.mp4", "sub/c.webm"]


FORMATS = {".avi": "avi", ".m4v": "ipod", ".mkv": "matroska", ".webm": "webm"}


@pytest.mark.parametrize("suffix", sorted(MEDIA_SUFFIXES))
def test_what_is_taken_from_a_folder_is_read_by_the_server(
    suffix: str, movie: Callable[..., bytes]
) -> None:
    file = io.BytesIO()
    if suffix in Image.registered_extensions():
        Image.fromarray(pixels()).save(file, Image.registered_extensions()[suffix])
    else:
        container = FORMATS.get(suffix, suffix[1:])
        codec = "libvpx-vp9" if suffix == ".webm" else "libx264"
        file.write(movie(3, container=container, codec=codec))
    kind_of(file.getvalue())


def test_a_named_file_is_taken_whatever_it_is_called(tree: Path) -> None:
    assert names(find_media([str(tree / "odd")]), tree) == ["odd"]


def test_patterns_reach_into_folders(tree: Path) -> None:
    assert names(find_media([str(tree / "**" / "*.webm")]), tree) == ["sub/c.webm"]


def test_every_file_is_taken_once(tree: Path) -> None:
    found = find_media([str(tree / "b.mp4"), str(tree)])
    assert names(found, tree) == ["b.mp4", "a.JPG", "sub/c.webm"]


def test_a_name_with_brackets_is_a_file_before_it_is_a_pattern(tmp_path: Path) -> None:
    path = tmp_path / "clip[1].mp4"
    path.touch()
    assert find_media([str(path)]) == [path]


@pytest.mark.parametrize("source", ["missing.mp4", "*.mov"])
def test_a_source_that_is_not_there_is_an_error(tree: Path, source: str) -> None:
    with pytest.raises(ValueError, match="no such file or folder"):
        find_media([str(tree / source)])


def test_a_folder_without_media_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no images or videos in it"):
        find_media([str(tmp_path)])
