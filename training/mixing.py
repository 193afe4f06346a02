"""Two clips in one: mixup (Zhang et al., 2018) and cutmix (Yun et al., 2019) over a batch.

One share, one partner a clip and one box for the whole batch and all frames. Frame t is mixed with
frame t of the partner; time stamps are not mixed: a clip keeps its own.

B clips, T frames, S side in pixels, K classes.
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from training.augmentation import Augmentation


class Box(NamedTuple):
    """A part of a picture in whole pixels, without its right column and its bottom row."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def area(self) -> int:
        """In pixels."""
        return (self.right - self.left) * (self.bottom - self.top)


def mixed(
    frames: Tensor, targets: Tensor, augmentation: Augmentation, rng: np.random.Generator
) -> tuple[Tensor, Tensor]:
    """A batch of clips as the settings mix it, with the targets that belong to it.

    Takes uint8 frames (B, T, S, S, 3) or float pixels (B, T, 3, S, S), and targets (B, K) whose
    rows sum to 1. Returns the same shapes and types (uint8 is rounded); targets still sum to 1.
    """
    kind = _drawn_kind(augmentation, rng)
    if kind is None:
        return frames, targets
    alpha = augmentation.mixup if kind == "mixup" else augmentation.cutmix
    own = float(rng.beta(alpha, alpha))
    partners = torch.from_numpy(rng.permutation(len(frames))).to(frames.device)
    if kind == "mixup":
        return mixed_up(frames, partners, own), _shared(targets, partners, own)
    side = frames.shape[3]
    box = drawn_box(side, 1 - own, rng)
    own = 1 - box.area / side**2
    return cut_in(frames, partners, box), _shared(targets, partners, own)


def mixed_up(frames: Tensor, partners: Tensor, own: float) -> Tensor:
    """Each clip at a strength of `own` under its partner at the rest; partners (B,)."""
    floats = frames.float() if frames.dtype == torch.uint8 else frames
    blend = torch.lerp(floats[partners], floats, own)
    return blend.round().to(torch.uint8) if frames.dtype == torch.uint8 else blend


def cut_in(frames: Tensor, partners: Tensor, box: Box) -> Tensor:
    """Each clip with a box of all its frames taken from its partner; partners (B,)."""
    cut = frames.clone()
    whole = cut.movedim(-1, -3) if frames.dtype == torch.uint8 else cut  # (B, T, 3, S, S)
    window = whole[..., box.top : box.bottom, box.left : box.right]
    window.copy_(window[partners])
    return cut


def drawn_box(side: int, share: float, rng: np.random.Generator) -> Box:
    """A square of about `share` of a picture around a random pixel; what hangs over is lost."""
    half = side * np.sqrt(share) / 2
    x, y = rng.random(2) * side
    edges = np.clip(np.rint([x - half, y - half, x + half, y + half]), 0, side)
    return Box(*edges.astype(int).tolist())


def _drawn_kind(augmentation: Augmentation, rng: np.random.Generator) -> str | None:
    """What is done to a batch: "mixup", "cutmix" or nothing."""
    on = [name for name in ("mixup", "cutmix") if getattr(augmentation, name) > 0]
    if not on or rng.random() >= augmentation.mix_probability:
        return None
    if len(on) == 1:
        return on[0]
    return "cutmix" if rng.random() < augmentation.mix_switch else "mixup"


def _shared(targets: Tensor, partners: Tensor, own: float) -> Tensor:
    """Targets (B, K) that stand for a share of `own` of a clip and the rest of its partner."""
    return own * targets + (1 - own) * targets[partners]
