import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from training.evaluation.canvas import DPI, WIDTH_INCHES, shown
from training.evaluation.confusion_picture import confusion_picture, mistakes
from training.evaluation.metrics import Held, Metrics
from training.evaluation.pictures import (
    interpolation_picture,
    order_picture,
    recall_picture,
    reliability_picture,
    stages_picture,
)


def pixels_of(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def is_drawn(png: bytes) -> bool:
    """Of the common width, on white, with something of colour and nothing at the very edge."""
    pixels = pixels_of(png).astype(int)
    assert pixels.shape[1] == round(WIDTH_INCHES * DPI)
    edge = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    coloured = np.ptp(pixels, axis=2) > 60
    return bool((edge == 255).all() and coloured.any())


def test_every_picture_is_drawn_within_its_edges(metrics: Metrics) -> None:
    order = metrics.test.order
    assert order
    assert is_drawn(reliability_picture(metrics.test))
    assert is_drawn(stages_picture(metrics.stages))
    assert is_drawn(interpolation_picture(metrics.interpolation))
    assert is_drawn(order_picture(order))
    assert is_drawn(recall_picture(metrics.variants, metrics.variant))


def test_the_same_figures_give_the_same_bytes(metrics: Metrics) -> None:
    assert stages_picture(metrics.stages) == stages_picture(metrics.stages)


def test_a_single_stage_without_zero_shot_is_drawn(metrics: Metrics) -> None:
    assert is_drawn(stages_picture([metrics.stages[0].model_copy(update={"zero_shot": None})]))


def test_of_many_classes_only_the_worst_are_in_the_picture_of_recalls(
    held_of: Callable[..., Held],
) -> None:
    heights = [
        len(pixels_of(recall_picture({"base": held}, "base")))
        for held in (held_of(2.0, tuple(f"class {i}" for i in range(k)), 2) for k in (40, 41, 90))
    ]
    assert heights[0] == heights[1] == heights[2]


@pytest.mark.parametrize("classes", [2, 21, 61, 400])
def test_a_confusion_matrix_is_drawn_from_two_classes_to_hundreds(classes: int) -> None:
    counts = np.eye(classes, dtype=int) * 9
    counts[0, 1] = 3
    labels = [f"a rather long name of the action number {place}" for place in range(classes)]
    assert is_drawn(confusion_picture(counts.tolist(), labels))


def test_a_class_without_clips_leaves_an_empty_row() -> None:
    assert is_drawn(confusion_picture([[4, 0], [0, 0]], ["one", "two"]))


def test_mistakes_are_the_most_frequent_first() -> None:
    counts = np.array([[9, 1, 4], [4, 9, 0], [0, 0, 0]])
    assert mistakes(counts, 2) == [(0, 2, 4), (1, 0, 4)]
    assert mistakes(counts, 9) == [(0, 2, 4), (1, 0, 4), (0, 1, 1)]
    assert mistakes(np.eye(3, dtype=int), 9) == []


def test_a_name_is_one_short_line_and_never_a_formula() -> None:
    assert shown("paying $5\nand $6") == r"paying \$5 and \$6"
    assert shown("x" * 50, 10) == "x" * 9 + "…"
    assert is_drawn(confusion_picture([[1, 0], [0, 1]], ["$x^$", r"\frac{"]))
