"""RandAugment (Cubuk et al., 2020) for clips: a few random operations, all of one strength.

The operations and their ends are those of AutoAugment (Cubuk et al., 2019), from which RandAugment
took them: rotate to 30 degrees, shear to 0.3, translate to 150 of 331 pixels, the four enhancements
to 1 +- 0.9, posterize from 8 to 4 bits, solarize from a threshold of 256 to 0. A magnitude of 0..30
goes linearly from no change to these ends (31 bins, as in torchvision and ActionCLIP).

Every frame of a clip gets the same change. What an operation takes from the picture (the mean of
contrast, the histogram of autocontrast and equalize) it takes from the whole clip, so that nothing
flickers. No operation mirrors a clip or touches the order of its frames.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageEnhance, ImageOps

from training.strip import Strip, each_frame

STRONGEST = 30
"""The highest magnitude; the lowest is 0."""
FILL = (128, 128, 128)
"""What comes in from beyond the edge."""

Change = Callable[[Strip, float], Strip]


@dataclass(frozen=True, slots=True)
class Operation:
    """One kind of change and how far it goes."""

    change: Change
    """Changes a strip by an amount."""
    least: float = 0.0
    """The amount at magnitude 0."""
    most: float = 0.0
    """The amount at the highest magnitude."""
    signed: bool = False
    """Whether it goes both ways."""

    def amount(self, magnitude: int) -> float:
        """The amount at a magnitude of 0..30, in the operation's own unit."""
        return self.least + (self.most - self.least) * (magnitude / STRONGEST)


def rand_augmented(strip: Strip, count: int, magnitude: int, rng: np.random.Generator) -> Strip:
    """`count` operations one after another, each drawn from all of them; signs are drawn, too."""
    names = list(OPERATIONS)
    for index in rng.integers(len(names), size=count):
        strip = operated(strip, names[index], magnitude, negative=bool(rng.random() < 0.5))
    return strip


def operated(strip: Strip, name: str, magnitude: int, negative: bool = False) -> Strip:
    """One operation on every frame of a clip; `negative` turns those round that go both ways."""
    operation = OPERATIONS[name]
    amount = operation.amount(magnitude)
    return operation.change(strip, -amount if negative and operation.signed else amount)


def _posterized(strip: Strip, bits: float) -> Strip:
    return ImageOps.posterize(strip, round(bits))


def _solarized(strip: Strip, threshold: float) -> Strip:
    return ImageOps.solarize(strip, round(threshold))


def _sharpened(strip: Strip, amount: float) -> Strip:
    return each_frame(strip, lambda frame: ImageEnhance.Sharpness(frame).enhance(1 + amount))


def _rotated(strip: Strip, degrees: float) -> Strip:
    bilinear = Image.Resampling.BILINEAR
    return each_frame(strip, lambda frame: frame.rotate(degrees, bilinear, fillcolor=FILL))


def _sheared_x(strip: Strip, slope: float) -> Strip:
    return _mapped(strip, (1, slope, -slope * strip.width / 2, 0, 1, 0))


def _sheared_y(strip: Strip, slope: float) -> Strip:
    return _mapped(strip, (1, 0, 0, slope, 1, -slope * strip.width / 2))


def _moved_x(strip: Strip, share: float) -> Strip:
    return _mapped(strip, (1, 0, -share * strip.width, 0, 1, 0))


def _moved_y(strip: Strip, share: float) -> Strip:
    return _mapped(strip, (1, 0, 0, 0, 1, -share * strip.width))


def _mapped(strip: Strip, affine: tuple[float, ...]) -> Strip:
    """Each frame's pixel (x, y) from (a x + b y + c, d x + e y + f)."""
    affinely, bilinear = Image.Transform.AFFINE, Image.Resampling.BILINEAR
    return each_frame(
        strip,
        lambda frame: frame.transform(frame.size, affinely, affine, bilinear, fillcolor=FILL),
    )


OPERATIONS: dict[str, Operation] = {
    "identity": Operation(lambda strip, _: strip),
    "autocontrast": Operation(lambda strip, _: ImageOps.autocontrast(strip)),
    "equalize": Operation(lambda strip, _: ImageOps.equalize(strip)),
    "posterize": Operation(_posterized, least=8, most=4),
    "solarize": Operation(_solarized, least=256, most=0),
    "brightness": Operation(
        lambda strip, amount: ImageEnhance.Brightness(strip).enhance(1 + amount),
        most=0.9,
        signed=True,
    ),
    "contrast": Operation(
        lambda strip, amount: ImageEnhance.Contrast(strip).enhance(1 + amount),
        most=0.9,
        signed=True,
    ),
    "colour": Operation(
        lambda strip, amount: ImageEnhance.Color(strip).enhance(1 + amount),
        most=0.9,
        signed=True,
    ),
    "sharpness": Operation(_sharpened, most=0.9, signed=True),
    "rotate": Operation(_rotated, most=30, signed=True),
    "shear x": Operation(_sheared_x, most=0.3, signed=True),
    "shear y": Operation(_sheared_y, most=0.3, signed=True),
    "translate x": Operation(_moved_x, most=150 / 331, signed=True),
    "translate y": Operation(_moved_y, most=150 / 331, signed=True),
}
