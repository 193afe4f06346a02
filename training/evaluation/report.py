"""Writes an evaluation: figures as JSON and CSV, and one page that needs nothing else."""

import base64
import csv
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clip_har.product import write_whole
from training.evaluation import wording
from training.evaluation.confusion_picture import confusion_picture, mistakes
from training.evaluation.metrics import METRICS_FILE, REPORT_FILE, Classification, Metrics
from training.evaluation.notes import SYNTHETIC, honest_notes, is_synthetic
from training.evaluation.pictures import (
    TIER_NAMES,
    interpolation_picture,
    order_picture,
    recall_picture,
    reliability_picture,
    stages_picture,
)

CONFUSION_TABLE, CONFUSION_PICTURE = "confusion.csv", "confusion.png"
TEMPLATE = "report.html.j2"
MOST_MISTAKES = 10


def write_report(folder: Path, metrics: Metrics) -> list[Path]:
    """Writes the files of an evaluation, each whole; gives their paths, the page last.

    `confusion.csv` and `confusion.png` are about the main variant; every other one has a
    `confusion-VARIANT.csv`.
    """
    pictures = report_pictures(metrics)
    tables = {CONFUSION_TABLE: metrics.test} | {
        f"confusion-{name}.csv": held
        for name, held in metrics.variants.items()
        if name != metrics.variant
    }
    files: dict[str, str | bytes] = {METRICS_FILE: metrics.model_dump_json(indent=2) + "\n"}
    files |= {name: confusion_table(held, metrics.labels) for name, held in tables.items()}
    files[CONFUSION_PICTURE] = pictures["confusion"]
    files[REPORT_FILE] = report_page(metrics, pictures)
    for name, content in files.items():
        write_whole(folder / name, content)
    return [folder / name for name in files]


def report_page(metrics: Metrics, pictures: dict[str, bytes]) -> str:
    """The page as HTML, with its pictures inside; `pictures` as report_pictures gives them."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "percent": wording.percent,
        "interval": wording.interval,
        "points": wording.points,
        "number": wording.number,
        "gained": wording.gained,
    }
    return environment.get_template(TEMPLATE).render(
        metrics=metrics,
        measured=wording.measured(metrics),
        views=wording.views(metrics),
        synthetic=SYNTHETIC if is_synthetic(metrics.source) else "",
        notes=honest_notes(metrics),
        protocols=wording.PROTOCOLS,
        tiers=TIER_NAMES,
        mistakes=_named_mistakes(metrics),
        provenance=wording.flat(metrics.provenance),
        pictures={name: base64.b64encode(png).decode() for name, png in pictures.items()},
        csv=CONFUSION_TABLE,
    )


def report_pictures(metrics: Metrics) -> dict[str, bytes]:
    """PNGs by name: confusion, reliability, recall; stages, interpolation, order where known."""
    test = metrics.test
    variants = {metrics.variant: test, **metrics.variants}
    pictures = {
        "confusion": confusion_picture(test.confusion, metrics.labels),
        "reliability": reliability_picture(test),
        "recall": recall_picture(variants, metrics.variant),
    }
    if metrics.stages:
        pictures["stages"] = stages_picture(metrics.stages)
    if metrics.interpolation:
        pictures["interpolation"] = interpolation_picture(metrics.interpolation)
    if test.order and test.order.tiers:
        pictures["order"] = order_picture(test.order)
    return pictures


def confusion_table(held: Classification, labels: Sequence[str]) -> str:
    """CSV: a row for what clips show, a column for what they are called."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["shown \\ called", *labels])
    writer.writerows([label, *row] for label, row in zip(labels, held.confusion, strict=True))
    return file.getvalue()


def _named_mistakes(metrics: Metrics) -> list[tuple[str, str, int]]:
    found = mistakes(np.asarray(metrics.test.confusion), MOST_MISTAKES)
    return [
        (metrics.labels[truth], metrics.labels[called], clips) for truth, called, clips in found
    ]
