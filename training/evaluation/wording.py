"""How figures are written for people, the same in the report and in the model card."""

from collections.abc import Mapping, Sequence
from typing import cast

from training.evaluation.metrics import Interval, Metrics, Protocol
from training.evaluation.stage_figures import Gain

PROTOCOLS: dict[Protocol, str] = {
    "EP1": "all names of classes or of a data set that training never saw, at once",
    "half-class": "the mean over draws of half of the names: fewer to choose from, so it is easier",
    "trained-names": "all names of the data set at once, of which training saw some or all",
    "base-to-novel": "untrained classes among themselves, and trained classes among themselves",
}
"""What each protocol of recognition by name asks."""


def percent(share: float) -> str:
    """0.9134 -> 91.3 %."""
    return f"{100 * share:.1f} %"


def interval(found: Interval) -> str:
    """(0.87, 0.955) -> 87.0 to 95.5 %."""
    return f"{100 * found[0]:.1f} to {100 * found[1]:.1f} %"


def points(difference: float) -> str:
    """-0.012 -> −1.2 points."""
    sign = "−" if difference < 0 else "+"
    return f"{sign}{abs(100 * difference):.1f} points"


def gained(gain: Gain) -> str:
    """What the later stages won, and whether it is more than chance."""
    low, high = (points(end) for end in gain.interval)
    return (
        f"All stages against {gain.over} alone, as shipped: {points(gain.top1)} of top-1 "
        f"({low} to {high}); {gain.won} clips won, {gain.lost} lost, p = {gain.p:.2g}."
    )


def number(count: float) -> str:
    """1250000 -> 1,250,000; a float keeps three digits."""
    return f"{count:,}" if isinstance(count, int) else f"{count:.3g}"


def views(metrics: Metrics) -> str:
    """Clips times crops, as the literature writes them: 4 x 3."""
    return f"{metrics.clips_per_video} x {metrics.crops}"


def measured(metrics: Metrics) -> str:
    """What was measured, in one line: without it a figure means nothing."""
    prompts = ", ".join(f"“{one}”" for one in metrics.prompts[:2])
    more = f" and {len(metrics.prompts) - 2} more" if len(metrics.prompts) > 2 else ""
    by_name = ", ".join(dict.fromkeys(one.protocol for one in metrics.zero_shot))
    return (
        f"{metrics.data}, split {metrics.split}: {metrics.test.clips} clips of "
        f"{len(metrics.labels)} classes{_by(metrics)}, {views(metrics)} views (clips x crops) of "
        f"{metrics.frames} frames, prompts {prompts}{more}"
        + (f", {_kind(metrics)} protocol {by_name}." if by_name else ".")
    )


def _kind(metrics: Metrics) -> str:
    return "by-name" if metrics.zero_shot[0].trained else "zero-shot"


def _by(metrics: Metrics) -> str:
    return " by their names alone" if metrics.answers_by == "names" else ""


def flat(table: Mapping[str, object], above: str = "") -> list[tuple[str, str]]:
    """Nested tables as rows: {"versions": {"torch": "2"}} -> [("versions.torch", "2")]."""
    rows: list[tuple[str, str]] = []
    for key, value in table.items():
        name = f"{above}{key}"
        if isinstance(value, Mapping):
            rows += flat(cast("Mapping[str, object]", value), f"{name}.")
        elif isinstance(value, Sequence) and not isinstance(value, str):
            rows.append((name, ", ".join(str(one) for one in cast("Sequence[object]", value))))
        else:
            rows.append((name, str(value)))
    return rows
