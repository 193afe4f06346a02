"""What a reader must keep in mind about an evaluation's figures, so that none says too much."""

from training.evaluation.metrics import Metrics, OrderTier
from training.evaluation.wording import percent, points

FEW_CLIPS = 100
FAIR_LOGIT_DIFFERENCE = 1e-4
"""A reversal that moves the control more tells it the order by something else than frames."""
RETENTION_GATE = -0.01
CHANCE = 0.5
FAIR_ACCURACY_DIFFERENCE = 5e-4
"""The control has to read 50.0 %."""
SYNTHETIC = "The media are synthetic: these figures say nothing about recordings of real people."


def is_synthetic(source: str) -> bool:
    """Whether a data set says of itself that its media were made by a computer."""
    return "synthetic" in source.lower()


def honest_notes(metrics: Metrics) -> list[str]:
    """Sentences for the reader, the weightiest first."""
    return [
        *_on_data(metrics),
        *_on_doubt(metrics),
        *_on_views(metrics),
        *_on_order(metrics),
        *_on_zero_shot(metrics),
    ]


def _on_data(metrics: Metrics) -> list[str]:
    notes = [f"Where the media come from: {metrics.source}"]
    if is_synthetic(metrics.source):
        notes.append(SYNTHETIC)
    if skipped := len(metrics.skipped_clips):
        notes.append(
            f"{skipped} clip{'s' if skipped > 1 else ''} could not be decoded: nothing was learned "
            "from such clips and no figure is about them. `skipped_clips` in metrics.json says why."
        )
    absent = [one.label for one in metrics.test.per_class if not one.clips]
    if absent:
        notes.append(
            f"Classes without a clip in this split, which no figure is about: {', '.join(absent)}."
        )
    return notes


def _on_doubt(metrics: Metrics) -> list[str]:
    test = metrics.test
    notes = [
        "Intervals are 95 % bootstrap intervals over clips: they say what other clips of the same "
        "kind would change, not what another seed of training or another data set would."
    ]
    if test.top1 in (0, 1):
        notes.append(
            f"All {test.clips} clips got the same verdict, so the interval has no width; the true "
            f"share can still be up to {percent(min(3 / test.clips, 1))} away (the rule of three)."
        )
    if test.clips < FEW_CLIPS:
        notes.append(f"{test.clips} clips are few: differences of some points mean little.")
    return notes


def _on_views(metrics: Metrics) -> list[str]:
    count = metrics.clips_per_video * metrics.crops
    if count == 1:
        return []
    return [
        f"A server answers from one view; these figures average {count}, which is a bit better."
    ]


def _on_order(metrics: Metrics) -> list[str]:
    tiers = metrics.test.order.tiers if metrics.test.order else {}
    leaking = [name for name, tier in tiers.items() if _leaks(tier)]
    if not leaking:
        return []
    return [
        "The control that averages frames cannot know their order, yet it is not at chance on "
        f"{', '.join(leaking)}: something but order tells those clips apart. Distrust these tiers."
    ]


def _leaks(tier: OrderTier) -> bool:
    return (
        abs(tier.frame_bag - CHANCE) > FAIR_ACCURACY_DIFFERENCE
        or tier.frame_bag_max_logit_difference > FAIR_LOGIT_DIFFERENCE
    )


def _on_zero_shot(metrics: Metrics) -> list[str]:
    notes: list[str] = []
    if len({one.protocol for one in metrics.zero_shot}) > 1:
        notes.append("Zero-shot figures of different protocols must not be compared.")
    if trained := max((one.trained for one in metrics.zero_shot), default=0):
        notes.append(
            f"{trained} of these {len(metrics.labels)} names were trained: on them, figures by "
            "name are not zero-shot; those of the pretrained CLIP are."
        )
    for one in metrics.zero_shot:
        if one.retention < RETENTION_GATE:
            notes.append(
                f"Training cost {one.variant} recognition by name ({one.protocol}): "
                f"{points(one.retention)} against the pretrained CLIP."
            )
    return notes
