"""B clips, T frames, D embedding."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from clip_har.nn.temporal import AttentionMotion, MeanPool, Motion, position_waves

DIM = 64


def clips(frames: int, count: int = 3, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Unit frame embeddings (B, T, D) and their seconds (B, T)."""
    generator = torch.Generator().manual_seed(seed)
    embeds = F.normalize(torch.randn(count, frames, DIM, generator=generator), dim=-1)
    return embeds, (torch.arange(frames) + 0.5).expand(count, -1) / 8


@pytest.fixture
def fresh() -> AttentionMotion:
    torch.manual_seed(1)
    return AttentionMotion(DIM).eval()


@pytest.fixture
def trained(fresh: AttentionMotion) -> AttentionMotion:
    """As after training: the last layer is no longer zero."""
    last = fresh.fusion[-1]
    assert isinstance(last, nn.Linear)
    nn.init.normal_(last.weight, std=0.05)
    return fresh


@pytest.mark.parametrize("frames", [1, 2, 8, 33])
def test_training_starts_at_the_mean_pool(fresh: AttentionMotion, frames: int) -> None:
    embeds, times = clips(frames)
    base = MeanPool(DIM)(embeds, times)
    assert torch.equal(fresh(embeds, times), F.normalize(base, dim=-1))
    torch.testing.assert_close(fresh(embeds, times), base, atol=1e-7, rtol=0)


@pytest.mark.parametrize("frames", [1, 2, 3, 5, 16, 64])
def test_any_number_of_frames_gives_unit_embeddings(trained: AttentionMotion, frames: int) -> None:
    embeds, times = clips(frames)
    for module in (trained, MeanPool(DIM)):
        embedding = module(embeds, times)
        assert embedding.shape == (3, DIM)
        torch.testing.assert_close(embedding.norm(dim=-1), torch.ones(3))


def test_one_frame_and_a_repeated_frame_have_no_motion_at_all(trained: AttentionMotion) -> None:
    embeds, _ = clips(1)
    for still in (embeds, embeds.expand(-1, 8, -1)):
        assert not trained.motion(still).any()
    assert trained.motion(clips(8)[0]).abs().max() > 1e-3


def test_order_shows_in_the_temporal_module_and_not_in_the_mean(trained: AttentionMotion) -> None:
    embeds, times = clips(8)
    mean = MeanPool(DIM)
    torch.testing.assert_close(mean(embeds, times), mean(embeds.flip(1), times), atol=1e-6, rtol=0)
    changed = (trained(embeds, times) - trained(embeds.flip(1), times)).norm(dim=-1)
    assert changed.min() > 1e-2


def test_motion_tells_a_closed_loop_from_its_reverse() -> None:
    """A-B-C-A holds the same frames and as many steps as A-C-B-A: only signed changes differ."""
    torch.manual_seed(2)
    a, b, c = clips(3)[0].unbind(1)
    motion = Motion(DIM).eval()
    forth = motion(torch.stack([a, b, c, a], dim=1))
    back = motion(torch.stack([a, c, b, a], dim=1))
    assert (forth - back).norm(dim=-1).min() > 0.05 * forth.norm(dim=-1).max()


def test_motion_is_more_than_the_sum_of_changes() -> None:
    """The changes of A-B-A sum to zero; joined with the frame they do not cancel."""
    torch.manual_seed(2)
    a, b = clips(2)[0].unbind(1)
    motion = Motion(DIM).eval()
    assert motion(torch.stack([a, b, a], dim=1)).norm(dim=-1).min() > 1e-2


def test_gradient_reaches_every_parameter_after_one_step(fresh: AttentionMotion) -> None:
    embeds, times = clips(8)
    target = clips(1, seed=5)[0][:, 0]
    optimizer = torch.optim.SGD(fresh.parameters(), lr=0.1)
    for _ in range(2):
        optimizer.zero_grad()
        (1 - (fresh(embeds, times) * target).sum(dim=-1)).mean().backward()
        optimizer.step()
    deaf = [
        name for name, p in fresh.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0
    ]
    assert deaf == []


@pytest.mark.parametrize("other", [lambda t: t + 7.5, lambda t: t * 3.0], ids=["later", "slower"])
def test_position_is_the_place_in_the_clip(other: Callable[[Tensor], Tensor]) -> None:
    times = torch.tensor([[0.25, 0.5, 1.0, 2.25]])
    torch.testing.assert_close(position_waves(times), position_waves(other(times)))


def test_a_single_time_has_a_finite_position() -> None:
    assert position_waves(torch.tensor([[3.0]])).isfinite().all()
