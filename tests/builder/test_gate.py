"""The gate on figures that are worked out by hand."""

import pytest
import torch

from builder.gate import Figures, class_figures, cosine_figures, judged
from builder.profile import Budget

BUDGET = Budget(
    min_cosine=0.99, max_probability_error=0.1, min_top1_agreement=0.75, max_accuracy_drop=0.5
)
EXACT = torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4], [0.3, 0.7]])
TRUTH = torch.tensor([0, 1, 1, 1])


def figures_of(given: torch.Tensor, trained: bool = True) -> Figures:
    told = class_figures(EXACT, given, TRUTH, trained=trained)
    return Figures.model_validate({"rows": len(given), **told})


def test_the_same_answers_have_no_fault() -> None:
    figures = figures_of(EXACT)
    assert figures.accuracy == 0.75
    assert figures.accuracy_drop == 0
    assert figures.top1_agreement == 1
    assert judged(figures, BUDGET, trained=True).faults == ()


def test_every_loss_is_told() -> None:
    given = EXACT.clone()
    given[0] = torch.tensor([0.1, 0.9])  # right before
    given[1] = torch.tensor([0.6, 0.4])  # likewise
    figures = figures_of(given)
    assert figures.accuracy_drop == 50
    assert figures.max_probability_error == pytest.approx(0.8)
    faults = judged(figures, BUDGET, trained=True).faults
    assert [fault.split(" 0.")[0].split(" 5")[0] for fault in faults] == [
        "probability error",
        "top-1 agreement",
        "accuracy drop in points",
    ]


def test_which_class_is_first_is_not_judged_of_random_weights() -> None:
    given = EXACT + torch.tensor([-0.09, 0.09])
    figures = figures_of(given, trained=False)
    assert figures.accuracy is None
    assert judged(figures.model_copy(update={"top1_agreement": 0.5}), BUDGET, trained=False) == (
        judged(figures.model_copy(update={"top1_agreement": 0.5}), BUDGET, trained=False)
    )
    assert judged(figures, BUDGET, trained=False).faults == ()
    assert judged(figures_of(given + 0.05, trained=False), BUDGET, trained=False).faults


@pytest.mark.parametrize("spoilt", [float("nan"), float("inf")])
def test_what_is_not_a_number_is_the_worst(spoilt: float) -> None:
    given = EXACT.clone()
    given[2, 0] = spoilt
    assert judged(figures_of(given), BUDGET, trained=True).faults
    embeds = torch.eye(4)[None]
    wrong = embeds.clone()
    wrong[0, 1] = spoilt
    assert cosine_figures(embeds, wrong)["min_cosine"] == -1


def test_nothing_compared_is_a_fault() -> None:
    assert judged(Figures(rows=0), BUDGET, trained=True).faults == ("nothing was compared",)


@pytest.mark.parametrize(("clips", "wanted", "least"), [(20, 0.995, 0.95), (1000, 0.995, 0.995)])
def test_of_few_clips_one_may_differ(clips: int, wanted: float, least: float) -> None:
    budget = BUDGET.model_copy(update={"min_top1_agreement": wanted})
    assert budget.least_agreement(clips) == pytest.approx(least)
    assert budget.most_drop(clips) == pytest.approx(max(0.5, 100 / clips))
    exact = BUDGET.model_copy(update={"min_top1_agreement": 1.0})
    assert exact.least_agreement(clips) == 1
