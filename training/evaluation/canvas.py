"""The one look of all pictures of a report: sizes, colours, axes. Text is readable 900 px wide."""

# pyright: reportUnknownMemberType=false

import io
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH_INCHES = 9.0
DPI = 160
INK, MUTED, LINE = "#20242b", "#5d6673", "#e3e7ec"
# Okabe and Ito's colours, which colour-blind people tell apart.
BLUE, VERMILION, GREEN, ORANGE, PURPLE = "#0072b2", "#d55e00", "#009e73", "#e69f00", "#a65a8f"
SERIES = (BLUE, VERMILION, GREEN, PURPLE, ORANGE)
MARKERS = ("o", "s", "D", "^", "v")
LONGEST_LABEL = 34
SMALL = 9.0
"""Points of what is not the main thing."""
KEY = {"frameon": False, "labelcolor": INK, "fontsize": SMALL}
"""How every key looks."""


def canvas(height: float) -> "Figure":
    """An empty figure of the common width, `height` inches high, that fits what is drawn."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure((WIDTH_INCHES, height), DPI, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: "Figure") -> bytes:
    """The bytes of its PNG."""
    file = io.BytesIO()
    figure.savefig(file, format="png", metadata={"Software": None})
    return file.getvalue()


def calm(axes: "Axes", grid: Literal["x", "y", "both"] | None = "y") -> None:
    """Thin lines in the back, no box, quiet ticks."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set_color(LINE)
    axes.tick_params(colors=MUTED, labelcolor=INK, length=0)
    axes.set_axisbelow(True)
    if grid:
        axes.grid(axis=grid, color=LINE, linewidth=0.8)


def in_percent(axes: "Axes", which: Literal["x", "y"], low: float = 0.0, high: float = 1.0) -> None:
    """A scale of shares from `low` to `high` that is written in percent."""
    from matplotlib.ticker import PercentFormatter

    axis, limits = (axes.xaxis, axes.set_xlim) if which == "x" else (axes.yaxis, axes.set_ylim)
    limits(low - 0.03, high + 0.03)
    axis.set_major_formatter(PercentFormatter(1.0, decimals=0, symbol=" %"))


def keyed(axes: "Axes", columns: int) -> None:
    """The key above the axes, in a row."""
    axes.legend(**KEY, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=columns, borderaxespad=0.2)


def shown(name: str, longest: int = LONGEST_LABEL) -> str:
    """A name as plain text on one line, cut where it is too long; `$` starts no formula."""
    line = " ".join(name.split())
    cut = line if len(line) <= longest else line[: longest - 1].rstrip() + "…"
    return cut.replace("$", r"\$")
