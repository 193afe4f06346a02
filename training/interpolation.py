"""The tuned CLIP mixed with the pretrained one (WiSE-FT, Wortsman et al., 2022).

What tuning wins on its own classes it may lose on all others; between both sets of weights lies a
mix that keeps most of each.
"""

from collections.abc import Callable, Mapping
from copy import deepcopy

import torch
from torch import Tensor, nn

from clip_har.nn.temporal import AttentionMotion
from training.action_model import ActionModel
from training.evaluation.metrics import Interpolation
from training.evaluation.zero_shot import harmonic_mean

ALPHAS = tuple(step / 10 for step in range(11))


def interpolated(model: ActionModel, pretrained: Mapping[str, Tensor], alpha: float) -> ActionModel:
    """A copy whose CLIP weighs (1 - alpha) pretrained + alpha tuned.

    Temporal modules have no pretrained weights: alpha scales the residual that they add to the mean
    of the frames instead. Heads stay what they are.
    """
    mixed = deepcopy(model)
    weights = mixed.clip.state_dict()
    with torch.no_grad():
        for name, tuned in weights.items():
            tuned.copy_(torch.lerp(pretrained[name].to(tuned), tuned, alpha))
        for temporal in mixed.temporal.values():
            if isinstance(temporal, AttentionMotion):
                last = temporal.fusion[-1]
                assert isinstance(last, nn.Linear)
                last.weight.mul_(alpha)
                last.bias.mul_(alpha)
    return mixed


def swept(
    model: ActionModel,
    pretrained: Mapping[str, Tensor],
    measure: Callable[[ActionModel], tuple[float, float, float, float]],
) -> list[Interpolation]:
    """Every alpha of the sweep; the one with the best harmonic mean is marked as shipped.

    `measure` gives top-1 and zero-shot accuracy on validation, then the same on test clips, by
    which nothing is chosen. Of equals the larger alpha is taken.
    """
    figures = {alpha: measure(interpolated(model, pretrained, alpha)) for alpha in ALPHAS}
    means = {alpha: harmonic_mean(val[0], val[1]) for alpha, val in figures.items()}
    best = max(ALPHAS, key=lambda alpha: (means[alpha], alpha))
    return [
        Interpolation(
            alpha=alpha,
            top1=top1,
            zero_shot=zero_shot,
            harmonic_mean=means[alpha],
            test_top1=test_top1,
            test_zero_shot=test_zero_shot,
            shipped=alpha == best,
        )
        for alpha, (top1, zero_shot, test_top1, test_zero_shot) in figures.items()
    ]
