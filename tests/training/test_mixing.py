"""Mixup and cutmix. B clips, T frames, S side, K classes."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from training.augmentation import Augmentation
from training.mixing import cut_in, drawn_box, mixed, mixed_up

B, T, S, K = 6, 3, 16, 6
CHANNELS_LAST, CHANNELS_FIRST = torch.uint8, torch.float32


def plain_batch(kind: torch.dtype) -> Tensor:
    """Clip b is all 40 * b, so that a pixel says whose it is; uint8, or float in 0..255."""
    shape = (T, S, S, 3) if kind == torch.uint8 else (T, 3, S, S)
    return torch.stack([torch.full(shape, 40 * b, dtype=kind) for b in range(B)])


def drawn(augmentation: Augmentation, seed: int, kind: torch.dtype) -> tuple[Tensor, Tensor]:
    return mixed(plain_batch(kind), torch.eye(K), augmentation, np.random.default_rng(seed))


def planes(frames: Tensor) -> Tensor:
    """Either layout as (B, T, S, S, 3) floats."""
    return (frames if frames.dtype == torch.uint8 else frames.movedim(-3, -1)).float()


BOTH = Augmentation(mixup=0.8, cutmix=1.0)
seeds = st.integers(0, 2**32)
kinds = st.sampled_from([CHANNELS_LAST, CHANNELS_FIRST])


@settings(deadline=None)
@given(seeds, kinds, st.floats(0, 1))
def test_targets_of_any_mix_sum_to_one_and_shapes_stay(
    seed: int, kind: torch.dtype, smoothing: float
) -> None:
    frames = plain_batch(kind)
    targets = torch.eye(K) * (1 - smoothing) + smoothing / K
    seen, soft = mixed(frames, targets, BOTH, np.random.default_rng(seed))
    assert (seen.shape, seen.dtype) == (frames.shape, kind)
    torch.testing.assert_close(soft.sum(dim=1), torch.ones(B))
    assert soft.min() >= 0
    assert torch.equal(frames, plain_batch(kind))


@settings(deadline=None)
@given(seeds, kinds)
def test_cutmix_shares_targets_by_the_area_of_one_box(seed: int, kind: torch.dtype) -> None:
    seen, soft = drawn(Augmentation(cutmix=1.0), seed, kind)
    colours = planes(seen)  # (B, T, S, S, 3)
    own = 40.0 * torch.arange(B).view(B, 1, 1, 1, 1)
    foreign = colours != own
    moved = foreign.flatten(1).any(dim=1)  # a clip may be its own partner
    box = foreign[..., 0].any(dim=0).any(dim=0)  # (S, S)
    assert (foreign == moved.view(B, 1, 1, 1, 1) & box.view(1, 1, S, S, 1)).all()
    assert box.sum() == box.any(dim=0).sum() * box.any(dim=1).sum()  # a rectangle
    share = float(box.float().mean())
    torch.testing.assert_close(soft.diagonal()[moved], torch.full((int(moved.sum()),), 1 - share))
    expected = (colours.mean(dim=(1, 2, 3, 4)) / 40).tolist()
    assert (soft @ torch.arange(K).float()).tolist() == pytest.approx(expected, abs=1e-3)


@settings(deadline=None)
@given(seeds, kinds)
def test_mixup_shares_every_pixel_as_the_targets(seed: int, kind: torch.dtype) -> None:
    seen, soft = drawn(Augmentation(mixup=0.8), seed, kind)
    expected = 40 * soft @ torch.arange(K).float()  # (B,)
    tolerance = 0.51 if kind == torch.uint8 else 1e-3
    difference = planes(seen) - expected.view(B, 1, 1, 1, 1)
    assert difference.abs().max() <= tolerance


def test_partners_are_another_clips_same_frames() -> None:
    frames = torch.randint(256, (2, T, S, S, 3), dtype=torch.uint8)
    box = drawn_box(S, 1.0, np.random.default_rng(0))
    swapped = cut_in(frames, torch.tensor([1, 0]), box)
    rows, columns = slice(box.top, box.bottom), slice(box.left, box.right)
    assert box.area > 0
    assert torch.equal(swapped[0, :, rows, columns], frames[1, :, rows, columns])
    assert torch.equal(swapped[1, :, rows, columns], frames[0, :, rows, columns])
    first = cut_in(frames.movedim(-1, -3).float(), torch.tensor([1, 0]), box)
    assert torch.equal(first.movedim(-3, -1), swapped.float())


def test_the_whole_strength_is_the_clip_and_none_is_its_partner() -> None:
    frames = torch.randint(256, (4, T, S, S, 3), dtype=torch.uint8)
    partners = torch.tensor([2, 0, 3, 1])
    assert torch.equal(mixed_up(frames, partners, 1.0), frames)
    assert torch.equal(mixed_up(frames, partners, 0.0), frames[partners])


@settings(deadline=None)
@given(st.integers(1, 300), st.floats(0, 1), seeds)
def test_a_box_lies_in_the_picture_and_is_not_larger_than_asked(
    side: int, share: float, seed: int
) -> None:
    box = drawn_box(side, share, np.random.default_rng(seed))
    assert 0 <= box.left <= box.right <= side
    assert 0 <= box.top <= box.bottom <= side
    longest = side * share**0.5 + 1  # whole pixels
    assert max(box.right - box.left, box.bottom - box.top) <= longest
    assert 0 <= box.area <= side**2


def test_a_mix_follows_from_the_generator_alone() -> None:
    first = [drawn(BOTH, seed, CHANNELS_LAST) for seed in range(5)]
    torch.manual_seed(9)
    for seed, (frames, targets) in enumerate(first):
        again = drawn(BOTH, seed, CHANNELS_LAST)
        assert torch.equal(again[0], frames)
        assert torch.equal(again[1], targets)


def test_off_is_the_batch_itself() -> None:
    for augmentation in (Augmentation(), BOTH.model_copy(update={"mix_probability": 0.0})):
        frames, targets = drawn(augmentation, 0, CHANNELS_LAST)
        assert torch.equal(frames, plain_batch(CHANNELS_LAST))
        assert torch.equal(targets, torch.eye(K))


def cut_and_mixed(augmentation: Augmentation, draws: int = 120) -> tuple[int, int]:
    """How many of the drawn batches were cut, and how many mixed up."""
    cut = up = 0
    for seed in range(draws):
        seen, soft = drawn(augmentation, seed, CHANNELS_FIRST)
        pure = bool((planes(seen) % 40 == 0).all())
        cut += pure and not torch.equal(soft, torch.eye(K))
        up += not pure
    return cut, up


def test_the_switch_and_the_probability_are_shares_of_batches() -> None:
    assert cut_and_mixed(BOTH.model_copy(update={"mix_switch": 0.0}))[0] == 0
    assert cut_and_mixed(BOTH.model_copy(update={"mix_switch": 1.0}))[1] == 0
    cut, up = cut_and_mixed(BOTH)
    assert 35 < cut < 85
    assert 35 < up < 85
    assert 30 < sum(cut_and_mixed(BOTH.model_copy(update={"mix_probability": 0.5}))) < 90


def test_a_soft_target_trains_like_its_parts() -> None:
    """Cross-entropy is linear in the target, so the share of a loss is the share of a target."""
    _, soft = drawn(Augmentation(mixup=0.8), 1, CHANNELS_LAST)
    logits = torch.randn(B, K, generator=torch.Generator().manual_seed(0))
    parts = torch.stack([F.cross_entropy(logits, torch.full((B,), k), reduction="none")
                         for k in range(K)], dim=1)  # fmt: skip
    torch.testing.assert_close(
        F.cross_entropy(logits, soft, reduction="none"), (soft * parts).sum(dim=1)
    )
