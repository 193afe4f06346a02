"""What is in a data set, and what is wrong with it: every listed file is read."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Literal

from clip_har.dataset import (
    MANIFEST_FILE,
    SPLITS,
    Clip,
    DataSet,
    Sample,
    SplitName,
    data_set_from_folder,
)
from training.importers.data_set import QUARANTINE_FILE, Progress, Quarantine
from training.importers.listing import Fault
from training.importers.probe import Probe, Probed, probes

FEW_TRAINING_CLIPS = 5
"""Below so many training clips, a class is called thin."""


@dataclass(frozen=True, slots=True)
class Spread:
    """How some numbers are spread."""

    least: float
    """The smallest."""
    middle: float
    """The median."""
    most: float
    """The largest."""


@dataclass(frozen=True, slots=True)
class SplitFacts:
    """Clips of one split."""

    clips: int
    """How many there are."""
    groups: int
    """From how many known recordings they were cut."""
    seconds: Spread
    """How long they play."""
    frames: Spread
    """How many pictures they hold."""
    size: int
    """Bytes on disk of those that can be read."""


@dataclass(frozen=True, slots=True)
class Leak:
    """The same content, or clips of the same recording, where they should not be."""

    kind: Literal["content", "group", "label"]
    """Content in two splits, a recording in two splits, or content under two labels."""
    what: str
    """The recording, or the first of the files."""
    places: tuple[str, ...]
    """Splits or labels that share it, sorted."""
    paths: tuple[str, ...]
    """The files."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found."""

    name: str
    """Name of the data set."""
    source: str
    """Where the media come from."""
    classes: dict[str, Counter[str]]
    """Clips of each split a class, in the order of the classes."""
    splits: dict[SplitName, SplitFacts]
    """The splits that have clips."""
    codecs: Counter[str]
    """Clips a codec."""
    resolutions: Counter[str]
    """Clips a width and height, such as 320x240."""
    leaks: tuple[Leak, ...]
    """What splits or labels share."""
    faults: tuple[Fault, ...]
    """Listed files that are missing, were changed, or cannot be decoded."""
    quarantined: Counter[str]
    """Faults of each kind in the importer's list."""

    @property
    def thin(self) -> dict[str, list[str]]:
        """Classes with too few clips, by what they lack."""
        few = [
            label
            for label, count in self.classes.items()
            if 0 < count["train"] < FEW_TRAINING_CLIPS
        ]
        lacking = {
            f"no {split} clip": [name for name, count in self.classes.items() if not count[split]]
            for split in SPLITS
        }
        lacking[f"fewer than {FEW_TRAINING_CLIPS} train clips"] = few
        return {what: labels for what, labels in lacking.items() if labels}


def inspect_data_set(data: Path, progress: Progress) -> Inspection:
    """Reads the manifest and every file that it lists, and decodes a few frames of each.

    Broken files are reported. Raises ValueError only where the manifest, or the importer's list of
    what it left out, cannot be read.
    """
    data_set = data_set_from_folder(data)
    samples: list[Sample] = [*data_set.clips, *data_set.stills]
    jobs = [Probed(data / one.path, one.fps if isinstance(one, Clip) else None) for one in samples]
    results = list(progress(probes(jobs), "decode files", len(jobs)))
    checked = [_checked(one, result) for one, result in zip(samples, results, strict=True)]
    of_clips = list(zip(data_set.clips, checked, strict=False))
    read = [one for _, one in of_clips if isinstance(one, Probe)]
    return Inspection(
        name=data_set.name,
        source=data_set.source,
        classes=_classes(data_set),
        splits=_splits(of_clips),
        codecs=Counter(one.codec for one in read),
        resolutions=Counter(f"{one.width}x{one.height}" for one in read),
        leaks=_leaks(data_set.clips),
        faults=tuple(one for one in checked if isinstance(one, Fault)),
        quarantined=_quarantined(data / QUARANTINE_FILE),
    )


def _checked(sample: Sample, result: Probe | Fault) -> Probe | Fault:
    if isinstance(result, Probe) and result.sha256 != sample.sha256:
        why = f"Not the file that {MANIFEST_FILE} lists: its sha256 differs."
        return Fault(where=sample.path, reason="changed", why=why)
    return result


def _classes(data_set: DataSet) -> dict[str, Counter[str]]:
    counts = {label: Counter[str]() for label in data_set.labels}
    for clip in data_set.clips:
        counts[clip.label][clip.split] += 1
    return counts


def _splits(clips: Sequence[tuple[Clip, Probe | Fault]]) -> dict[SplitName, SplitFacts]:
    facts: dict[SplitName, SplitFacts] = {}
    for split in SPLITS:
        own = [(clip, result) for clip, result in clips if clip.split == split]
        if own:
            facts[split] = SplitFacts(
                clips=len(own),
                groups=len({clip.group for clip, _ in own} - {""}),
                seconds=_spread([clip.seconds for clip, _ in own]),
                frames=_spread([clip.frames for clip, _ in own]),
                size=sum(result.size for _, result in own if isinstance(result, Probe)),
            )
    return facts


def _spread(numbers: Sequence[float]) -> Spread:
    return Spread(min(numbers), median(numbers), max(numbers))


def _leaks(clips: Sequence[Clip]) -> tuple[Leak, ...]:
    of_content: defaultdict[str, list[Clip]] = defaultdict(list)
    of_group: defaultdict[str, list[Clip]] = defaultdict(list)
    for clip in clips:
        of_content[clip.sha256].append(clip)
        if clip.group:
            of_group[clip.group].append(clip)
    leaks: list[Leak] = []
    for same in of_content.values():
        leaks += _shared("content", same[0].path, same, {clip.split for clip in same})
        leaks += _shared("label", same[0].path, same, {clip.label for clip in same})
    for group, same in of_group.items():
        leaks += _shared("group", group, same, {clip.split for clip in same})
    return tuple(leaks)


def _shared(
    kind: Literal["content", "group", "label"],
    what: str,
    clips: Sequence[Clip],
    places: Iterable[str],
) -> list[Leak]:
    named = tuple(sorted(places))
    return [Leak(kind, what, named, tuple(clip.path for clip in clips))] if len(named) > 1 else []


def _quarantined(path: Path) -> Counter[str]:
    if not path.is_file():
        return Counter()
    return Counter(fault.reason for fault in Quarantine.from_json(path).faults)
