"""A run's figures in a few tables for the terminal; the report has them all."""

from collections.abc import Callable
from typing import get_args

from rich.table import Table

from clip_har.dataset import Tier
from training.evaluation.metrics import Held, Metrics, Order
from training.evaluation.wording import gained, interval, percent, views


def tables(metrics: Metrics) -> list[Table]:
    """Variants, then stages and zero-shot recognition where there are any."""
    found = [_variants(metrics)]
    if metrics.stages:
        found.append(_stages(metrics))
    if metrics.zero_shot:
        found.append(_zero_shot(metrics))
    return found


def _variants(metrics: Metrics) -> Table:
    title = f"{metrics.data}, {metrics.test.clips} {metrics.split} clips, {views(metrics)} views"
    table = Table("", *metrics.variants, title=title)
    rows: dict[str, Callable[[Held], str]] = {
        "top-1": lambda held: percent(held.top1),
        "95 % interval": lambda held: interval(held.top1_interval),
        "mean class accuracy": lambda held: percent(held.mean_class_accuracy),
        "calibration error (ECE)": lambda held: percent(held.ece),
    }
    for name, row in rows.items():
        table.add_row(name, *(row(held) for held in metrics.variants.values()))
    for tier in get_args(Tier):
        told = [_tier(held, tier) for held in metrics.variants.values()]
        if any(told):
            table.add_row(f"order: {tier.replace('_', ' ')}", *told)
    if metrics.ensemble:
        share = percent(metrics.ensemble.test.top1)
        table.add_row("all together, top-1", *[""] * (len(metrics.variants) - 1), share)
    return table


def _tier(held: Held, tier: str) -> str:
    accuracy = getattr(held.order or Order(), tier)
    return "" if accuracy is None else percent(accuracy)


def _stages(metrics: Metrics) -> Table:
    table = Table("stage", "top-1", "zero-shot", "trained", "steps", "time", title="held-out clips")
    for stage in metrics.stages:
        zero_shot = "" if stage.zero_shot is None else percent(stage.zero_shot)
        table.add_row(
            stage.name,
            percent(stage.top1),
            zero_shot,
            f"{stage.trained_parameters:,}",
            str(stage.steps),
            f"{stage.seconds:.0f} s",
        )
    for mix in metrics.interpolation:
        if mix.shipped:
            shares = percent(mix.test_top1), percent(mix.test_zero_shot)
            table.add_row(f"kept: alpha = {mix.alpha:g}", *shares, "", "", "")
    if metrics.gain:
        table.caption = gained(metrics.gain)
    return table


def _zero_shot(metrics: Metrics) -> Table:
    table = Table("variant", "by name", "95 % interval", "pretrained CLIP", "chance")
    first = metrics.zero_shot[0]
    kind = "by name" if first.trained else "zero-shot"
    table.title = f"{kind}, {first.protocol}, {first.clips} clips"
    for one in metrics.zero_shot:
        shares = percent(one.accuracy), interval(one.interval), percent(one.frozen)
        table.add_row(one.variant, *shares, percent(one.chance))
    return table
