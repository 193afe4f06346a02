"""Weights of an ensemble, fitted on validation. M members, C clips, K classes."""

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor

from clip_har.ensemble import ENSEMBLE_FILE, ensemble_of
from training.ensembling import (
    ZERO_SHOT,
    competence_weights,
    ensemble_figures,
    fitted_ensemble,
)
from training.prediction import Answers, top1

TRUTH = torch.arange(60) % 3


def partly(right: Tensor, strength: float = 4.0) -> Tensor:
    """Logits that are for the truth where `right`, else for the class after it, (C, K)."""
    told = torch.where(right, TRUTH, (TRUTH + 1) % 3)
    return torch.nn.functional.one_hot(told, 3).float() * strength


def random_answers(seed: int) -> dict[str, Answers]:
    generator = torch.Generator().manual_seed(seed)

    def noisy(strength: float) -> Tensor:
        noise = torch.randn(60, 3, generator=generator)
        return torch.nn.functional.one_hot(TRUTH, 3) * strength + noise

    return {
        "base": Answers(noisy(1.0), noisy(0.5)),
        "temporal": Answers(noisy(1.5), noisy(0.7)),
    }


def test_a_member_that_is_always_right_gets_all_the_weight() -> None:
    right = partly(torch.ones(60, dtype=torch.bool), 20.0).softmax(dim=1)
    wrong = partly(torch.zeros(60, dtype=torch.bool)).softmax(dim=1)
    assert competence_weights(torch.stack([wrong, right]), TRUTH).tolist() == [0.0, 1.0]


def test_members_that_know_different_halves_share_the_weight() -> None:
    first = torch.arange(60) < 30
    sure = [partly(first, 3.0), partly(~first, 3.0)]
    flat = torch.zeros(60, 3)
    voices = [torch.where(knows[:, None], one, flat) for knows, one in zip((first, ~first), sure,
              strict=True)]  # fmt: skip
    voices = [voice.softmax(dim=1) for voice in voices]
    assert competence_weights(torch.stack(voices), TRUTH).tolist() == [0.5, 0.5]


def test_one_more_clip_does_not_outweigh_what_all_the_others_say() -> None:
    good, poor = (torch.zeros(60, 3) for _ in range(2))
    rows = torch.arange(60)
    good[rows, TRUTH], good[rows, (TRUTH + 1) % 3] = 0.9, 0.1
    poor[rows, TRUTH], poor[rows, (TRUTH + 1) % 3] = 0.3, 0.7
    good[0], poor[0] = torch.tensor([0.3, 0.7, 0.0]), torch.tensor([1.0, 0.0, 0.0])
    assert ((0.7 * good + 0.3 * poor).argmax(dim=1) == TRUTH).all()
    assert competence_weights(torch.stack([good, poor]), TRUTH).tolist() == [1.0, 0.0]


def of_shares(*shares: float) -> Tensor:
    """Members that are right in so many of the clips, each in others, (M, C, K)."""
    clips = torch.arange(60)
    rolled = [(clips + 20 * number) % 60 < 60 * share for number, share in enumerate(shares)]
    return torch.stack([partly(right, 2.0).softmax(dim=1) for right in rolled])


def test_a_weight_is_the_log_odds_of_being_right() -> None:
    found = competence_weights(of_shares(0.9, 0.8, 0.8), TRUTH)
    odds = [math.log(2 * (right + 1) / (61 - right)) for right in (54, 48, 48)]
    assert found.tolist() == pytest.approx([one / sum(odds) for one in odds])


def test_who_only_guesses_is_not_heard() -> None:
    assert competence_weights(of_shares(0.9, 0.3), TRUTH).tolist() == [1.0, 0.0]


def test_where_a_member_alone_is_better_it_decides_alone() -> None:
    best, worse = of_shares(0.8, 0.7)
    best[:48] = partly(torch.ones(60, dtype=torch.bool), 0.1).softmax(dim=1)[:48]  # right, unsure
    assert competence_weights(torch.stack([best, worse, worse]), TRUTH).tolist() == [1.0, 0.0, 0.0]


def test_of_members_that_are_all_worse_than_a_guess_the_best_decides() -> None:
    assert competence_weights(of_shares(0.1, 0.2), TRUTH).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("seed", range(4))
def test_the_ensemble_is_at_least_its_best_member_on_validation(seed: int) -> None:
    val, test = random_answers(seed), random_answers(seed + 100)
    temperatures = {"base": 1.0, "temporal": 1.5}
    ensemble = fitted_ensemble(val, TRUTH, temperatures, "temporal")
    figures = ensemble_figures(ensemble, test, TRUTH, "abc", (val, TRUTH))
    assert [member.name for member in ensemble.members] == ["base", "temporal", ZERO_SHOT]
    assert sum(member.weight for member in ensemble.members) == pytest.approx(1.0)
    told = [val["base"].logits, val["temporal"].logits, val["temporal"].text_logits]
    alone = [top1(logits, TRUTH) for logits in told]
    assert [member.val_top1 for member in figures.members] == pytest.approx(alone)
    assert figures.val_top1 is not None
    assert figures.val_top1 >= max(alone)


def test_a_reader_of_the_file_gets_the_same_answers(tmp_path: Path) -> None:
    val, test = random_answers(0), random_answers(1)
    written = fitted_ensemble(val, TRUTH, {"base": 1.0, "temporal": 1.5}, "temporal")
    figures = ensemble_figures(written, test, TRUTH, "abc")
    assert figures.val_top1 is None, "nothing was asked there"
    (tmp_path / ENSEMBLE_FILE).write_text(written.model_dump_json(indent=2))
    ensemble = ensemble_of(tmp_path, ["base", "temporal"])
    assert ensemble == written
    mixed = torch.zeros(60, 3)
    for member in ensemble.members:
        answers = test[member.checkpoint]
        logits = answers.text_logits if member.reads == "text" else answers.logits
        mixed += member.weight * (logits / member.temperature).softmax(dim=1)
    assert [(m.checkpoint, m.reads) for m in ensemble.members] == [
        ("base", "head"), ("temporal", "head"), ("temporal", "text")
    ]  # fmt: skip
    assert top1(mixed, TRUTH) == pytest.approx(figures.test.top1)
    assert figures.test.nll == pytest.approx(
        float(torch.nn.functional.nll_loss(mixed.log(), TRUTH))
    )


def test_a_folder_may_have_no_ensemble_but_none_without_its_members(tmp_path: Path) -> None:
    assert ensemble_of(tmp_path, ["base"]) is None
    written = fitted_ensemble(random_answers(0), TRUTH, {"base": 1.0, "temporal": 1.5}, "temporal")
    (tmp_path / ENSEMBLE_FILE).write_text(written.model_dump_json())
    with pytest.raises(ValueError, match=r"need the checkpoints temporal, but .* are base\."):
        ensemble_of(tmp_path, ["base"])
