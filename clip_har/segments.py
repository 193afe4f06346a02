"""Windows that slide over a video, merged into segments of one action each.

K classes. A run is a row of neighbouring windows that say the same.
"""

from dataclasses import dataclass

import numpy as np

from clip_har.window import Floats


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a video in which one action is seen."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    probs: Floats
    """Mean probabilities (K,) of its windows."""


@dataclass(frozen=True, slots=True)
class Sight:
    """What one window says."""

    centre: float
    """Seconds of its middle."""
    probs: Floats
    """(K,)."""
    label: int | None
    """The most probable class, None where it is not probable enough to count."""


class Run:
    """Neighbouring windows that say the same, and the blips between them."""

    def __init__(self, start: float, sights: list[Sight]) -> None:
        """`start` is where it begins, in seconds."""
        self.label = sights[0].label
        self.last = sights[-1].centre
        self._start = start
        self._sum = np.sum([sight.probs for sight in sights], axis=0, dtype=np.float64)
        self._count = len(sights)

    def add(self, sight: Sight) -> None:
        """Takes the next window that says the same."""
        self.last = sight.centre
        self._sum += sight.probs
        self._count += 1

    def segment(self, end: float) -> list[Segment]:
        """The segment up to `end`; none where nothing probable was seen."""
        if self.label is None:
            return []
        return [Segment(self._start, end, (self._sum / self._count).astype(np.float32))]


class Segmenter:
    """Merges windows as they come.

    A run counts from `min_windows` windows on; a shorter one is a blip: between two runs it belongs
    to the change, whose middle is the boundary, and within a run it is passed over. A window whose
    best class has less than `min_score` names none, and a run of such windows is a gap.
    """

    def __init__(self, min_windows: int, min_score: float) -> None:
        self._min_windows = min_windows
        self._min_score = min_score
        self._run: Run | None = None
        self._blips: list[Sight] = []

    def add(self, centre: float, probs: Floats) -> list[Segment]:
        """Takes the next window; gives the segment that is thereby known to be over, if any."""
        sight = Sight(centre, probs, self._label(probs))
        if self._run and sight.label == self._run.label:
            self._run.add(sight)
            self._blips = []
            return []
        self._blips = [*self._blips, sight][-self._min_windows :]
        same = all(blip.label == sight.label for blip in self._blips)
        if len(self._blips) < self._min_windows or not same:
            return []
        boundary = (self._run.last + self._blips[0].centre) / 2 if self._run else 0.0
        over = self._run.segment(boundary) if self._run else []
        self._run, self._blips = Run(boundary, self._blips), []
        return over

    def finish(self, end: float) -> list[Segment]:
        """The last segment, up to the video's end in seconds.

        Where no run ever counted, the video is one segment by the mean of its last windows.
        """
        if self._run:
            return self._run.segment(end)
        if not self._blips:
            return []
        probs = np.mean([blip.probs for blip in self._blips], axis=0)
        return Run(0.0, [Sight(end, probs, self._label(probs))]).segment(end)

    def _label(self, probs: Floats) -> int | None:
        best = int(probs.argmax())
        return best if probs[best] >= self._min_score else None
