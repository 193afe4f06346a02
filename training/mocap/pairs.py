"""Pairs of videos with the same pictures in opposite orders: four tiers of tests of order.

`reversal` pairs are the scenes of test clips. The others are rendered for themselves:
`closed_loop` walks on the spot and `rotation` turns once, and both end with the very scene they
began with, so the ends of a clip tell nothing; `nuisance` shows bodies, scenes and tempos that no
split has.
N pictures, S side in pixels.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clip_har.dataset import Pair, Tier
from training.mocap.actions import ACTION_OF_LABEL, ACTIONS, LABELS, REVERSAL_OF_LABEL
from training.mocap.ranges import TIER_RANGES
from training.mocap.scene import scene_of_process
from training.mocap.take import draw_take
from training.mocap.video import jpeg_from_picture, write_mjpeg

LABELS_OF_TIER: dict[Tier, tuple[str, ...]] = {
    "reversal": tuple(sorted(REVERSAL_OF_LABEL)),
    "closed_loop": tuple(sorted(a.label for a in ACTIONS if a.motion == "walk")),
    "rotation": tuple(sorted(a.label for a in ACTIONS if a.turns)),
    "nuisance": tuple(sorted(REVERSAL_OF_LABEL)),
}


@dataclass(frozen=True)
class PairPlace:
    """Where a pair belongs."""

    folder: Path
    """The data set."""
    tier: Tier
    label: str
    """What the forward video shows."""
    number: int
    """Among the pairs of this tier and label."""

    def path(self, end: str) -> str:
        """A video of the pair, relative to the data set."""
        return f"pairs/{self.tier}/{self.label}/{self.number:04d}{end}.avi"


def pair_places(folder: Path, counts: dict[Tier, int]) -> list[PairPlace]:
    """All pairs of some tiers, by the number of pairs a label."""
    return [
        PairPlace(folder, tier, label, number)
        for tier, count in counts.items()
        for label in LABELS_OF_TIER[tier]
        for number in range(count)
    ]


def render_pair(place: PairPlace, seed: int, side: int, fps: int) -> Pair:
    """Draws and renders a pair; its draw is none of any clip's."""
    tiers = list(LABELS_OF_TIER)
    key = [seed, tiers.index(place.tier), LABELS.index(place.label), place.number]
    rng = np.random.default_rng([*key, len(tiers)])  # a clip's key is one shorter
    take = draw_take(ACTION_OF_LABEL[place.label], TIER_RANGES[place.tier], rng)
    pictures = scene_of_process().pictures(take, take.times(fps), side)
    return write_pair(place, pictures, fps)


def write_pair(place: PairPlace, pictures: np.ndarray, fps: int) -> Pair:
    """Writes pictures (N, S, S, 3) in both orders, the last one left out where N is even.

    Of an odd number of pictures, sampling takes the same ones from both videos, however many.
    """
    jpegs = [jpeg_from_picture(picture) for picture in pictures[: (len(pictures) - 1) | 1]]
    forward, backward = place.path(""), place.path("-reversed")
    write_mjpeg(place.folder / forward, jpegs, pictures.shape[1:3], fps)
    write_mjpeg(place.folder / backward, jpegs[::-1], pictures.shape[1:3], fps)
    return Pair(
        forward=forward,
        backward=backward,
        label=place.label,
        reversed_label=REVERSAL_OF_LABEL[place.label],
        tier=place.tier,
    )
