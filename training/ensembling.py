"""Weights of an ensemble, fitted on validation. M members, C clips, K classes."""

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from clip_har.ensemble import Ensemble, EnsembleMember
from clip_har.nn.head import fitted_temperature
from training.evaluation.classification import SMALLEST_PROBABILITY, classification_from_logits
from training.evaluation.metrics import EnsembleFigures, Member
from training.prediction import Answers, top1

ZERO_SHOT = "zero-shot"


def fitted_ensemble(
    val: Mapping[str, Answers], truth: Tensor, temperatures: Mapping[str, float], reader: str
) -> Ensemble:
    """Every variant's head, and the class texts as the variant `reader` sees them.

    On validation the ensemble has no lower top-1 than any of them alone.
    """
    members = [_member(name, name, "head", temperatures[name]) for name in val]
    temperature = fitted_temperature(val[reader].text_logits.clone(), truth)
    members.append(_member(ZERO_SHOT, reader, "text", temperature))
    weights = competence_weights(_told(members, val), truth)
    return Ensemble(
        members=tuple(
            member.model_copy(update={"weight": float(weight)})
            for member, weight in zip(members, weights, strict=True)
        )
    )


def ensemble_figures(
    ensemble: Ensemble,
    test: Mapping[str, Answers],
    truth: Tensor,
    labels: Sequence[str],
    val: tuple[Mapping[str, Answers], Tensor] | None = None,
) -> EnsembleFigures:
    """What an ensemble is worth on test clips (C,), and on validation clips where they are given.

    Answers are by the names of checkpoints.
    """
    members, weights = ensemble.members, torch.tensor([one.weight for one in ensemble.members])
    told = _told(members, test)
    *alone, together = (None,) * (len(members) + 1)
    if val:
        before = _told(members, val[0])
        *alone, together = (top1(one, val[1]) for one in (*before, _mixed(weights, before)))
    mixed = _mixed(weights, told).clamp(min=SMALLEST_PROBABILITY).log()
    return EnsembleFigures(
        members=tuple(
            Member(
                name=member.name,
                weight=member.weight,
                val_top1=val_top1,
                test_top1=top1(said, truth),
            )
            for member, val_top1, said in zip(members, alone, told, strict=True)
        ),
        val_top1=together,
        test=classification_from_logits(mixed, truth, 1.0, labels),
    )


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


def _told(members: Sequence[EnsembleMember], answers: Mapping[str, Answers]) -> Tensor:
    """What each member says: probabilities (M, C, K)."""
    return torch.stack([_said(one, answers[one.checkpoint]) for one in members])


def _said(member: EnsembleMember, answers: Answers) -> Tensor:
    logits = answers.text_logits if member.reads == "text" else answers.logits
    return (logits / member.temperature).softmax(dim=1)  # (C, K)


def _mixed(weights: Tensor, probabilities: Tensor) -> Tensor:
    """What members (M,) say together: (M, C, K) -> (C, K)."""
    return torch.einsum("m,mck->ck", weights.double(), probabilities.double())


def _member(name: str, checkpoint: str, reads: str, temperature: float) -> EnsembleMember:
    """One whose weight is not fitted yet."""
    table = {"name": name, "checkpoint": checkpoint, "reads": reads, "weight": 0.0}
    return EnsembleMember.model_validate({**table, "temperature": temperature})
