"""Weights of an ensemble, fitted on validation. M members, C clips, K classes, W candidates."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor

from clip_har.ensemble import Ensemble, EnsembleMember
from clip_har.nn.head import fitted_temperature
from training.evaluation.bootstrap import bootstrap_interval
from training.evaluation.metrics import EnsembleFigures, Member
from training.prediction import Answers, top1

PARTS = 20
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

    The weights are the likeliest of a grid of 1/20 with which no member alone has a better top-1
    on validation. The best top-1 of the grid would be one that validation clips flatter.
    """
    voices = [
        _voice(name, name, "head", temperatures[name], val[name].logits, test[name].logits)
        for name in val
    ]
    by_text = val[reader].text_logits
    temperature = fitted_temperature(by_text.clone(), val_truth)
    texts = (by_text, test[reader].text_logits)
    voices.append(_voice(ZERO_SHOT, reader, "text", temperature, *texts))
    weights = likeliest_weights(torch.stack([voice.val for voice in voices]), val_truth)
    members = tuple(
        voice.member.model_copy(update={"weight": round(float(weight), 4)})
        for voice, weight in zip(voices, weights, strict=True)
    )
    return Ensemble(members=members), _figures(voices, weights, val_truth, test_truth)


def likeliest_weights(probabilities: Tensor, truth: Tensor) -> Tensor:
    """Members' probabilities (M, C, K), classes (C,) -> weights that sum to 1, (M,)."""
    candidates = _simplex(len(probabilities))  # (W, M)
    mixed = torch.einsum("wm,mck->wck", candidates, probabilities)  # (W, C, K)
    right = (mixed.argmax(dim=2) == truth).sum(dim=1)  # (W,)
    likely = mixed[:, torch.arange(len(truth)), truth].clamp(min=1e-12).log().mean(dim=1)
    best_alone = (probabilities.argmax(dim=2) == truth).sum(dim=1).max()
    among = torch.where(right >= best_alone, likely, -torch.inf)
    return candidates[int(among.argmax())]


def _simplex(members: int) -> Tensor:
    """All ways to give 20 parts to the members, as shares, (W, M)."""
    ways = [way for way in product(range(PARTS + 1), repeat=members) if sum(way) == PARTS]
    return torch.tensor(ways, dtype=torch.float32) / PARTS


def _voice(
    name: str, checkpoint: str, reads: str, temperature: float, val: Tensor, test: Tensor
) -> Voice:
    table = {"name": name, "checkpoint": checkpoint, "reads": reads, "weight": 0.0}
    member = EnsembleMember.model_validate({**table, "temperature": temperature})
    return Voice(member, (val / temperature).softmax(dim=1), (test / temperature).softmax(dim=1))


def _figures(
    voices: list[Voice], weights: Tensor, val_truth: Tensor, test_truth: Tensor
) -> EnsembleFigures:
    val = torch.einsum("m,mck->ck", weights, torch.stack([voice.val for voice in voices]))
    test = torch.einsum("m,mck->ck", weights, torch.stack([voice.test for voice in voices]))
    right = (test.argmax(dim=1) == test_truth).double().numpy()
    return EnsembleFigures(
        members=tuple(
            Member(
                name=voice.member.name,
                weight=round(float(weight), 4),
                val_top1=top1(voice.val, val_truth),
                test_top1=top1(voice.test, test_truth),
            )
            for voice, weight in zip(voices, weights, strict=True)
        ),
        val_top1=top1(val, val_truth),
        test_top1=top1(test, test_truth),
        test_top1_interval=bootstrap_interval(right, 0),
    )
