"""Where media come from: paths, folders, patterns, and pixels in memory."""

import glob
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from clients.errors import InvalidMedia
from clients.query import MESSAGE_BYTES
from clip_har.kinds import PICTURE_SUFFIXES, VIDEO_SUFFIXES

if TYPE_CHECKING:
    from PIL.Image import Image


class TorchTensor(Protocol):
    """What is used of a torch tensor; torch itself is never imported."""

    def detach(self) -> Any: ...
    def cpu(self) -> Any: ...


Pixels: TypeAlias = "NDArray[np.uint8] | TorchTensor"
"""A frame (H, W, 3) or (3, H, W), or frames with T before it: uint8 RGB."""
Media: TypeAlias = "str | Path | bytes | Image | Pixels"
"""A path, the bytes of an encoded file, a PIL image, or one frame."""

MEDIA_SUFFIXES = PICTURE_SUFFIXES | VIDEO_SUFFIXES
"""What is taken from a folder; a file that is named itself is taken whatever it is called."""
PNG_MODES = frozenset({"I;16", "L", "LA", "P", "RGB", "RGBA"})
"""Pillow's modes that a PNG has too."""
MOST_BYTES = MESSAGE_BYTES - 2**20
"""Most bytes of media in a request, which also names what it asks for."""


@dataclass(frozen=True, slots=True)
class RawFrames:
    """Decoded frames with their times."""

    pixels: NDArray[np.uint8]
    """(T, H, W, 3), RGB."""
    times: NDArray[np.float32]
    """(T,), seconds."""


def raw_frames(frames: Pixels, times: Sequence[float] | NDArray[Any]) -> RawFrames:
    """Raises InvalidMedia unless there are T frames (T, H, W, 3) of uint8 and T ascending times."""
    pixels = _array(frames)
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] != 3 or not pixels.size:
        raise InvalidMedia(
            "Frames are an array of uint8 with shape (T, H, W, 3), got "
            f"{pixels.dtype} with shape {pixels.shape}."
        )
    seconds = np.asarray(times, np.float32)
    if seconds.shape != pixels.shape[:1] or not np.all(np.diff(seconds) >= 0):
        raise InvalidMedia(
            f"times are the seconds of the {len(pixels)} frames in ascending order, "
            f"got an array with shape {seconds.shape}."
        )
    return RawFrames(pixels, seconds)


def bytes_of(media: Media) -> bytes:
    """What is sent for a piece of media: a file as it is, pixels as a lossless PNG.

    Raises InvalidMedia for a file that cannot be read, for one over 2 GB, or for an array that is
    not a frame.
    """
    if isinstance(media, bytes):
        check_size(len(media), "The file")
        return media
    if isinstance(media, str | Path):
        return _file_bytes(str(media))
    if hasattr(media, "getexif"):
        return _image_bytes(cast("Image", media))
    return _frame_bytes(_array(cast("Pixels", media)))


def check_size(byte_count: int, what: str) -> None:
    """Raises InvalidMedia for more bytes than a request carries."""
    if byte_count > MOST_BYTES:
        raise InvalidMedia(
            f"{what}: {byte_count} bytes, but a request carries at most 2 GB. Send less at a time: "
            "cut a video into parts, such as with ffmpeg -i FILE -c copy -f segment "
            "-segment_time 600 part%d.mp4"
        )


def _array(pixels: Pixels) -> NDArray[Any]:
    """The pixels as numpy has them, channels last."""
    if not isinstance(pixels, np.ndarray):
        pixels = np.asarray(pixels.detach().cpu())
    if pixels.ndim in (3, 4) and pixels.shape[-3] == 3 != pixels.shape[-1]:
        return np.moveaxis(pixels, -3, -1)  # torch's way to lay out a picture
    return pixels


def _file_bytes(path: str) -> bytes:
    if "://" in path:
        raise InvalidMedia(f"{path}: URLs are not fetched. Download the file and give its path.")
    try:
        check_size(Path(path).stat().st_size, path)
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidMedia(f"{path}: cannot be read: {error.strerror}.") from error


def _frame_bytes(pixels: NDArray[Any]) -> bytes:
    from PIL import Image

    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
        raise InvalidMedia(
            f"A frame is an array of uint8 with shape (H, W, 3), got {pixels.dtype} "
            f"with shape {pixels.shape}. Several frames, with their times, go to classify_frames."
        )
    return _png(Image.fromarray(np.ascontiguousarray(pixels)))


def _image_bytes(image: "Image") -> bytes:
    from PIL import ImageOps

    # A photo keeps its rotation in a note that would be lost in the PNG.
    image = ImageOps.exif_transpose(image)
    return _png(image if image.mode in PNG_MODES else _in_png_mode(image))


def _in_png_mode(image: "Image") -> "Image":
    """Keeps transparency and greys of 16 bits: the server treats them as those of a file."""
    if image.mode.startswith("I"):
        return image.convert("I").convert("I;16")
    return image.convert("RGBA" if image.has_transparency_data else "RGB")


def _png(image: "Image") -> bytes:
    file = io.BytesIO()
    image.save(file, format="PNG", compress_level=1)
    return file.getvalue()


def find_media(sources: Iterable[str]) -> list[Path]:
    """The files behind paths, folders and glob patterns, in the order given and each once.

    Raises ValueError for a source that is not there or holds no media.
    """
    return list(dict.fromkeys(path for source in sources for path in _expanded(source)))


def _expanded(source: str) -> list[Path]:
    path = Path(source)
    places = [path] if path.exists() else sorted(map(Path, glob.glob(source, recursive=True)))
    if not places:
        raise ValueError(f"{source}: no such file or folder, and nothing matches it as a pattern.")
    found = [file for place in places for file in _files_of(place)]
    if not found:
        known = " ".join(sorted(MEDIA_SUFFIXES))
        raise ValueError(f"{source}: no images or videos in it. Known endings: {known}.")
    return found


def _files_of(place: Path) -> Iterator[Path]:
    if not place.is_dir():
        yield place
        return
    for file in sorted(place.rglob("*")):
        visible = not file.name.startswith(".")
        if visible and file.suffix.lower() in MEDIA_SUFFIXES and file.is_file():
            yield file
