"""Which of the requests that wait run together.

B is the rows of one request, R the rows of all requests that run together, T the frames of a row.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

Arrays = dict[str, Any]
"""numpy arrays by tensor name."""


@dataclass(frozen=True, eq=False)
class Waiting:
    """A request that is to be answered."""

    request: Any
    feed: Arrays
    """Its inputs, (B, ...) where the model batches."""
    joins: bool
    """Whether it may run with others."""

    @property
    def rows(self) -> int:
        """B."""
        return next(iter(self.feed.values())).shape[0] if self.joins else 1

    @property
    def frames(self) -> int:
        """B x T, where the first input is (B, T, ...); inputs may all be optional and missing."""
        return next((math.prod(array.shape[:2]) for array in self.feed.values()), 0)

    def fits(self, other: "Waiting") -> bool:
        """Whether both have rows of one shape."""
        return self.joins and _row_shapes(self.feed) == _row_shapes(other.feed)


@dataclass(frozen=True)
class RunLimits:
    """How much may run together; one request may always."""

    rows: int
    """R."""
    frames: int
    """R x T; 0 where nothing bounds them."""

    def first_run(self, waiting: Sequence[Waiting], most: int) -> tuple[list[Waiting], bool]:
        """The first request and those that run with it, at most so many; whether more might."""
        first = waiting[0]
        run = [first]
        rows, frames = first.rows, first.frames
        for one in waiting[1:]:
            if not first.fits(one):
                continue
            rows, frames = rows + one.rows, frames + one.frames
            if len(run) == most or self._exceeded(rows, frames):
                return run, False
            run.append(one)
        more = len(run) < most and not self._exceeded(rows + first.rows, frames + first.frames)
        return run, first.joins and more

    def runs(self, waiting: Sequence[Waiting]) -> Iterator[list[Waiting]]:
        """All of them, in as few runs as may be."""
        while waiting:
            run, _ = self.first_run(waiting, len(waiting))
            yield run
            waiting = without(waiting, run)

    def _exceeded(self, rows: int, frames: int) -> bool:
        return rows > self.rows or frames > self.frames > 0


def without(waiting: Sequence[Waiting], run: Sequence[Waiting]) -> list[Waiting]:
    """Those that are not in a run, in their order."""
    return [one for one in waiting if one not in run]


def _row_shapes(feed: Arrays) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, array.shape[1:]) for name, array in feed.items())
