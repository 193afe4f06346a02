"""Pictures of an evaluation, as bytes of PNGs; the confusion matrix is in its own module."""

# pyright: reportUnknownMemberType=false

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from training.evaluation.canvas import (
    BLUE,
    GREEN,
    INK,
    KEY,
    LINE,
    MARKERS,
    MUTED,
    SERIES,
    SMALL,
    VERMILION,
    calm,
    canvas,
    in_percent,
    keyed,
    png_of,
    shown,
)
from training.evaluation.metrics import (
    Bin,
    Classification,
    Interpolation,
    Interval,
    Order,
    OrderTier,
)
from training.evaluation.stage_figures import StageFigures

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_CLASSES = 40
"""Classes in the picture of recalls; of more, the worst."""
TIER_NAMES = {
    "reversal": "exact reversal",
    "closed_loop": "closed loop",
    "rotation": "rotation",
    "nuisance": "unseen looks",
}


def reliability_picture(held: Classification) -> bytes:
    """Confidence against accuracy, before and after the temperature."""
    figure = canvas(4.6)
    left, right = figure.subplots(1, 2, sharey=True)
    before, after = held.before_temperature, held
    _draw_reliability(left, held.reliability_before, before.ece, "as trained")
    title = f"with temperature {held.temperature:.2f}"
    _draw_reliability(right, held.reliability, after.ece, title)
    left.set_ylabel("share that is right", color=INK)
    handles, names = left.get_legend_handles_labels()
    figure.legend(handles, names, **KEY, loc="outside upper center", ncols=len(names))
    return png_of(figure)


def stages_picture(stages: Sequence[StageFigures]) -> bytes:
    """Top-1 with its interval after each stage, zero-shot beside it."""
    figure = canvas(3.9)
    axes = figure.subplots()
    calm(axes)
    in_percent(axes, "y")
    places = np.arange(len(stages))
    trained = [(stage.top1, stage.top1_interval) for stage in stages]
    _draw_points(axes, places - 0.08, trained, BLUE, "o", "trained classes (top-1)")
    known = [
        (at, stage.zero_shot) for at, stage in enumerate(stages) if stage.zero_shot is not None
    ]
    if known:
        by_name = [(value, None) for _, value in known]
        where = np.array([at for at, _ in known]) + 0.08
        _draw_points(axes, where, by_name, VERMILION, "s", "classes never trained, by name")
    axes.set_xticks(places, [shown(stage.name) for stage in stages])
    axes.set_xlim(-0.5, len(stages) - 0.5)
    keyed(axes, 2)
    return png_of(figure)


def interpolation_picture(sweep: Sequence[Interpolation]) -> bytes:
    """What each mixture of the frozen and the tuned model knows; the shipped one is marked."""
    figure = canvas(4.2)
    axes = figure.subplots()
    calm(axes)
    in_percent(axes, "y")
    ordered = sorted(sweep, key=lambda one: one.alpha)
    alphas = [one.alpha for one in ordered]
    for name, values, colour, marker in (
        ("trained classes (top-1)", [one.top1 for one in ordered], BLUE, "o"),
        ("classes never trained, by name", [one.zero_shot for one in ordered], VERMILION, "s"),
        ("harmonic mean", [one.harmonic_mean for one in ordered], GREEN, "D"),
    ):
        axes.plot(alphas, values, color=colour, marker=marker, markersize=5, label=name)
    for one in ordered:
        if one.shipped:
            axes.axvline(one.alpha, color=MUTED, linewidth=1, linestyle="--", zorder=0)
            _note(axes, one.alpha, 0.0, f"shipped: {one.alpha:g}", va="bottom")
            axes.plot(one.alpha, one.harmonic_mean, "o", ms=13, mfc="none", mec=INK, mew=1.3)
    axes.set_xlabel("alpha: 0 is trained on the frozen CLIP, 1 with the CLIP tuned", color=INK)
    axes.set_xticks(alphas)
    keyed(axes, 3)
    return png_of(figure)


def order_picture(order: Order) -> bytes:
    """Two-way accuracy by tier: the model, the same with shuffled frames, the blind control."""
    tiers: dict[str, OrderTier] = {name: order.tiers[name] for name in order.tiers}
    figure = canvas(3.9)
    axes = figure.subplots()
    calm(axes)
    in_percent(axes, "y")
    places = np.arange(len(tiers))
    found = list(tiers.values())
    axes.axhline(0.5, color=MUTED, linewidth=1, linestyle="--", zorder=1)
    _note(axes, -0.48, 0.5, "chance", va="bottom")
    of_model = [(tier.accuracy, tier.interval) for tier in found]
    shuffled = [(tier.shuffled, tier.shuffled_interval) for tier in found]
    bag = [(tier.frame_bag, None) for tier in found]
    _draw_points(axes, places - 0.27, of_model, BLUE, "o", "the model")
    _draw_points(axes, places, shuffled, VERMILION, "s", "frames shuffled")
    _draw_points(axes, places + 0.27, bag, MUTED, "D", "control that averages frames")
    names = [f"{TIER_NAMES.get(name, name)}\n{tier.pairs} pairs" for name, tier in tiers.items()]
    axes.set_xticks(places, names)
    axes.set_xlim(-0.5, len(tiers) - 0.5)
    keyed(axes, 3)
    return png_of(figure)


def recall_picture(variants: Mapping[str, Classification], main: str) -> bytes:
    """Recall of each class under each variant, the worst class of the main variant on top."""
    of_main = variants[main].per_class
    there = [place for place, one in enumerate(of_main) if one.clips]
    ordered = sorted(there, key=lambda place: (of_main[place].recall, place))[:MOST_CLASSES]
    figure = canvas(1.1 + 0.27 * len(ordered))
    axes = figure.subplots()
    calm(axes, "x")
    in_percent(axes, "x")
    rows = np.arange(len(ordered))
    recalls = {
        name: [variants[name].per_class[place].recall for place in ordered] for name in variants
    }
    every = np.array(list(recalls.values()))  # (V, K)
    axes.hlines(rows, every.min(axis=0), every.max(axis=0), color=LINE, linewidth=3, zorder=1)
    for at, (name, values) in enumerate(recalls.items()):
        colour, marker = SERIES[at % len(SERIES)], MARKERS[at % len(MARKERS)]
        size = 8 if name == main else 6
        axes.plot(values, rows, marker, color=colour, ms=size, mec="white", label=shown(name))
    axes.set_yticks(rows, [shown(of_main[place].label) for place in ordered], fontsize=SMALL)
    axes.set_ylim(len(ordered) - 0.4, -0.6)
    axes.set_xlabel(_recall_title(len(ordered), len(there)), color=INK)
    keyed(axes, len(variants))
    return png_of(figure)


def _recall_title(drawn: int, there: int) -> str:
    of_all = f" (the {drawn} lowest of {there} classes)" if drawn < there else ""
    return f"recall: share of a class's clips that are called so{of_all}"


def _draw_reliability(axes: "Axes", bins: Sequence[Bin], ece: float, title: str) -> None:
    calm(axes, "both")
    in_percent(axes, "x")
    in_percent(axes, "y")
    axes.set_aspect("equal")
    axes.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="honest")
    clips = sum(one.clips for one in bins)
    filled = [(place, one) for place, one in enumerate(bins) if one.clips]
    left = [place / len(bins) for place, _ in filled]
    wide = 1 / len(bins)
    shares = [one.clips / clips for _, one in filled]
    axes.bar(left, shares, wide, align="edge", color=LINE, label="share of clips")
    sizes = [18 + 160 * share for share in shares]
    confidences = [one.confidence for _, one in filled]
    accuracies = [one.accuracy for _, one in filled]
    axes.vlines(confidences, confidences, accuracies, color=VERMILION, linewidth=1.6, label="gap")
    axes.scatter(
        confidences, accuracies, sizes, BLUE, zorder=3, label="clips of about one confidence"
    )
    axes.set_title(
        f"{title}: calibration error {100 * ece:.1f} %", fontsize=10.5, color=INK, pad=24
    )
    axes.set_xlabel("probability of the class named first", color=INK)


def _draw_points(
    axes: "Axes",
    places: Sequence[float] | np.ndarray,
    points: Sequence[tuple[float, Interval | None]],
    colour: str,
    marker: str,
    name: str,
) -> None:
    """Points with their intervals and values; an interval may be missing."""
    for place, (value, interval) in zip(places, points, strict=True):
        if interval:
            axes.plot([place, place], interval, color=colour, linewidth=2, alpha=0.45)
        _note(axes, place, value, f"{100 * value:.1f}", colour)
    values = [value for value, _ in points]
    axes.plot(places, values, marker, color=colour, markersize=7, mec="white", label=name)


def _note(
    axes: "Axes", x: float, y: float, text: str, colour: str = MUTED, va: str = "center"
) -> None:
    axes.annotate(
        text,
        (x, y),
        xytext=(7, 0),
        textcoords="offset points",
        va=va,
        fontsize=SMALL,
        color=colour,
        bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.6, "alpha": 0.85},
    )
