"""Colours of a whole clip shifted at once: brightness, contrast, saturation and hue.

Each of them is a linear map of RGB that leaves the clip's mean grey in place or scales it, so they
commute: there is no order to choose, nothing is clipped half-way, and one 3 x 4 matrix does it all.
"""

from dataclasses import dataclass

import numpy as np

from training.strip import Strip

STRENGTHS = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1}
"""Widest shifts at strength 1: those of ActionCLIP (Wang et al., 2021)."""
PROBABILITY = 0.8
"""Share of clips that are shifted at all, likewise."""

YIQ_FROM_RGB = np.array(
    [[0.299, 0.587, 0.114], [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]]  # grey, then colour
)
RGB_FROM_YIQ = np.linalg.inv(YIQ_FROM_RGB)


@dataclass(frozen=True, slots=True)
class ColourShift:
    """What happens to the colours of a clip; as it stands, nothing."""

    brightness: float = 1.0
    """Factor of every value."""
    contrast: float = 1.0
    """Factor of the distance to the clip's mean grey."""
    saturation: float = 1.0
    """Factor of the distance to each pixel's own grey."""
    hue: float = 0.0
    """Turn of the colour wheel, in turns."""


def drawn_shift(strength: float, rng: np.random.Generator) -> ColourShift:
    """A random shift, `strength` times as wide as ActionCLIP's; for some clips none at all."""
    if rng.random() >= PROBABILITY:
        return ColourShift()
    draws = {name: rng.uniform(-1, 1) * strength * widest for name, widest in STRENGTHS.items()}
    hue = draws.pop("hue")
    return ColourShift(hue=hue, **{name: 1 + draw for name, draw in draws.items()})


def recoloured(strip: Strip, shift: ColourShift) -> Strip:
    """The strip with its colours shifted, the same for every frame."""
    if shift == ColourShift():
        return strip
    grey = float(np.asarray(strip.convert("L")).mean())
    angle = 2 * np.pi * shift.hue
    turn = np.eye(3)
    turn[1:, 1:] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    turn[1:] *= shift.saturation
    gain = shift.brightness * shift.contrast
    offset = shift.brightness * (1 - shift.contrast) * grey
    matrix = np.full((3, 4), offset)
    matrix[:, :3] = gain * RGB_FROM_YIQ @ turn @ YIQ_FROM_RGB
    return strip.convert("RGB", tuple(matrix.ravel().tolist()))


def greyed(strip: Strip) -> Strip:
    """The strip without its colours, still RGB."""
    return strip.convert("L").convert("RGB")
