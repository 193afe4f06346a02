"""Which moments of a clip a training step looks at.

A view is a function of (seed, stage, step, place in the batch) alone, so that a run that was
interrupted, or is spread over several processes, sees the same. B clips, T frames.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from training.settings import Stage, TrainConfig

Places = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class View:
    """What one place of a batch shows."""

    clip: int
    """Which training clip."""
    places: Places
    """When its frames are on screen, from 0 (start of the clip) to 1, ascending, (T,)."""
    backwards: bool
    """Whether it is played backwards, if its class has a reversal."""
    seed: tuple[int, ...]
    """Seeds whatever else is drawn for this view."""


class Schedule:
    """What every step of a stage looks at."""

    def __init__(self, config: TrainConfig, stage: str, clips: int) -> None:
        """`stage` names one of the config's; `clips` is the size of the training split."""
        self.config = config
        self.settings: Stage = config.stages[stage]
        self.clips = clips
        self.steps = self.settings.steps(clips)
        self._seed = (config.seed, crc32(stage.encode()))

    def views(self, step: int) -> list[View]:
        """The views of a step, all with the same number of frames, (B,)."""
        config, frames = self.config, self._frames(step)
        views: list[View] = []
        for place, clip in enumerate(self._clips(step)):
            seed = (*self._seed, 2, step, place)
            rng = np.random.default_rng(seed)
            places = _places(rng, frames, config.crop)
            backwards = frames > 1 and rng.random() < config.reversed_share
            views.append(View(clip, places, backwards, seed))
        return views

    def step_seed(self, step: int, process: int) -> int:
        """Seeds torch for a step: dropout and noise."""
        return int(np.random.default_rng((*self._seed, 3, step, process)).integers(2**62))

    def _frames(self, step: int) -> int:
        rng = np.random.default_rng((*self._seed, 1, step))
        if rng.random() < self.config.still_share:
            return 1
        return int(rng.choice(self.config.train_frames))

    def _clips(self, step: int) -> Sequence[int]:
        """Every clip once an epoch, in an order of its own; a batch may reach into the next."""
        first = step * self.settings.batch
        numbers = range(first, first + self.settings.batch)
        orders = {epoch: self._order(epoch) for epoch in {n // self.clips for n in numbers}}
        return [int(orders[n // self.clips][n % self.clips]) for n in numbers]

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng((*self._seed, 0, epoch)).permutation(self.clips)


def _places(rng: np.random.Generator, frames: int, crop: float) -> Places:
    """A random moment in each of `frames` equal parts of a random part of the clip, (T,)."""
    length = rng.uniform(crop, 1)
    start = rng.uniform(0, 1 - length)
    moments = (np.arange(frames) + rng.random(frames)) / frames
    return np.minimum(start + length * moments, 1 - 1e-6)
