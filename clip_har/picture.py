"""Pictures and animations, read by Pillow from memory."""

from __future__ import annotations

import io
import warnings
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np

from clip_har.kinds import Kind
from clip_har.limits import Limits, MediaError
from clip_har.sampling import Timeline

if TYPE_CHECKING:
    from PIL import Image
    from PIL.ImageFile import ImageFile

_MICROSECOND = Fraction(1, 1_000_000)
_UNSTATED = 100_000
"""Microseconds that browsers show a frame of an animation that states no time."""


class Picture:
    """A picture, or an animation: a clip of its frames."""

    def __init__(self, data: bytes, kind: Kind, limits: Limits, least: int | None = None) -> None:
        """Reads the header, and an animation's durations.

        `least`: a JPEG may be decoded at 1/2, 1/4 or 1/8 that leaves so many pixels a side.

        Raises MediaError when it cannot be read or is over a limit.
        """
        self._limits = limits
        self.codec = kind.value
        with _explained(limits):
            self._image = _opened(data, kind)
            limits.check_size(*self._image.size)
            if least and kind is Kind.JPEG:
                self._image.draft(None, (least, least))
            self.still = not getattr(self._image, "is_animated", False)
            # A PNG may show readers without animation another picture, which is no frame.
            self._first = int(bool(self._image.info.get("default_image")))
            durations = [_UNSTATED] if self.still else list(self._durations())
        starts = list(accumulate(durations, initial=0))
        self.timeline = Timeline(starts[:-1], starts[-1], _MICROSECOND)
        limits.check_seconds(self.timeline.seconds)

    def close(self) -> None:
        """Frees the decoder."""
        self._image.close()

    def frames(self, indices: Sequence[int]) -> Iterator[Image.Image]:
        """The frames at ascending indices, upright, in an 8-bit mode."""
        for index in indices:
            with _explained(self._limits):
                if not self.still:
                    self._image.seek(self._first + index)
                frame = _eight_bit(_upright(self._image, in_place=self.still))
            yield frame

    def _durations(self) -> Iterator[int]:
        """Decodes the animation once: only then are its durations known."""
        for count in range(1, self._limits.max_frames + 2):
            try:
                self._image.seek(self._first + count - 1)
            except EOFError:
                return
            self._limits.check_frames(count)
            self._limits.check_size(*self._image.size)  # a frame of a GIF may enlarge it
            self._limits.check_work(*self._image.size, count)
            self._image.load()
            yield round(1000 * self._image.info.get("duration", 0)) or _UNSTATED


def _opened(data: bytes, kind: Kind) -> ImageFile:
    """Reads the header with the one reader of its kind: Image.open would guess, and warn."""
    from PIL import GifImagePlugin, JpegImagePlugin, PngImagePlugin, WebPImagePlugin

    readers = {
        Kind.JPEG: JpegImagePlugin.JpegImageFile,
        Kind.PNG: PngImagePlugin.PngImageFile,
        Kind.WEBP: WebPImagePlugin.WebPImageFile,
        Kind.GIF: GifImagePlugin.GifImageFile,
    }
    return readers[kind](io.BytesIO(data))


def _upright(image: Image.Image, *, in_place: bool) -> Image.Image:
    """Turned as its EXIF says. EXIF that cannot be read says nothing."""
    from PIL import ImageOps

    image.load()
    try:
        if not in_place:
            return ImageOps.exif_transpose(image)
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:
        return image if in_place else image.copy()
    return image


def _eight_bit(image: Image.Image) -> Image.Image:
    """Greys of 16 bits by their upper 8: converted to RGB, Pillow would clip them to white."""
    from PIL import Image

    if not image.mode.startswith("I"):
        return image
    return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))


@contextmanager
def _explained(limits: Limits) -> Generator[None]:
    """Turns whatever a decoder says of bad bytes into a MediaError, and keeps it from warning."""
    from PIL.Image import DecompressionBombError

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        except MediaError:
            raise
        except DecompressionBombError as error:
            raise MediaError(
                f"The picture is larger than {limits.max_pixels} pixels, the limit (max_pixels): "
                "send it smaller."
            ) from error
        except Exception as error:
            if "truncated" in str(error).lower():
                raise MediaError(
                    f"The picture ends early: {error}. Send the file again, whole."
                ) from error
            raise MediaError(
                f"The picture is damaged and cannot be decoded: {error or type(error).__name__}."
            ) from error
