"""What a camera makes of a rendered scene. N pictures, S side in pixels.

The small CLIP was pretrained on clear renders, relit by a quarter and with a little noise. `dusk`
is the footage of a poor camera in poor light, blurred, pale and flat, which it never saw: there a
stage that tunes the CLIP has something to learn.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from training.mocap.ranges import Range

FootageName = Literal["clear", "dusk"]
LUMA = np.array([0.299, 0.587, 0.114])  # of RGB (ITU-R BT.601)
BLACK = 20.0  # what a poor sensor makes of darkness, of 255; its grain comes on top


@dataclass(frozen=True)
class Footage:
    """Ranges that a clip's camera is drawn from."""

    light: Range
    """Share of the light that arrives."""
    colour: Range
    """Share of the colourfulness that is left; 0 is grey."""
    blur: Range
    """Deviation of the blur in pixels."""
    grain: Range
    """Deviation of each pixel's noise, of 255."""


FOOTAGE: dict[FootageName, Footage | None] = {
    "clear": None,
    "dusk": Footage(light=(0.4, 0.8), colour=(0.2, 0.5), blur=(0.3, 1.0), grain=(4.0, 10.0)),
}


def filmed(pictures: np.ndarray, name: FootageName, rng: np.random.Generator) -> np.ndarray:
    """Pictures (N, S, S, 3) uint8 RGB as one camera would take them; `clear` leaves them alone."""
    footage = FOOTAGE[name]
    if footage is None:
        return pictures
    light, colour = rng.uniform(*footage.light), rng.uniform(*footage.colour)
    lens = ImageFilter.GaussianBlur(rng.uniform(*footage.blur))
    seen = np.stack([np.asarray(Image.fromarray(one).filter(lens), float) for one in pictures])
    grey = (seen @ LUMA)[..., None]  # (N, S, S, 1)
    seen = BLACK + light * (grey + colour * (seen - grey))
    seen += rng.uniform(*footage.grain) * rng.standard_normal(seen.shape)
    return seen.clip(0, 255).astype(np.uint8)
