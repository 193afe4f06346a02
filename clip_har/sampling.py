"""Which frames of a clip the model sees, and when they are on screen. Exact integers throughout."""

import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise


@dataclass(frozen=True, slots=True)
class Timeline:
    """When each frame of a clip is on screen.

    Raises ValueError when there is no frame, or when a frame is not on screen for any time.
    """

    starts: Sequence[int]
    """Time at which each frame appears, ascending, in units. The first need not be 0."""
    end: int
    """Time at which the last frame disappears, in units."""
    unit: Fraction
    """Seconds of one unit."""

    def __post_init__(self) -> None:
        _check(self.starts, self.end)

    @property
    def seconds(self) -> float:
        """Length of the clip."""
        return float((self.end - self.starts[0]) * self.unit)

    def middles(self, indices: Sequence[int]) -> list[float]:
        """Seconds from the start of the clip to the middle of each frame's time on screen.

        A frame that is chosen twice has twice the same time: nothing moved between the two.
        """
        ends = [*self.starts[1:], self.end]
        doubled = [self.starts[i] + ends[i] - 2 * self.starts[0] for i in indices]
        return [float(time * self.unit / 2) for time in doubled]


Pick = Callable[[Timeline], Sequence[int]]
"""Chooses frames of a clip by their index. An index may occur more than once."""


def centre_frames(starts: Sequence[int], end: int, count: int) -> list[int]:
    """The frame on screen at the centre of each of `count` equal segments of a clip's time.

    `starts` and `end` are the times of `Timeline`. Frames may have any length (a variable frame
    rate); fewer frames than segments are repeated; one segment gives the middle frame.

    A centre that falls exactly between two frames takes the one nearer to the middle of the clip,
    so the clip played backwards gives the mirrored frames. One tie has no mirror image: the middle
    of the clip, between two frames. It takes the earlier one.

    Raises ValueError for a count below 1 and for times that `Timeline` refuses.
    """
    _check(starts, end)
    if count < 1:
        raise ValueError(f"Cannot sample {count} frames from a clip: ask for 1 or more.")
    scaled = [2 * count * start for start in starts]
    centres = [
        2 * count * starts[0] + (2 * segment + 1) * (end - starts[0]) for segment in range(count)
    ]
    return [
        bisect_right(scaled, centre) - 1 if 2 * segment + 1 < count
        # The earlier of two frames that meet at the centre.
        else bisect_left(scaled, centre) - 1
        for segment, centre in enumerate(centres)
    ]  # fmt: skip


def centred(count: int) -> Pick:
    """Picks `count` frames by `centre_frames`."""
    return lambda timeline: centre_frames(timeline.starts, timeline.end, count)


def regular_frames(timeline: Timeline, rate: float) -> list[int]:
    """The frame on screen at the centre of every 1 / `rate` seconds, from the clip's start on.

    Frames that are shown for longer are repeated. A rest of less than half that time has none.
    """
    step = 1 / (Fraction(rate) * timeline.unit)  # units
    first, starts = timeline.starts[0], timeline.starts
    count = math.ceil((timeline.end - first) / step - Fraction(1, 2))
    return [bisect_right(starts, first + (k + Fraction(1, 2)) * step) - 1 for k in range(count)]


def every_frame(timeline: Timeline) -> Sequence[int]:
    """Picks all frames."""
    return range(len(timeline.starts))


def _check(starts: Sequence[int], end: int) -> None:
    if not starts:
        raise ValueError("A clip needs at least one frame, but it has none.")
    times = [*starts, end]
    if any(before >= after for before, after in pairwise(times)):
        raise ValueError("The times of a clip's frames must ascend, each before the next.")
