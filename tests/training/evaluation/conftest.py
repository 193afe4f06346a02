"""An evaluation that was invented: what it measured stands in no model's name."""

from collections.abc import Callable

import pytest
import torch

from training.evaluation.classification import classification_from_logits
from training.evaluation.metrics import (
    Classification,
    Cost,
    EnsembleFigures,
    Held,
    Interpolation,
    Member,
    Metrics,
    Order,
)
from training.evaluation.order import PairTruth, order_tier
from training.evaluation.stage_figures import Gain, StageFigures
from training.evaluation.zero_shot import TextScores, all_classes, base_to_novel, half_class

LABELS = (
    "walking forwards",
    "walking backwards",
    "sitting down",
    "standing up",
    "jumping",
    "waving",
)
GAIN = Gain(over="frozen", top1=0.025, interval=(-0.0083, 0.0583), won=7, lost=4, p=0.5488)
TIERS = ("reversal", "closed_loop", "rotation", "nuisance")


def make_logits(truth: torch.Tensor, classes: int, skill: float, seed: int) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(truth), classes, generator=random)
    return noise + skill * torch.eye(classes)[truth]


def make_held(skill: float, labels: tuple[str, ...] = LABELS, clips: int = 20) -> Held:
    truth = torch.arange(len(labels)).repeat_interleave(clips)
    logits = 3 * make_logits(truth, len(labels), skill, seed=1)
    found = classification_from_logits(logits, truth, 1.6, labels)
    return Held(**dict(found), order=make_order(skill))


def make_order(skill: float) -> Order:
    tiers = {}
    for seed, tier in enumerate(TIERS):
        label, other = torch.zeros(24, dtype=torch.int64), torch.ones(24, dtype=torch.int64)
        ahead, back = (make_logits(one, 6, skill - 0.5 * seed, seed) for one in (label, other))
        random = torch.randn(24, 6, generator=torch.Generator().manual_seed(seed))
        tiers[tier] = order_tier(
            (ahead, back), [(random, random.flip(0))], (random, random), PairTruth(label, other)
        )
    accuracy = {name: tier.accuracy for name, tier in tiers.items()}
    bag = {name: tier.frame_bag for name, tier in tiers.items()}
    return Order(**accuracy, frame_bag=bag, tiers=tiers, still_max_probability_difference=2.4e-7)


def make_sweep() -> tuple[Interpolation, ...]:
    rows = []
    for step in range(11):
        alpha = step / 10
        top1, zero_shot = 0.6 + 0.3 * alpha**0.5, 0.8 - 0.5 * alpha**2
        rows.append(
            Interpolation(
                alpha=alpha,
                top1=top1,
                zero_shot=zero_shot,
                harmonic_mean=2 * top1 * zero_shot / (top1 + zero_shot),
                nll=0.4 - 0.2 * alpha,
                test_top1=top1 - 0.01,
                test_zero_shot=zero_shot - 0.02,
                shipped=step == 4,
            )
        )
    return tuple(rows)


def make_stages() -> tuple[StageFigures, ...]:
    return tuple(
        StageFigures(
            name=name,
            top1=top1,
            mean_class_accuracy=top1 - 0.01,
            top1_interval=(top1 - 0.05, top1 + 0.04),
            variants={"base": top1 - 0.1, "temporal": top1},
            zero_shot=zero_shot,
            trained_parameters=parameters,
            steps=400,
            seconds=75.0,
        )
        for name, top1, zero_shot, parameters in (
            ("frozen", 0.78, 0.62, 197_000),
            ("adapters", 0.85, 0.63, 412_000),
            ("last blocks", 0.88, 0.57, 3_560_000),
        )
    )


def make_metrics(labels: tuple[str, ...] = LABELS, source: str = "Synthetic video.") -> Metrics:
    variants = {"base": make_held(1.6, labels), "temporal": make_held(2.4, labels)}
    truth = torch.arange(4).repeat_interleave(15)
    scores = TextScores(make_logits(truth, 4, 1.2, 3), make_logits(truth, 4, 1.4, 4), truth)
    zero_shot = (
        all_classes(scores, "temporal"),
        half_class(scores, "temporal"),
        base_to_novel(scores, make_logits(truth, 4, 2.0, 5), truth, "temporal"),
    )
    members = (
        Member(name="base", weight=0.3, val_top1=0.8, test_top1=0.79),
        Member(name="temporal", weight=0.5, val_top1=0.9, test_top1=0.89),
        Member(name="zero-shot", weight=0.2, val_top1=0.7, test_top1=0.69),
    )
    together = Classification(**make_held(2.6, labels).model_dump(exclude={"order"}))
    ensemble = EnsembleFigures(members=members, val_top1=0.93, test=together)
    cost = Cost(
        parameters=1_250_000,
        gflops_per_view=0.31,
        views=1,
        batch=1,
        ms_per_clip=4.2,
        device="AMD EPYC, 2 threads",
    )
    return Metrics(
        name="demo",
        data="mocap",
        source=source,
        manifest_sha256="0123456789abcdef" * 4,
        split="test",
        labels=labels,
        held_out_labels=("kicking", "punching", "crawling", "dancing"),
        frames=8,
        clips_per_video=1,
        crops=1,
        prompts=("a person {}", "a video of a person {}"),
        variant="temporal",
        test=variants["temporal"],
        variants=variants,
        ensemble=ensemble,
        stages=make_stages(),
        gain=GAIN,
        interpolation=make_sweep(),
        zero_shot=zero_shot,
        cost={"base": cost, "temporal": cost},
        provenance={"date": "2026-01-02T03:04:05+00:00", "versions": {"torch": "2.13.0"}},
    )


@pytest.fixture(scope="session")
def metrics() -> Metrics:
    return make_metrics()


@pytest.fixture(scope="session")
def metrics_of() -> Callable[..., Metrics]:
    return make_metrics


@pytest.fixture(scope="session")
def held_of() -> Callable[..., Held]:
    return make_held
