"""Whether checkpoints were trained, told from their answers on held-out clips."""

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from builder.held_out import HeldOut


@dataclass
class Told:
    """What a variant answered."""

    logits: Tensor


def held_out(classes: int, clips: int, right: int) -> HeldOut:
    """Clips of classes in turn, the first ones named right, the others as the next class."""
    truth = torch.arange(clips) % classes
    named = torch.where(torch.arange(clips) < right, truth, (truth + 1) % classes)
    logits = torch.nn.functional.one_hot(named, classes).float()
    none: Any = None
    return HeldOut(
        paths=(), frames=np.zeros(0), times=none, truth=truth, frame_embeds=none,
        recognised=cast(Any, {"mean": Told(logits)}), mixed=None, tokens=none, text_embeds=none,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("classes", "clips", "right", "trained"),
    [
        (19, 38, 2, False),
        (19, 38, 4, False),
        (19, 38, 20, True),
        (2, 4, 4, True),  # three deviations above chance would be more than all of them
        (2, 4, 2, False),
        (2, 200, 105, False),
        (2, 200, 130, True),
        (1000, 2000, 20, True),
    ],
)
def test_trained_is_what_names_clearly_more_right_than_chance(
    classes: int, clips: int, right: int, trained: bool
) -> None:
    assert held_out(classes, clips, right).is_trained() == trained
