"""The picture of an evaluation: clips, what both models saw in them, and reversals side by side."""

# pyright: reportUnknownMemberType=false

import io
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clients.held_out import HeldOut
from clients.selection import Shown
from clip_har.labels import Prediction

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import SubFigure

FRAMES = 6
"""Frames of a clip that are shown."""
GAP = 2
"""Pixels around each of them."""
CARD_INCHES = (7.4, 2.7)
HEAD_INCHES = 0.8
DPI = 110
SHADE = 214
"""Their grey."""
GREEN, RED, INK, MUTED = "#1e7d4b", "#c0392b", "#20242b", "#6b7380"
PALE_GREEN, PALE_RED, PALE, TRACK = "#bfe3cd", "#f3c5bf", "#d5dae1", "#f2f4f7"


def contact_sheet(
    data: HeldOut, clips: Sequence[Shown], pairs: Sequence[tuple[Shown, Shown]]
) -> bytes:
    """A PNG with two cards a row: the clips, then each pair with the reversal on the right."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = [*zip_longest(clips[0::2], clips[1::2]), *pairs]
    heights = [HEAD_INCHES, *[CARD_INCHES[1]] * len(rows)]
    figure = Figure(figsize=(2 * CARD_INCHES[0], sum(heights)), dpi=DPI, facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(heights), 2, height_ratios=heights)
    _draw_head(figure.add_subfigure(grid[0, :]), data.name, bool(pairs))
    notes = [("", "")] * (len(rows) - len(pairs)) + [("▶ the clip", "◀ reversed")] * len(pairs)
    for row, (cards, noted) in enumerate(zip(rows, notes, strict=True), start=1):
        for column, (card, note) in enumerate(zip(cards, noted, strict=True)):
            if card is not None:
                cell = figure.add_subfigure(grid[row, column])
                _draw_card(cell, card, strip(data.file_bytes(card.path)), note)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def strip(content: bytes) -> NDArray[np.uint8]:
    """Frames of a video side by side, in the order of time: (H, wide, 3)."""
    from clip_har.media import Limits, clip_from_media
    from clip_har.sampling import centred

    frames = clip_from_media(content, centred(FRAMES), Limits()).frames
    edges = ((GAP, GAP), (GAP, GAP), (0, 0))
    return np.concatenate([np.pad(one, edges, constant_values=SHADE) for one in frames], axis=1)


def _draw_head(head: "SubFigure", name: str, pairs: bool) -> None:
    title = f"{name}: held-out clips, read by the base and by the temporal model"
    note = "Time runs from left to right. ✓ the truth is the most probable class, ✗ it is not."
    if pairs:
        note += " ▶ ◀ a clip, and the very same pictures in reverse order."
    head.text(0.015, 0.66, title, fontsize=15, fontweight="bold", color=INK, va="center")
    head.text(0.015, 0.25, note, fontsize=10, color=MUTED, va="center")


def _draw_card(cell: "SubFigure", card: Shown, pictures: NDArray[np.uint8], note: str) -> None:
    edge, width = 0.03, 0.94
    cell.text(edge, 0.93, card.truth, fontsize=11.5, fontweight="bold", color=INK, va="center")
    corner = f"{note}   {card.path}" if note else card.path
    cell.text(1 - edge, 0.93, corner, fontsize=7.5, color=MUTED, va="center", ha="right")
    film = cell.add_axes((edge, 0.42, width, 0.45))
    film.imshow(pictures, interpolation="bilinear")
    film.set_anchor("W")
    film.axis("off")
    half = width / 2 - 0.015
    base = cell.add_axes((edge, 0.05, half, 0.35))
    temporal = cell.add_axes((edge + width - half, 0.05, half, 0.35))
    _draw_ranking(base, "base", card.base, card.truth)
    _draw_ranking(temporal, "temporal", card.temporal, card.truth)


def _draw_ranking(axes: "Axes", name: str, seen: Sequence[Prediction], truth: str) -> None:
    right = seen[0].label == truth
    mark, colour = ("✓", GREEN) if right else ("✗", RED)
    axes.set(xlim=(0, 1), ylim=(len(seen) - 0.4, -1.5))
    axes.axis("off")
    axes.text(0, -1, f"{mark} {name}", fontsize=9.5, fontweight="bold", color=colour, va="center")
    for row, one in enumerate(seen):
        fill = PALE_GREEN if one.label == truth else PALE_RED if row == 0 else PALE
        axes.barh(row, 1, height=0.84, color=TRACK)
        axes.barh(row, one.score, height=0.84, color=fill)
        axes.text(0.015, row, one.label, fontsize=8.5, color=INK, va="center")
        axes.text(0.985, row, f"{one.score:.1%}", fontsize=8.5, color=INK, va="center", ha="right")
