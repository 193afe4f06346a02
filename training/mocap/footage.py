"""What a camera makes of a rendered scene. N pictures, S side in pixels.

The small CLIP was pretrained on clear renders, relit by a quarter and with a little noise. `haze`
hides nothing of a scene, but is flat and pale as the CLIP never saw it: there a stage that tunes
the CLIP has something to learn.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from training.mocap.ranges import Range

FootageName = Literal["clear", "haze"]
LUMA = np.array([0.299, 0.587, 0.114])  # of RGB (ITU-R BT.601)


@dataclass(frozen=True)
class Footage:
    """Ranges that a clip's air and camera are drawn from."""

    light: Range
    """Share of the scene's light that arrives."""
    colour: Range
    """Share of its colourfulness that is left; 0 is grey."""
    veil: Range
    """What the air itself adds, of 255."""
    grain: Range
    """Deviation of each pixel's noise, of 255."""


FOOTAGE: dict[FootageName, Footage | None] = {
    "clear": None,
    "haze": Footage(light=(0.4, 0.6), colour=(0.6, 1.0), veil=(40.0, 100.0), grain=(1.0, 4.0)),
}


def filmed(pictures: np.ndarray, name: FootageName, rng: np.random.Generator) -> np.ndarray:
    """Pictures (N, S, S, 3) uint8 RGB as one camera would take them; `clear` leaves them alone."""
    footage = FOOTAGE[name]
    if footage is None:
        return pictures
    light, colour = rng.uniform(*footage.light), rng.uniform(*footage.colour)
    veil, grain = rng.uniform(*footage.veil), rng.uniform(*footage.grain)
    grey = (pictures @ LUMA)[..., None]  # (N, S, S, 1)
    seen = veil + light * (grey + colour * (pictures - grey))
    seen += grain * rng.standard_normal(seen.shape)
    return seen.clip(0, 255).astype(np.uint8)
