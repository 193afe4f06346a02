"""The ranges that takes are drawn from: one set a split, one a tier of the order tests.

The splits share the actions and nothing else: their camera directions, hues and tempos come from
disjoint ranges, so a test clip is never seen from a training camera, in training hues or at a
training tempo. The nuisance tier has the hues and cameras of the test split, and bodies, textures
and tempos outside the ranges of every split.
"""

from dataclasses import dataclass, replace
from typing import Literal

from clip_har.dataset import SplitName, Tier

Range = tuple[float, float]
Texture = Literal["blotches", "patches", "grain"]

# The circle (of camera directions, or of hues) cut into equal sectors, dealt to the splits in turn.
CAMERA_SECTORS: tuple[SplitName, ...] = ("train", "test", "train", "train", "val", "train") * 4
HUE_SECTORS: tuple[SplitName, ...] = ("train", "train", "test", "train", "val", "train") * 2
TEMPOS: dict[SplitName, tuple[Range, ...]] = {
    "train": ((0.80, 0.92), (1.00, 1.08), (1.16, 1.25)),
    "val": ((0.92, 1.00),),
    "test": ((1.08, 1.16),),
}


@dataclass(frozen=True)
class Shades:
    """Colours of any hue, as HSV has them."""

    saturation: Range
    value: Range


@dataclass(frozen=True)
class Palette:
    """Colours of a scene."""

    shirt: Shades = Shades((0.5, 0.95), (0.35, 0.9))
    trousers: Shades = Shades((0.4, 0.9), (0.2, 0.6))
    wall: Shades = Shades((0.05, 0.35), (0.55, 0.95))
    floor: Shades = Shades((0.1, 0.4), (0.35, 0.75))


@dataclass(frozen=True)
class Ranges:
    """What may be drawn for a take."""

    split: SplitName
    """Whose sectors of the circle the camera directions and the hues come from."""
    tempos: tuple[Range, ...]
    """Speeds, 1 as recorded."""
    follow: Range = (0.3, 0.9)
    """How closely the camera follows; what is drawn above 1 counts as 1."""
    sizes: tuple[Range, ...] = ((0.92, 1.08),)
    """Heights of the body, 1 as recorded."""
    stoop: float = 0.0
    """Radians by which each joint of the posture is beyond what is usual."""
    trim: float = 0.12
    """At most this share of a one-shot recording is cut at either end."""
    palette: Palette = Palette()
    """Colours."""
    textures: tuple[Texture, ...] = ("blotches",)
    """What the wall and the floor may look like."""
    closed: bool = False
    """True for one cycle that ends with the very picture it began with. Of two, eight frames would
    show too few of each to tell a step from its reversal."""


SPLIT_RANGES = {
    **{split: Ranges(split, tempos) for split, tempos in TEMPOS.items()},
    "train": Ranges(
        "train",
        TEMPOS["train"],
        follow=(0.3, 1.5),
        palette=Palette(
            shirt=Shades((0.42, 0.95), (0.35, 0.95)),
            trousers=Shades((0.3, 0.9), (0.2, 0.63)),
            wall=Shades((0.05, 0.43), (0.45, 0.95)),
            floor=Shades((0.1, 0.48), (0.25, 0.75)),
        ),
        textures=("blotches", "patches"),
    ),
}
TIER_RANGES: dict[Tier, Ranges] = {
    "reversal": SPLIT_RANGES["test"],
    "closed_loop": replace(SPLIT_RANGES["test"], follow=(1.0, 1.0), closed=True),
    "rotation": replace(SPLIT_RANGES["test"], closed=True),
    "nuisance": Ranges(
        split="test",
        tempos=((0.70, 0.78), (1.28, 1.40)),
        sizes=((0.84, 0.90), (1.10, 1.16)),
        stoop=0.1,
        trim=0.3,
        textures=("grain",),
    ),
}
