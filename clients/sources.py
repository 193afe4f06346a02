"""Where media come from: paths, folders, patterns, and pixels in memory."""

import glob
import io
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from clients.errors import InvalidMedia

if TYPE_CHECKING:
    from PIL.Image import Image

Media: TypeAlias = "str | Path | bytes | Image | NDArray[np.uint8]"
"""A path, the bytes of an encoded file, a PIL image, or a frame (H, W, 3) of uint8 RGB."""

IMAGE_SUFFIXES = frozenset({".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
MEDIA_SUFFIXES = IMAGE_SUFFIXES | VIDEO_SUFFIXES
"""What is taken from a folder; a file that is named itself is taken whatever it is called."""


def bytes_of(media: Media) -> bytes:
    """What is sent for a piece of media: a file as it is, pixels as a lossless PNG.

    Raises InvalidMedia for a file that cannot be read or an array that is not a frame.
    """
    if isinstance(media, bytes):
        return media
    if isinstance(media, str | Path):
        return _file_bytes(str(media))
    return _png_bytes(media)


def _file_bytes(path: str) -> bytes:
    if "://" in path:
        raise InvalidMedia(f"{path}: URLs are not fetched. Download the file and give its path.")
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidMedia(f"{path}: cannot be read: {error.strerror}.") from error


def _png_bytes(pixels: "Image | NDArray[np.uint8]") -> bytes:
    from PIL import Image, ImageOps

    if isinstance(pixels, np.ndarray):
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3:
            raise InvalidMedia(
                f"A frame is an array of uint8 with shape (H, W, 3), got {pixels.dtype} "
                f"with shape {pixels.shape}."
            )
        image = Image.fromarray(np.ascontiguousarray(pixels))
    else:
        # A photo keeps its rotation in a note that would be lost in the PNG.
        image = ImageOps.exif_transpose(pixels)
        image = image if image.mode in ("RGB", "RGBA", "L", "P") else image.convert("RGB")
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
