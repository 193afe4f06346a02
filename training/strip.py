"""A clip as one tall picture: its frames one above another, so that one change reaches them all.

T frames, S side of a frame.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image

from clip_har.preprocess import Pixels

Strip = Image.Image
"""RGB, S wide and T * S high."""


def strip_from_frames(frames: Pixels) -> Strip:
    """Square RGB frames (T, S, S, 3) as a strip."""
    return Image.fromarray(frames.reshape(-1, *frames.shape[2:]))  # (T * S, S, 3)


def frames_from_strip(strip: Strip) -> Pixels:
    """The frames of a strip, (T, S, S, 3)."""
    side = strip.width
    return np.asarray(strip).reshape(-1, side, side, 3)


def each_frame(strip: Strip, change: Callable[[Image.Image], Image.Image]) -> Strip:
    """The strip with every frame changed by itself, for changes that look at neighbours."""
    side = strip.width
    changed = Image.new("RGB", strip.size)
    for top in range(0, strip.height, side):
        changed.paste(change(strip.crop((0, top, side, top + side))), (0, top))
    return changed
