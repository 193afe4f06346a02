"""Random views of a clip, for training. What is drawn for a clip is done to all of its frames.

A view depends on the clip, the settings and a generator, and on nothing else: with a generator of
its own for each clip of each epoch, `np.random.default_rng((seed, epoch, clip))`, a run that goes
on after a stop sees what it would have seen.

Playing a clip backwards is never an augmentation, so there is no setting for it: it changes what
the clip shows. Where a reversal has a label of its own, training labels it so.

T frames, H and W of a decoded frame, S side of the model's input, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator
from torch import Tensor

from clip_har.config import Config
from clip_har.preprocess import Pixels, pixels_from_image
from training.colour import drawn_shift, greyed, recoloured
from training.flipping import check_flip_labels, flip_classes
from training.rand_augment import STRONGEST, rand_augmented
from training.strip import frames_from_strip, strip_from_frames

CENTRE = (1.0, 1.0)
"""The crop_scale that takes the centre of a frame, as a server does."""

Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""


class Augmentation(Config):
    """How training clips are varied. As it stands, not at all: what a server would see."""

    crop_scale: tuple[float, float] = CENTRE
    """Smallest and largest share of a frame's area that a random crop shows; (1, 1) is the centre
    crop of a server. A box too wide or too high for the frame is shrunk until it fits."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Narrowest and widest shape of a random crop, width by height; it is resized to a square."""
    flip: float = Field(default=0, ge=0, le=1)
    """Share of clips that are mirrored, left for right."""
    flip_labels: dict[str, str] = Field(default_factory=dict)
    """The label that a label becomes when mirrored, both ways; the others stay what they are."""
    colour: float = Field(default=0, ge=0, le=2)
    """Strength of the shifts of brightness, contrast, saturation and hue; 1 is ActionCLIP's."""
    grey: float = Field(default=0, ge=0, le=1)
    """Share of clips that lose their colours."""
    rand_augment_ops: int = Field(default=0, ge=0)
    """Operations of RandAugment done to a clip; usual are 2."""
    rand_augment_magnitude: int = Field(default=9, ge=0, le=STRONGEST)
    """How strong they are, 0..30."""
    noise: float = Field(default=0, ge=0, le=1)
    """Deviation of the noise added to the pixels, as a share of white; the same in all frames."""
    mixup: float = Field(default=0, ge=0)
    """Alpha of the Beta distribution that shares of mixed clips are drawn from; 0 for no mixup."""
    cutmix: float = Field(default=0, ge=0)
    """Alpha of the Beta distribution that areas of cut clips are drawn from; 0 for no cutmix."""
    mix_probability: float = Field(default=1, ge=0, le=1)
    """Share of batches that are mixed or cut, where either is on."""
    mix_switch: float = Field(default=0.5, ge=0, le=1)
    """Share of those that are cut, where both are on."""

    @model_validator(mode="after")
    def _ranges_are_ranges(self) -> "Augmentation":
        low, high = self.crop_scale
        if not 0 < low <= high <= 1:
            raise ValueError(f"crop_scale must be 0 < smallest <= largest <= 1, not {low}, {high}")
        low, high = self.crop_ratio
        if not 0 < low <= high:
            raise ValueError(f"crop_ratio must be 0 < narrowest <= widest, not {low}, {high}")
        return self


@dataclass(frozen=True, slots=True)
class View:
    """A clip as training sees it once."""

    frames: Tensor
    """RGB uint8, (T, S, S, 3)."""
    flipped: bool
    """Whether it is mirrored: its class is then the one of `flip_table`."""


def clip_view(
    frames: Tensor | Pixels | Sequence[Pixels],
    size: int,
    augmentation: Augmentation,
    rng: np.random.Generator,
) -> View:
    """One random view of a clip's decoded, upright frames: uint8 (T, H, W, 3) -> (T, S, S, 3).

    Crop, mirror, colour, RandAugment and noise, in this order. With everything off a frame is
    exactly what `pixels_from_image` makes of it.
    """
    pictures = [np.asarray(frame) for frame in frames]  # T of (H, W, 3)
    assert pictures, "a clip has at least one frame"
    assert all(picture.dtype == np.uint8 for picture in pictures), "frames are 0..255"
    square = _squares(pictures, size, augmentation, rng)  # (T, S, S, 3)
    flipped = bool(rng.random() < augmentation.flip)
    if flipped:
        square = np.ascontiguousarray(square[:, :, ::-1])
    changed = _retouched(square, augmentation, rng)
    return View(torch.from_numpy(_with_noise(changed, augmentation.noise, rng)), flipped)


def check_flip(labels: Sequence[str], augmentation: Augmentation) -> None:
    """Whether clips of these labels may be mirrored as the settings say; call it before training.

    Raises ValueError where a label names a direction and the settings do not say what it becomes,
    or where flip_labels names unknown labels or is not symmetric. Without flips anything will do.
    """
    if augmentation.flip:
        check_flip_labels(labels, augmentation.flip_labels)


def flip_table(labels: Sequence[str], augmentation: Augmentation) -> Tensor:
    """The class that each class becomes when its clip is mirrored, (K,); raises like check_flip."""
    check_flip(labels, augmentation)
    return flip_classes(labels, augmentation.flip_labels if augmentation.flip else {})


def _squares(
    pictures: Sequence[Pixels], size: int, augmentation: Augmentation, rng: np.random.Generator
) -> Pixels:
    """The same part of every frame at the model's size, (T, S, S, 3)."""
    if augmentation.crop_scale == CENTRE:
        return np.stack([pixels_from_image(picture, size) for picture in pictures])
    height, width = pictures[0].shape[:2]
    box = crop_box(width, height, augmentation, rng)
    bicubic = Image.Resampling.BICUBIC
    cut = [Image.fromarray(one).resize((size, size), bicubic, box=box) for one in pictures]
    return np.stack([np.asarray(one) for one in cut])


def crop_box(width: int, height: int, augmentation: Augmentation, rng: np.random.Generator) -> Box:
    """A random part of a frame, of a random area, shape and place."""
    area = rng.uniform(*augmentation.crop_scale) * width * height
    ratio = np.exp(rng.uniform(*np.log(augmentation.crop_ratio)))
    wide, high = np.sqrt(area * ratio), np.sqrt(area / ratio)
    fit = min(1.0, width / wide, height / high)
    wide, high = min(wide * fit, width), min(high * fit, height)  # rounding must not leave it
    left, top = rng.random() * (width - wide), rng.random() * (height - high)
    return left, top, min(left + wide, width), min(top + high, height)


def _retouched(frames: Pixels, augmentation: Augmentation, rng: np.random.Generator) -> Pixels:
    """Frames (T, S, S, 3) with other colours and through RandAugment."""
    strip = strip_from_frames(frames)
    if augmentation.colour:
        strip = recoloured(strip, drawn_shift(augmentation.colour, rng))
    if rng.random() < augmentation.grey:
        strip = greyed(strip)
    strip = rand_augmented(
        strip, augmentation.rand_augment_ops, augmentation.rand_augment_magnitude, rng
    )
    return frames_from_strip(strip)


def _with_noise(frames: Pixels, deviation: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """The same noise on all frames (T, S, S, 3): what differs between them is the action."""
    if not deviation:
        return frames.copy()  # Pillow's own memory is read-only
    noise = 255 * deviation * rng.standard_normal(frames.shape[1:], dtype=np.float32)
    return np.clip(np.rint(frames + noise), 0, 255).astype(np.uint8)
