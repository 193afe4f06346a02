"""One encoded image or video file as a clip of frames. Bytes come from strangers: limits hold.

B files, T frames, H and W of a decoded frame, S side of the model's input.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clip_har.container import kind_of
from clip_har.kinds import PICTURES
from clip_har.limits import Limits, MediaError, MediaSettings
from clip_har.picture import Picture
from clip_har.preprocess import Pixels, pixels_from_image, rgb_from_image
from clip_har.sampling import Pick, centred
from clip_har.video import Video

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "Clip",
    "Limits",
    "MediaError",
    "MediaSettings",
    "clip_from_media",
    "frames_from_batch",
    "frames_from_media",
    "pixels_from_picture",
]

Times = NDArray[np.float32]
_SEND = "Send a JPEG, PNG or WebP of each frame."


@dataclass(frozen=True, slots=True)
class Clip:
    """Frames of an image or a video."""

    frames: list[Pixels]
    """RGB uint8, upright, (H, W, 3) each; a frame that was picked twice is the same array."""
    times: Times
    """Seconds from the start of the clip to the middle of each frame's time on screen; (N,).
    0 for a still."""
    still: bool
    """Whether it is an image without a duration."""
    codec: str = ""
    """How it is coded, as FFmpeg or Pillow names it."""


def clip_from_media(data: bytes, pick: Pick, limits: Limits, threads: int = 1) -> Clip:
    """Decodes the frames that `pick` chooses from the timeline, at their own size.

    A still image is a clip of its one frame, and `pick` is not asked.

    Raises MediaError for a file that cannot be read, is not whole, or is over a limit.
    """
    return _clip(data, pick, limits, threads, lambda frame: np.array(rgb_from_image(frame)))


def frames_from_media(
    data: bytes,
    frames: int,
    size: int,
    limits: Limits,
    threads: int = 1,
    scaled_jpeg: bool = False,
) -> tuple[Pixels, Times]:
    """FRAMES (T, S, S, 3) and TIMES (T,) of one file: T = 1 for a still image, else `frames`.

    A video is sampled at the centres of T equal segments of its time. One full-size frame is held
    at a time. `scaled_jpeg` is quicker for large JPEGs, and not exact.

    Raises MediaError like clip_from_media.
    """
    least = 2 * size if scaled_jpeg else None
    clip = _clip(
        data, centred(frames), limits, threads, lambda frame: pixels_from_image(frame, size), least
    )
    return np.stack(clip.frames), clip.times


def pixels_from_picture(data: bytes, size: int, limits: Limits) -> Pixels:
    """One picture as the model takes it: (S, S, 3).

    Raises MediaError like clip_from_media, and for a video or an animation.
    """
    limits.check_bytes(len(data))
    kind = kind_of(data)
    if kind not in PICTURES:
        raise MediaError(f"A frame is one picture, but this is a video ({kind.value}). {_SEND}")
    with closing(Picture(data, kind, limits)) as picture:
        if not picture.still:
            raise MediaError(f"A frame is one picture, but this is an animation. {_SEND}")
        return pixels_from_image(next(picture.frames([0])), size)


def frames_from_batch(batch: Sequence[bytes], settings: MediaSettings) -> tuple[Pixels, Times]:
    """FRAMES (B, T, S, S, 3) and TIMES (B, T) of several files.

    T is the most frames of any of them: beside a video, an image's frame is repeated.

    Raises MediaError that names the item.
    """
    clips: list[tuple[Pixels, Times]] = []
    for number, data in enumerate(batch, start=1):
        try:
            clips.append(
                frames_from_media(
                    data,
                    settings.frames,
                    settings.image_size,
                    settings,
                    settings.threads,
                    settings.scaled_jpeg,
                )
            )
        except MediaError as error:
            raise MediaError(f"Item {number} of {len(batch)}: {error}") from error
    longest = max(len(times) for _, times in clips)
    repeats = [longest // len(times) for _, times in clips]  # a clip has 1 frame, or `longest`
    return (
        np.stack([np.repeat(f, n, axis=0) for (f, _), n in zip(clips, repeats, strict=True)]),
        np.stack([np.repeat(t, n) for (_, t), n in zip(clips, repeats, strict=True)]),
    )


def _clip(
    data: bytes,
    pick: Pick,
    limits: Limits,
    threads: int,
    shaped: "Callable[[Image.Image | Pixels], Pixels]",
    least: int | None = None,
) -> Clip:
    """Shapes each frame as soon as it is decoded, so that one is held at full size."""
    limits.check_bytes(len(data))
    kind = kind_of(data)
    opened = (
        Picture(data, kind, limits, least)
        if kind in PICTURES
        else Video(data, kind, limits, threads)
    )
    with closing(opened) as source:
        picked = [0] if source.still else list(pick(source.timeline))
        distinct = sorted(set(picked))
        shapes = dict(zip(distinct, map(shaped, source.frames(distinct)), strict=True))
        times = [0.0] if source.still else source.timeline.middles(picked)
    frames = [shapes[i] for i in picked]
    return Clip(frames, np.array(times, np.float32), source.still, source.codec)
