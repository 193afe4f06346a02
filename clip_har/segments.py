"""Windows that slide over a video, merged into segments of one action each.

K classes. Of all ways to cut the video into segments the best is found while it goes by (Viterbi's
algorithm): the one whose classes are the most probable, less a cost for each change.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from clip_har.window import Floats

Doubles = NDArray[np.float64]

DOUBT = 0.1
"""How often a window may be wrong whatever it says: so that no single one decides."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of a video in which one action is seen."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    probs: Floats
    """Probabilities (K,): the geometric mean of its windows', made to sum to 1."""


@dataclass(eq=False, slots=True)
class _Run:
    """One segment of one way to cut the video; those before it are linked."""

    label: int
    """The class; K where nothing probable is seen."""
    start: float
    """Seconds."""
    windows: int
    """Windows of the video before it."""
    logs: Doubles
    """Sum (K + 1,) of the logarithms that those windows told."""
    before: _Run | None
    """The segment before it, until that one is told."""


class Segmenter:
    """Takes windows one by one and tells each segment as soon as no later window can change it.

    A boundary lies between the middles of two windows, where the one class overtakes the other.
    Where no class reaches `min_score`, nothing is seen: such a stretch is in no segment.
    """

    def __init__(self, change_cost: float, min_score: float, weight: float) -> None:
        """`change_cost` is the logarithm of how many times more probable another class must be.

        `weight` is the share of a window that is new in it: neighbours overlap.
        """
        self._change_cost = change_cost
        self._min_score = min_score
        self._weight = weight
        self._centre = 0.0
        self._shares: Doubles = np.zeros(0)  # (K + 1,) of the last window
        self._windows = 0
        self._logs: Doubles = np.zeros(0)
        self._scores: Doubles = np.zeros(0)  # (K + 1,) of the best way that ends in each
        self._runs: list[_Run] = []  # (K + 1,) and its last segment

    def add(self, centre: float, probs: Floats) -> list[Segment]:
        """Takes the next window, its middle in seconds; gives the segments known to be over."""
        shares = np.append((1 - DOUBT) * probs + DOUBT / len(probs), self._min_score)  # (K + 1,)
        told = np.log(shares)
        if self._windows:
            self._change(centre, shares)
            self._scores = self._scores + self._weight * told
        else:
            self._logs = np.zeros_like(told)
            self._runs = [_Run(label, 0.0, 0, self._logs, None) for label in range(len(told))]
            self._scores = self._weight * told
        self._logs = self._logs + told
        self._windows += 1
        self._centre, self._shares = centre, shares
        return list(self._agreed())

    def finish(self, end: float) -> list[Segment]:
        """The rest, up to the video's end in seconds."""
        if not self._windows:
            return []
        chain = _chain(self._runs[int(self._scores.argmax())])
        last = _Run(-1, end, self._windows, self._logs, None)
        return [one for pair in pairwise([*chain, last]) for one in self._told(*pair)]

    def _change(self, centre: float, shares: Doubles) -> None:
        """Lets every class follow upon the best one, where that is better than to have gone on."""
        best = int(self._scores.argmax())
        changed = self._scores[best] - self._change_cost
        for label in map(int, np.flatnonzero(self._scores < changed)):
            lead = self._shares[best] - self._shares[label]
            behind = shares[label] - shares[best]
            part = lead / (lead + behind) if lead > 0 and behind > 0 else 0.5
            boundary = self._centre + float(part) * (centre - self._centre)
            self._runs[label] = _Run(label, boundary, self._windows, self._logs, self._runs[best])
        self._scores = np.maximum(self._scores, changed)

    def _agreed(self) -> Iterator[Segment]:
        """Segments that all ways have in common, the one after them too."""
        chains = [_chain(run) for run in self._runs]
        for place in range(1, min(map(len, chains))):
            after = chains[0][place]
            if any(chain[place] is not after for chain in chains):
                return
            after.before = None
            yield from self._told(chains[0][place - 1], after)

    def _told(self, run: _Run, after: _Run) -> Iterator[Segment]:
        if run.label == len(self._logs) - 1:
            return
        mean = (after.logs - run.logs)[:-1] / (after.windows - run.windows)  # (K,)
        shares = np.exp(mean - mean.max())
        certain = shares / shares.sum() - DOUBT / len(shares)  # the doubt taken out again
        probs = np.maximum(certain, 0)
        yield Segment(run.start, after.start, (probs / probs.sum()).astype(np.float32))


def _chain(run: _Run) -> list[_Run]:
    """A run and those before it that are not told yet, the first one first."""
    chain = [run]
    while (before := chain[-1].before) is not None:
        chain.append(before)
    return chain[::-1]
