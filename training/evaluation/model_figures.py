"""Figures of a model on held-out clips, pairs and names.

C clips, P pairs, D embedding, K classes, N names.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from clip_har.dataset import Clip, Pair, Tier
from training.action_model import ActionModel
from training.evaluation.classification import classification_from_logits
from training.evaluation.metrics import Held, Order, OrderTier, ZeroShot
from training.evaluation.order import Both, PairTruth, order_tier
from training.evaluation.zero_shot import TextScores, base_to_novel
from training.held_out import clips_of_pairs
from training.prediction import Answers, Seen, answers_of

SHUFFLES = 8
"""Random orders of each clip: one alone would leave its own luck in the figure."""


@dataclass(frozen=True)
class SeenPairs:
    """Pairs of one tier as the vision tower sees them."""

    forward: Seen
    backward: Seen
    truth: PairTruth


See = Callable[[list[Clip], str], Seen]
"""Runs the vision tower over clips, which have a name for people."""


def held_figures(
    answers: Mapping[str, Tensor],
    truth: Tensor,
    labels: Sequence[str],
    temperatures: Mapping[str, float] | None = None,
    orders: Mapping[str, Order] | None = None,
) -> dict[str, Held]:
    """Every variant by its logits (C, K) of held-out clips, and what is known of order."""
    found: dict[str, Held] = {}
    for name, logits in answers.items():
        temperature = temperatures[name] if temperatures else 1.0
        figures = classification_from_logits(logits, truth, temperature, labels)
        found[name] = Held(**figures.model_dump(), order=orders.get(name) if orders else None)
    return found


def seen_tiers(
    pairs: Sequence[Pair], labels: Sequence[str], data: Path, see: See, broken: Mapping[str, str]
) -> dict[Tier, SeenPairs]:
    """The pairs whose two labels the model knows, by tier; without those of `broken` clips, to
    which `see` adds, by path."""
    tiers: dict[Tier, list[Pair]] = {}
    for pair in pairs:
        if pair.label in labels and pair.reversed_label in labels:
            tiers.setdefault(pair.tier, []).append(pair)
    return {tier: _seen_pairs(some, labels, data, see, broken) for tier, some in tiers.items()}


def turned_clips(seen: Seen, truth: Tensor, backwards: Tensor) -> dict[Tier, SeenPairs]:
    """The tier `reversal` of a data set without pairs: its own clips, and each played backwards.

    `truth` (C,); `backwards` is the class that each class becomes, -1 for none, (K,).
    """
    turned = (backwards[truth] >= 0) & seen.moving
    if not turned.any():
        return {}
    label = truth[turned]
    told = PairTruth(label=label, reversed_label=backwards[label])
    return {"reversal": SeenPairs(seen.only(turned), seen.backwards(turned), told)}


def order_figures(
    model: ActionModel, tiers: Mapping[Tier, SeenPairs], texts: Tensor
) -> dict[str, Order]:
    """Every variant on the pairs of every tier, by name; nothing where there are no pairs."""
    if not tiers:
        return {}
    told: dict[Tier, dict[str, OrderTier]] = {
        tier: _tier_figures(model, pairs, texts) for tier, pairs in tiers.items()
    }
    still = _still_differences(model, next(iter(tiers.values())).forward, texts)
    return {
        name: Order(
            **{str(tier): figures[name].accuracy for tier, figures in told.items()},
            frame_bag={tier: figures[name].frame_bag for tier, figures in told.items()},
            tiers={tier: figures[name] for tier, figures in told.items()},
            still_max_probability_difference=still[name],
        )
        for name in model.kinds
    }


def novel_figures(
    tuned: Mapping[str, Answers],
    frozen: Tensor,
    truth: Tensor,
    base: Mapping[str, Answers],
    base_truth: Tensor,
) -> tuple[ZeroShot, ...]:
    """Base-to-novel of every variant.

    `tuned` are answers to clips of novel classes by their N texts, `frozen` those of the pretrained
    CLIP (C, N), `base` the answers to clips of trained classes by the trained classes' texts.
    """
    return tuple(
        base_to_novel(
            TextScores(told.text_logits, frozen, truth),
            base[name].text_logits,
            base_truth,
            name,
        )
        for name, told in tuned.items()
    )


def frame_bag_logits(model: ActionModel, seen: Seen, texts: Tensor) -> Tensor:
    """Scaled cosines of the mean frame with texts (N, D): a model that cannot see order, (C, N)."""
    mean = torch.nn.functional.normalize(seen.embeds.flatten(1, 2).mean(dim=1), dim=-1)  # (C, D)
    with torch.inference_mode():
        device = model.clip.logit_scale.device
        return model.text_logits(mean.to(device), texts.to(device)).cpu()


def _seen_pairs(
    pairs: Sequence[Pair], labels: Sequence[str], data: Path, see: See, broken: Mapping[str, str]
) -> SeenPairs:
    directions = clips_of_pairs(pairs, data)
    forward, backward = (
        see(clips, f"pairs {pairs[0].tier} {name}")
        for clips, name in zip(directions, ("forward", "backward"), strict=True)
    )
    front, back = (torch.tensor([c.path not in broken for c in clips]) for clips in directions)
    whole = [pair for pair, both in zip(pairs, front & back, strict=True) if both]
    return SeenPairs(
        forward=forward.only(back[front]),
        backward=backward.only(front[back]),
        truth=PairTruth(
            label=torch.tensor([labels.index(pair.label) for pair in whole]),
            reversed_label=torch.tensor([labels.index(pair.reversed_label) for pair in whole]),
        ),
    )


def _tier_figures(model: ActionModel, pairs: SeenPairs, texts: Tensor) -> dict[str, OrderTier]:
    both = (pairs.forward, pairs.backward)

    def asked(seen: Iterable[Seen]) -> list[dict[str, Answers]]:
        return [answers_of(model, one, texts) for one in seen]

    told = asked(both)
    bag = [_control(model, one, seen, texts) for one, seen in zip(told, both, strict=True)]
    shuffled = [
        asked(seen.shuffled(2 * draw + turned) for turned, seen in enumerate(both))
        for draw in range(SHUFFLES)
    ]
    return {
        name: order_tier(
            _logits(told, name),
            [_logits(one, name) for one in shuffled],
            (bag[0], bag[1]),
            pairs.truth,
        )
        for name in model.kinds
    }


def _logits(told: Sequence[Mapping[str, Answers]], name: str) -> Both:
    forward, backward = told
    return forward[name].logits, backward[name].logits


def _control(model: ActionModel, told: Mapping[str, Answers], seen: Seen, texts: Tensor) -> Tensor:
    """Logits of the base variant where there is one, else of the mean frame by the texts."""
    base = next((name for name, kind in model.kinds.items() if kind == "mean"), None)
    return told[base].logits if base else frame_bag_logits(model, seen, texts)


def _still_differences(model: ActionModel, seen: Seen, texts: Tensor) -> dict[str, float]:
    """Most that a picture's probabilities change when it is repeated as a clip."""
    standing = answers_of(model, seen.standing(), texts)
    pictures = answers_of(model, seen.pictures(), texts)
    return {
        name: float((told.logits.softmax(1) - pictures[name].logits.softmax(1)).abs().max())
        for name, told in standing.items()
    }
