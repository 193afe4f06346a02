"""Between what the frozen stages left and the tuned model (WiSE-FT, Wortsman et al., 2022).

At one end is the pretrained CLIP with the temporal modules and heads that were trained on it; at
the other the tuned CLIP with those that were tuned along with it. What tuning wins on its own
classes it may lose on all others; on the straight line lies a model that keeps most of each.
"""

from collections.abc import Callable
from copy import deepcopy
from dataclasses import asdict, dataclass

import torch

from training.action_model import ActionModel
from training.evaluation.metrics import Interpolation
from training.evaluation.zero_shot import harmonic_mean

ALPHAS = tuple(step / 10 for step in range(11))


def interpolated(begun: ActionModel, tuned: ActionModel, alpha: float) -> ActionModel:
    """A copy in which every weight is (1 - alpha) that of `begun` + alpha that of `tuned`.

    Both are of one run, the CLIP of `begun` is the pretrained one: fine-tuning hardly leaves the
    valley in which it started, so the line between them stays in it.
    """
    mixed = deepcopy(tuned)
    start, end = begun.state_dict(), mixed.state_dict()
    assert start.keys() == end.keys(), "the models of two runs"
    with torch.no_grad():
        for name, weight in end.items():
            weight.copy_(torch.lerp(start[name].to(weight), weight, alpha))
    return mixed


@dataclass(frozen=True)
class Measured:
    """What one mixture is worth; `Interpolation` explains the figures."""

    top1: float
    zero_shot: float
    nll: float
    test_top1: float
    test_zero_shot: float


def swept(
    begun: ActionModel, tuned: ActionModel, measure: Callable[[ActionModel], Measured]
) -> list[Interpolation]:
    """Every alpha of the sweep; the one with the best harmonic mean is marked as shipped.

    Of equals, which are many among some hundred clips, the likeliest. Test figures decide nothing.
    """
    if _alike(begun, tuned):  # tuning brought nothing, so its stages kept what they began with
        figures = dict.fromkeys(ALPHAS, measure(tuned))
    else:
        figures = {alpha: measure(interpolated(begun, tuned, alpha)) for alpha in ALPHAS}
    means = {alpha: harmonic_mean(one.top1, one.zero_shot) for alpha, one in figures.items()}
    best = max(ALPHAS, key=lambda alpha: (means[alpha], -figures[alpha].nll, alpha))
    return [
        Interpolation(
            alpha=alpha, harmonic_mean=means[alpha], shipped=alpha == best, **asdict(figure)
        )
        for alpha, figure in figures.items()
    ]


def _alike(begun: ActionModel, tuned: ActionModel) -> bool:
    start, end = begun.state_dict(), tuned.state_dict()
    return all(torch.equal(start[name].to(weight), weight) for name, weight in end.items())
