"""The picture of a confusion matrix of 2 to some 400 classes."""

# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from training.evaluation.canvas import INK, LINE, MUTED, SMALL, canvas, png_of, shown

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_COUNTED, MOST_NAMED = 20, 60
"""With more classes, counts and then names no longer fit."""
LISTED = 12
"""Mistakes that are written out where names do not fit."""
SCALE = (0, 0.05, 0.25, 0.5, 1)


def confusion_picture(confusion: Sequence[Sequence[int]], labels: Sequence[str]) -> bytes:
    """Rows: what clips show; columns: what they are called; colour: share of the row."""
    counts = np.asarray(confusion)  # (K, K)
    classes = len(labels)
    side = min(max(2.2, 1.2 + 0.42 * classes), 6.6)
    listed = classes > MOST_NAMED
    figure = canvas(side + (1.2 + 0.21 * LISTED if listed else 1.9))
    if listed:
        axes, notes = figure.subplots(2, 1, height_ratios=(side, 0.4 + 0.2 * LISTED))
        _write_mistakes(notes, counts, labels)
    else:
        axes = figure.subplots()
    _draw_shares(axes, counts)
    if classes <= MOST_COUNTED:
        _write_counts(axes, counts)
    if not listed:
        _name_axes(axes, labels)
    axes.set_ylabel("what a clip shows" + (" (number of the class)" if listed else ""), color=INK)
    axes.set_xlabel("what the model calls it", color=INK)
    return png_of(figure)


def mistakes(counts: NDArray[np.integer], most: int) -> list[tuple[int, int, int]]:
    """(truth, answer, clips) of the most frequent mistakes, equal ones in the order of classes."""
    wrong = counts.copy()
    np.fill_diagonal(wrong, 0)
    order = np.argsort(-wrong, axis=None, kind="stable")[:most]
    rows, columns = np.unravel_index(order, wrong.shape)
    found = zip(rows.tolist(), columns.tolist(), strict=True)
    return [(row, column, int(wrong[row, column])) for row, column in found if wrong[row, column]]


def _draw_shares(axes: "Axes", counts: NDArray[np.integer]) -> None:
    from matplotlib.colors import PowerNorm

    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)  # (K, K)
    drawn = axes.imshow(shares, cmap="Blues", norm=PowerNorm(0.5, 0, 1), interpolation="nearest")
    bar = axes.figure.colorbar(drawn, ax=axes, ticks=SCALE, fraction=0.035, pad=0.02)
    bar.ax.set_yticklabels([f"{100 * share:g} %" for share in SCALE], fontsize=SMALL, color=MUTED)
    bar.ax.tick_params(length=0)
    bar.outline.set_visible(False)  # pyright: ignore[reportCallIssue]
    axes.spines[:].set_color(LINE)
    axes.tick_params(length=0, labelcolor=INK, labelsize=SMALL)


def _write_counts(axes: "Axes", counts: NDArray[np.integer]) -> None:
    totals = np.maximum(counts.sum(axis=1), 1)
    for row, column in zip(*np.nonzero(counts), strict=True):
        dark = counts[row, column] / totals[row] > 0.3
        axes.text(
            column,
            row,
            str(counts[row, column]),
            ha="center",
            va="center",
            fontsize=SMALL,
            color="white" if dark else INK,
        )


def _name_axes(axes: "Axes", labels: Sequence[str]) -> None:
    size = float(np.interp(len(labels), (15, MOST_NAMED), (SMALL, 6.0)))
    names = [shown(label, 28) for label in labels]
    axes.set_yticks(range(len(labels)), names, fontsize=size)
    axes.set_xticks(range(len(labels)), names, fontsize=size, rotation=90)
    if len(labels) <= MOST_COUNTED:
        for name in axes.get_xticklabels():
            name.set(rotation=45, ha="right", rotation_mode="anchor")


def _write_mistakes(axes: "Axes", counts: NDArray[np.integer], labels: Sequence[str]) -> None:
    axes.axis("off")
    found = mistakes(counts, LISTED)
    title = (
        "Most frequent mistakes: what a clip shows → what it is called" if found else "No mistake"
    )
    axes.text(0, 1, title, fontsize=SMALL, color=MUTED, va="top")
    for line, (truth, answer, clips) in enumerate(found, start=1):
        names = f"{truth} {shown(labels[truth])}  →  {answer} {shown(labels[answer])}"
        height = 1 - line / (LISTED + 1)
        axes.text(0.0, height, f"{clips} ×", fontsize=SMALL, color=INK, va="top")
        axes.text(0.07, height, names, fontsize=SMALL, color=INK, va="top")
