"""The picture of a timeline: a row for each action, a bar for each time that it is seen."""

# pyright: reportUnknownMemberType=false

import io
from collections.abc import Callable, Sequence

from clients.clock import clock
from clients.palette import colours_of
from clients.results import Segment

WIDTH_INCHES, HEAD_INCHES, ROW_INCHES = 11.0, 1.15, 0.42
DPI = 120
INK, MUTED, TRACK = "#20242b", "#6b7380", "#f2f4f7"
DARK = 330
"""A colour whose parts sum to less has white letters."""
BAR = 0.62
"""Height of a bar in rows."""
SHARE_FOR_SCORE = 0.055
"""A bar of at least this share of the picture has room for its score."""


def _clock_up_to(longest: float) -> Callable[[float, int], str]:
    return lambda value, _: clock(value, longest)


def timeline_picture(title: str, segments: Sequence[Segment], seconds: float) -> bytes:
    """A PNG; `seconds` is the length of the video."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    colours = colours_of(one.label for one in segments)
    rows = {label: place for place, label in enumerate(colours)}
    height = HEAD_INCHES + ROW_INCHES * max(len(rows), 1)
    figure = Figure(figsize=(WIDTH_INCHES, height), dpi=DPI, facecolor="white", layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for place in rows.values():
        axes.barh(place, seconds, height=BAR, color=TRACK)
    for one in segments:
        colour = tuple(part / 255 for part in colours[one.label])
        length = one.end - one.start
        axes.barh(rows[one.label], length, left=one.start, height=BAR, color=colour)
        if length >= SHARE_FOR_SCORE * seconds:
            middle = one.start + length / 2
            ink = "white" if sum(colours[one.label]) < DARK else INK
            axes.text(middle, rows[one.label], f"{one.score:.0%}", ha="center", va="center",
                      fontsize=8, color=ink)  # fmt: skip
    axes.set_xlim(0, max(seconds, 1e-3))
    axes.set_ylim(max(len(rows), 1) - 0.5, -0.5)
    axes.set_yticks(list(rows.values()), list(rows))
    steps = [1, 2, 5, 10] if seconds < 60 else [1, 2, 3, 6, 10]
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=steps))
    axes.xaxis.set_major_formatter(FuncFormatter(_clock_up_to(seconds)))
    axes.tick_params(length=0, labelsize=9, labelcolor=INK)
    axes.spines[:].set_visible(False)
    axes.set_title(title, loc="left", fontsize=10, color=MUTED)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
