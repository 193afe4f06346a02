"""The tuned CLIP mixed with the pretrained one."""

from copy import deepcopy

import pytest
import torch

from training.action_model import ActionModel
from training.interpolation import ALPHAS, interpolated, swept
from training.run import Run

FUSION = "temporal.temporal.fusion.2"


@pytest.fixture
def tuned(model: ActionModel) -> ActionModel:
    """Every weight away from where it began."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)
    return model.eval().requires_grad_(False)


def test_alpha_1_is_the_tuned_model(tuned: ActionModel, run: Run) -> None:
    before = deepcopy(tuned.state_dict())
    mixed = interpolated(tuned, run.clip.state_dict(), 1.0).state_dict()
    assert [name for name in before if not torch.equal(mixed[name], before[name])] == []


def test_alpha_0_is_the_pretrained_clip_by_the_mean_of_frames(tuned: ActionModel, run: Run) -> None:
    mixed = interpolated(tuned, run.clip.state_dict(), 0.0)
    pretrained, weights = run.clip.state_dict(), mixed.clip.state_dict()
    assert [name for name in pretrained if not torch.equal(weights[name], pretrained[name])] == []
    embeds = torch.nn.functional.normalize(torch.randn(2, 4, run.spec.embed_dim), dim=-1)
    times = torch.arange(4.0).expand(2, -1)
    by_time, by_mean = (mixed.temporal[name](embeds, times) for name in ("temporal", "base"))
    torch.testing.assert_close(by_time, by_mean, atol=1e-6, rtol=0)
    moved = tuned.temporal["temporal"](embeds, times)
    assert (moved - by_mean).abs().max() > 0.01


def test_a_quarter_lies_near_the_pretrained_end(tuned: ActionModel, run: Run) -> None:
    pretrained = run.clip.state_dict()
    mixed = interpolated(tuned, pretrained, 0.25)
    for name, weight in mixed.clip.state_dict().items():
        if weight.is_floating_point():
            expected = 0.75 * pretrained[name] + 0.25 * tuned.clip.state_dict()[name]
            torch.testing.assert_close(weight, expected)
    ours, theirs = mixed.state_dict(), tuned.state_dict()
    for end in ("weight", "bias"):
        residual = ours[f"{FUSION}.{end}"]
        torch.testing.assert_close(residual, 0.25 * theirs[f"{FUSION}.{end}"])
    same = [name for name in ours if name.startswith("heads.")]
    assert all(torch.equal(ours[name], theirs[name]) for name in same)


def test_neither_end_is_changed(tuned: ActionModel, run: Run) -> None:
    ends = deepcopy(tuned.state_dict()), deepcopy(run.clip.state_dict())
    interpolated(tuned, run.clip.state_dict(), 0.5)
    for before, after in zip(ends, (tuned.state_dict(), run.clip.state_dict()), strict=True):
        assert all(torch.equal(before[name], after[name]) for name in before)


def alpha_of(model: ActionModel, tuned: ActionModel) -> float:
    scale = model.state_dict()[f"{FUSION}.bias"] / tuned.state_dict()[f"{FUSION}.bias"]
    return round(float(scale[0]), 1)


def test_the_sweep_takes_the_best_harmonic_mean_on_validation(tuned: ActionModel, run: Run) -> None:
    def measure(model: ActionModel) -> tuple[float, float, float, float]:
        alpha = alpha_of(model, tuned)
        return alpha, 1 - alpha, 1.0 if alpha == 1.0 else 0.0, 0.0  # test clips decide nothing

    sweep = swept(tuned, run.clip.state_dict(), measure)
    assert tuple(mix.alpha for mix in sweep) == ALPHAS
    assert (ALPHAS[0], ALPHAS[-1]) == (0.0, 1.0)
    assert [mix.alpha for mix in sweep if mix.shipped] == [0.5]
    ends = sweep[0], sweep[-1]
    assert [mix.harmonic_mean for mix in ends] == [0.0, 0.0]
    assert [(mix.top1, mix.zero_shot) for mix in ends] == [(0.0, 1.0), (1.0, 0.0)]
    assert sweep[-1].test_top1 == 1.0


def test_of_equals_the_sweep_takes_the_larger_alpha(tuned: ActionModel, run: Run) -> None:
    def measure(model: ActionModel) -> tuple[float, float, float, float]:
        good = 0.3 <= alpha_of(model, tuned) <= 0.7
        return (0.8, 0.8, 0.0, 0.0) if good else (0.5, 0.5, 0.0, 0.0)

    sweep = swept(tuned, run.clip.state_dict(), measure)
    assert [mix.alpha for mix in sweep if mix.shipped] == [0.7]
