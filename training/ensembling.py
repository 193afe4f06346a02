"""Weights of an ensemble, fitted on validation. M members, C clips, K classes."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from clip_har.ensemble import Ensemble, EnsembleMember
from clip_har.nn.head import fitted_temperature
from training.evaluation.bootstrap import bootstrap_interval
from training.evaluation.metrics import EnsembleFigures, Member
from training.prediction import Answers, top1

ZERO_SHOT = "zero-shot"


@dataclass(frozen=True)
class Voice:
    """What one member says of held-out clips."""

    member: EnsembleMember
    """Its weight is not fitted yet."""
    val: Tensor
    """Probabilities, (C, K)."""
    test: Tensor
    """Probabilities, (C, K)."""


def fitted_ensemble(
    val: Mapping[str, Answers],
    test: Mapping[str, Answers],
    val_truth: Tensor,
    test_truth: Tensor,
    temperatures: Mapping[str, float],
    reader: str,
) -> tuple[Ensemble, EnsembleFigures]:
    """Every variant's head, and the class texts as the variant `reader` sees them.

    On validation the ensemble has no lower top-1 than any of them alone.
    """
    voices = [
        _voice(name, name, "head", temperatures[name], val[name].logits, test[name].logits)
        for name in val
    ]
    by_text = val[reader].text_logits
    temperature = fitted_temperature(by_text.clone(), val_truth)
    texts = (by_text, test[reader].text_logits)
    voices.append(_voice(ZERO_SHOT, reader, "text", temperature, *texts))
    weights = competence_weights(torch.stack([voice.val for voice in voices]), val_truth)
    members = tuple(
        voice.member.model_copy(update={"weight": float(weight)})
        for voice, weight in zip(voices, weights, strict=True)
    )
    return Ensemble(members=members), _figures(voices, weights, val_truth, test_truth)


def competence_weights(probabilities: Tensor, truth: Tensor) -> Tensor:
    """Members' probabilities (M, C, K), classes (C,) -> weights that sum to 1, (M,).

    The log odds of a member being right, over those of a guess: what is best for voters who err
    independently (Nitzan and Paroush, 1982; among K classes SAMME, Zhu et al., 2009). Nothing is
    searched for, so few clips mislead it little. A member that alone is better decides alone.
    """
    right = (probabilities.argmax(dim=2) == truth).sum(dim=1).double()  # (M,)
    share = (right + 1) / (len(truth) + 2)  # no odds are infinite (Laplace)
    odds = (share.logit() + math.log(probabilities.shape[2] - 1)).clamp(min=0)
    weights = odds / odds.sum().clamp(min=1e-9)
    together = (_mixed(weights, probabilities).argmax(dim=1) == truth).sum()
    if weights.any() and together >= right.max():
        return weights
    return torch.eye(len(right)).double()[int(right.argmax())]


def _mixed(weights: Tensor, probabilities: Tensor) -> Tensor:
    """What members (M,) say together: (M, C, K) -> (C, K)."""
    return torch.einsum("m,mck->ck", weights, probabilities.double())


def _voice(
    name: str, checkpoint: str, reads: str, temperature: float, val: Tensor, test: Tensor
) -> Voice:
    table = {"name": name, "checkpoint": checkpoint, "reads": reads, "weight": 0.0}
    member = EnsembleMember.model_validate({**table, "temperature": temperature})
    return Voice(member, (val / temperature).softmax(dim=1), (test / temperature).softmax(dim=1))


def _figures(
    voices: list[Voice], weights: Tensor, val_truth: Tensor, test_truth: Tensor
) -> EnsembleFigures:
    val = _mixed(weights, torch.stack([voice.val for voice in voices]))
    test = _mixed(weights, torch.stack([voice.test for voice in voices]))
    right = (test.argmax(dim=1) == test_truth).double().numpy()
    return EnsembleFigures(
        members=tuple(
            Member(
                name=voice.member.name,
                weight=float(weight),
                val_top1=top1(voice.val, val_truth),
                test_top1=top1(voice.test, test_truth),
            )
            for voice, weight in zip(voices, weights, strict=True)
        ),
        val_top1=top1(val, val_truth),
        test_top1=top1(test, test_truth),
        test_top1_interval=bootstrap_interval(right, 0),
    )
