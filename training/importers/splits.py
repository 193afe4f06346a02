"""Holds clips out of the training split, the same ones on every machine."""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from clip_har.dataset import Clip, SplitName

Units = Mapping[str, Counter[str]]
"""Clips that stay together: a recording, or all with the same bytes. Its clips a class."""


@dataclass(frozen=True, slots=True)
class Shares:
    """What to hold out of the training clips, as a share of them in each class."""

    val: float
    """Share of the clips for validation."""
    test: float
    """Share of the clips for the test."""


def carved(clips: Sequence[Clip], shares: Shares) -> list[Clip]:
    """Moves training clips to the splits that are to be carved.

    Each class gives its share, and at least one clip where it has more than one recording; a
    recording moves as a whole. A hash of its name decides, so nothing but the clips matters.
    """
    counts = Counter(clip.label for clip in clips if clip.split == "train")
    units: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for clip in clips:
        if clip.split == "train":
            units[_unit(clip)][clip.label] += 1
    moves: dict[str, SplitName] = {}
    held_out: dict[SplitName, float] = {"test": shares.test, "val": shares.val}
    for split, share in held_out.items():
        if share:
            left = {unit: labels for unit, labels in units.items() if unit not in moves}
            wanted = {label: round(share * count) for label, count in counts.items()}
            for unit in _picked(left, wanted):
                moves[unit] = split
    return [
        clip.model_copy(update={"split": moves.get(_unit(clip), "train")})
        if clip.split == "train"
        else clip
        for clip in clips
    ]


def _unit(clip: Clip) -> str:
    return clip.group or clip.sha256


def _picked(units: Units, wanted: Mapping[str, int]) -> set[str]:
    """Units with about the wanted clips of each class; one unit of every class stays behind."""
    of_label: defaultdict[str, list[str]] = defaultdict(list)
    for unit in sorted(units, key=lambda name: hashlib.sha256(name.encode()).digest()):
        for label in units[unit]:
            of_label[label].append(unit)
    stay = Counter({label: len(own) for label, own in of_label.items()})
    picked: set[str] = set()
    for label, own in sorted(of_label.items()):
        room = max(wanted[label], min(units[unit][label] for unit in own))
        room -= sum(units[unit][label] for unit in own if unit in picked)
        for unit in own:
            nearer = units[unit][label] < 2 * room
            spared = all(stay[one] > 1 for one in units[unit])
            if nearer and spared and unit not in picked:
                picked.add(unit)
                room -= units[unit][label]
                stay.subtract(units[unit].keys())
    return picked
