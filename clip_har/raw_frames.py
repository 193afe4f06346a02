"""Frames that a caller has decoded, as the model takes them. Callers are strangers: limits hold.

B clips, T frames, H and W of a frame, S side of the model's input.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from clip_har.limits import MediaError, SizeLimits
from clip_har.preprocess import Pixels, pixels_from_image


class RawFrameSettings(SizeLimits):
    """All that resizing can be told: the parameters of its config.pbtxt."""

    image_size: int = Field(gt=0)
    """S, side of the model's input in pixels."""
    max_frames: int = Field(default=64, gt=0)
    """Most frames of a clip."""


def resized(frames: Pixels, times: NDArray[np.float32], settings: RawFrameSettings) -> Pixels:
    """RAW_FRAMES (B, T, H, W, 3) with their TIMES (B, T) to FRAMES (B, T, S, S, 3).

    Raises MediaError for what is over a limit, and for times that cannot be those of the frames.
    """
    clips, count, height, width = frames.shape[:4]
    if not 0 < count <= settings.max_frames:
        raise MediaError(
            f"The clip has {count} frames, but 1 to {settings.max_frames} are taken (max_frames): "
            "send fewer of them."
        )
    settings.check_size(width, height)
    _check_times(times, count)
    shaped = [pixels_from_image(frame, settings.image_size) for clip in frames for frame in clip]
    return np.stack(shaped).reshape(clips, count, *shaped[0].shape)


def _check_times(times: NDArray[np.float32], count: int) -> None:
    if times.shape[1] != count:
        raise MediaError(
            f"TIMES has {times.shape[1]} values for {count} frames: send the second of each frame."
        )
    if not np.isfinite(times).all() or (np.diff(times, axis=1) < 0).any():
        raise MediaError(
            "TIMES must be finite and may not fall from one frame to the next: send the second of "
            "each frame, and the frames in their order."
        )
