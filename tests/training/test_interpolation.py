"""Between what the frozen stages left and the tuned model."""

from copy import deepcopy

import pytest
import torch

from training.action_model import ActionModel
from training.interpolation import ALPHAS, Measured, interpolated, swept
from training.run import Run

Ends = tuple[ActionModel, ActionModel]


def moved(model: ActionModel, seed: int, *parts: str) -> ActionModel:
    """A copy with every weight of these parts elsewhere."""
    copy = deepcopy(model).eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in copy.named_parameters():
        if name.startswith(parts):
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return copy


@pytest.fixture
def ends(model: ActionModel) -> Ends:
    """What a frozen stage left, with the pretrained CLIP, and the tuned model."""
    begun = moved(model, 0, "temporal", "heads")
    return begun, moved(begun, 1, "")


def differences(one: ActionModel, other: ActionModel) -> list[str]:
    ours, theirs = one.state_dict(), other.state_dict()
    return [name for name in ours if not torch.equal(ours[name], theirs[name])]


def test_alpha_1_is_the_tuned_model(ends: Ends) -> None:
    assert differences(interpolated(*ends, 1.0), ends[1]) == []


def test_alpha_0_is_what_the_frozen_stage_left_on_the_pretrained_clip(ends: Ends, run: Run) -> None:
    mixed = interpolated(*ends, 0.0)
    assert differences(mixed, ends[0]) == []
    pretrained, weights = run.clip.state_dict(), mixed.clip.state_dict()
    assert [name for name in pretrained if not torch.equal(weights[name], pretrained[name])] == []
    embeds = torch.nn.functional.normalize(torch.randn(2, 4, run.spec.embed_dim), dim=-1)
    times = torch.arange(4.0).expand(2, -1)
    there, back = (mixed.temporal["temporal"](one, times) for one in (embeds, embeds.flip(1)))
    assert (there - back).abs().max() > 0.01  # it still knows one order from the other


def test_a_quarter_lies_near_what_the_frozen_stage_left(ends: Ends) -> None:
    begun, tuned = (end.state_dict() for end in ends)
    for name, weight in interpolated(*ends, 0.25).state_dict().items():
        torch.testing.assert_close(weight, 0.75 * begun[name] + 0.25 * tuned[name])


def test_neither_end_is_changed(ends: Ends) -> None:
    before = deepcopy(ends)
    interpolated(*ends, 0.5)
    assert [differences(*pair) for pair in zip(before, ends, strict=True)] == [[], []]


def test_the_models_of_two_runs_have_no_line_between_them(ends: Ends) -> None:
    begun, tuned = ends
    del begun.heads["base"]
    with pytest.raises(AssertionError, match="two runs"):
        interpolated(begun, tuned, 0.5)


def alpha_of(model: ActionModel, ends: Ends) -> float:
    """Where between its ends a model lies, by one weight."""
    weight, begun, tuned = (float(one.heads["base"][1].bias[0]) for one in (model, *ends))
    return round((weight - begun) / (tuned - begun), 1)


def test_the_sweep_takes_the_best_harmonic_mean_on_validation(ends: Ends) -> None:
    def measure(model: ActionModel) -> Measured:
        alpha = alpha_of(model, ends)
        return Measured(alpha, 1 - alpha, 1 - alpha, float(alpha == 1.0), 0.0)

    sweep = swept(*ends, measure)
    assert tuple(mix.alpha for mix in sweep) == ALPHAS
    assert (ALPHAS[0], ALPHAS[-1]) == (0.0, 1.0)
    assert [mix.alpha for mix in sweep if mix.shipped] == [0.5]  # not by test clips, nor likelihood
    outer = sweep[0], sweep[-1]
    assert [mix.harmonic_mean for mix in outer] == [0.0, 0.0]
    assert [(mix.top1, mix.zero_shot) for mix in outer] == [(0.0, 1.0), (1.0, 0.0)]
    assert sweep[-1].test_top1 == 1.0


@pytest.mark.parametrize(("likeliest", "taken"), [(0.4, 0.4), (0.9, 0.7), (None, 0.7)])
def test_of_equals_the_sweep_takes_the_likeliest_then_the_larger_alpha(
    ends: Ends, likeliest: float | None, taken: float
) -> None:
    def measure(model: ActionModel) -> Measured:
        alpha = alpha_of(model, ends)
        right = 0.8 if 0.3 <= alpha <= 0.7 else 0.5
        return Measured(right, right, 0.1 if alpha == likeliest else 0.2, 0.0, 0.0)

    assert [mix.alpha for mix in swept(*ends, measure) if mix.shipped] == [taken]


def test_where_tuning_changed_nothing_one_measure_tells_all(ends: Ends) -> None:
    measured: list[ActionModel] = []

    def measure(model: ActionModel) -> Measured:
        measured.append(model)
        return Measured(0.8, 0.5, 0.1, 0.7, 0.4)

    sweep = swept(ends[0], deepcopy(ends[0]), measure)
    assert len(measured) == 1
    assert tuple(mix.alpha for mix in sweep) == ALPHAS
    assert {(mix.top1, mix.test_zero_shot) for mix in sweep} == {(0.8, 0.4)}
    assert [mix.alpha for mix in sweep if mix.shipped] == [1.0]
