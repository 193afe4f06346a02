"""What haze makes of a rendered scene. N pictures, S side in pixels.

The small CLIP was pretrained on clear renders, relit by a quarter and with a little noise. Haze
hides nothing of a scene, but is flat and pale as the CLIP never saw it: there a stage that tunes
the CLIP has something to learn.
"""

import numpy as np

from training.mocap.ranges import Range

LIGHT: Range = (0.3, 0.5)
"""Share of the scene's light that arrives."""
COLOUR: Range = (0.6, 1.0)
"""Share of its colourfulness that is left; 0 is grey."""
VEIL: Range = (40.0, 100.0)
"""What the air itself adds, of 255."""
GRAIN: Range = (1.0, 4.0)
"""Deviation of each pixel's noise, of 255."""
LUMA = np.array([0.299, 0.587, 0.114])  # of RGB (ITU-R BT.601)


def through_haze(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Pictures (N, S, S, 3) uint8 RGB as one camera would take them through the same air."""
    light, colour = rng.uniform(*LIGHT), rng.uniform(*COLOUR)
    veil, grain = rng.uniform(*VEIL), rng.uniform(*GRAIN)
    grey = (pictures @ LUMA)[..., None]  # (N, S, S, 1)
    seen = veil + light * (grey + colour * (pictures - grey))
    seen += grain * rng.standard_normal(seen.shape)
    return seen.clip(0, 255).astype(np.uint8)
