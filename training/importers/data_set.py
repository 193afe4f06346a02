"""Imports a published data set: a manifest of all that can be used, a list of all that cannot."""

import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from clip_har.config import Config
from clip_har.dataset import MANIFEST_FILE, SPLITS, Clip, DataSet, data_set_from_folder
from clip_har.product import write_whole
from training.importers.formats import IMPORTERS
from training.importers.journal import JOURNAL_FILE, append, key_of, read_journal
from training.importers.listing import Entry, Fault, ImportOptions, Listing
from training.importers.probe import Probe, Probed, probes
from training.importers.splits import carved

QUARANTINE_FILE = "quarantine.json"

Progress = Callable[[Iterable[Probe | Fault], str, int], Iterable[Probe | Fault]]
"""Wraps work that is done one by one, with a title and their number, to show how far it is."""


class Quarantine(Config):
    """What `quarantine.json` says: all that was left out."""

    faults: tuple[Fault, ...]
    """One for each file or line."""


@dataclass(frozen=True, slots=True)
class ImportResult:
    """What an import wrote."""

    data_set: DataSet
    """The manifest."""
    faults: tuple[Fault, ...]
    """The quarantine."""

    @property
    def reasons(self) -> Counter[str]:
        """How many faults there are of each kind."""
        return Counter(fault.reason for fault in self.faults)


def import_data_set(
    format: str, source: Path, out: Path, options: ImportOptions, progress: Progress
) -> ImportResult:
    """Reads `source`, decodes a few frames of every file, writes manifest and quarantine to `out`.

    Media stay where they are. Started again, it probes only what is new or was changed, and keeps
    the reversals that somebody named in the manifest. Raises ValueError where the source is not in
    the format, or too little of it can be used.
    """
    source, out = source.resolve(), out.resolve()
    reversals = _named_reversals(out)
    listing = _listed(format, source, out, options)
    out.mkdir(parents=True, exist_ok=True)
    clips, broken = _probed(listing, out, progress)
    clips, doubles = without_leaks(clips)
    clips, more = without_leaks(carved(clips, listing.shares))  # recordings may share a clip
    faults = (*listing.faults, *broken, *doubles, *more)
    quarantine = Quarantine(faults=faults).model_dump()
    write_whole(out / QUARANTINE_FILE, json.dumps(quarantine, indent=1) + "\n")
    _check(listing, clips, out, faults)
    data_set = DataSet(
        name=listing.name,
        source=listing.source,
        labels=listing.labels,
        reversals={a: b for a, b in reversals.items() if {a, b} <= {*listing.labels}},
        clips=tuple(clips),
    )
    write_whole(out / MANIFEST_FILE, json.dumps(data_set.model_dump(), indent=1) + "\n")
    return ImportResult(data_set, faults)


def without_leaks(clips: Sequence[Clip]) -> tuple[list[Clip], list[Fault]]:
    """Drops clips whose content is also in a split that is held out more, which stays whole."""
    held: dict[str, Clip] = {}
    for clip in clips:
        other = held.get(clip.sha256)
        if other is None or SPLITS.index(clip.split) > SPLITS.index(other.split):
            held[clip.sha256] = clip
    kept = [clip for clip in clips if clip.split == held[clip.sha256].split]
    dropped = [
        Fault(
            where=clip.path,
            reason="duplicate",
            why=f"The same content is in the {other.split} split: {other.path}.",
        )
        for clip in clips
        if clip.split != (other := held[clip.sha256]).split
    ]
    return kept, dropped


def _listed(format: str, source: Path, out: Path, options: ImportOptions) -> Listing:
    if format not in IMPORTERS:
        raise ValueError(f"No format {format!r} is known. Use one of: {', '.join(IMPORTERS)}.")
    if not source.is_dir():
        raise ValueError(f"{source}: not a folder. Name the folder of the media.")
    return IMPORTERS[format](source, options, out)


def _probed(listing: Listing, out: Path, progress: Progress) -> tuple[list[Clip], list[Fault]]:
    names = [os.path.relpath(entry.path, out) for entry in listing.entries]
    jobs = [Probed(entry.path, entry.fps) for entry in listing.entries]
    keys = [key_of(job, name) for job, name in zip(jobs, names, strict=True)]
    known = read_journal(out / JOURNAL_FILE)
    new = [index for index, key in enumerate(keys) if key not in known]
    found: dict[int, Probe | Fault] = {i: known[key] for i, key in enumerate(keys) if key in known}
    with (out / JOURNAL_FILE).open("a") as journal:
        results = progress(probes([jobs[i] for i in new]), "decode clips", len(new))
        for index, result in zip(new, results, strict=True):
            found[index] = result
            if isinstance(result, Probe):
                append(journal, keys[index], result)
    clips: list[Clip] = []
    faults: list[Fault] = []
    for index, entry in enumerate(listing.entries):
        one = _clip(entry, names[index], found[index])
        clips.append(one) if isinstance(one, Clip) else faults.append(one)
    return clips, faults


def _clip(entry: Entry, name: str, probe: Probe | Fault) -> Clip | Fault:
    if isinstance(probe, Fault):
        return probe
    if entry.frames is not None and probe.frames < entry.frames:
        why = f"The list promises {entry.frames} frames, but the folder has {probe.frames}."
        return Fault(where=str(entry.path), reason="undecodable", why=why)
    return Clip(
        path=name,
        label=entry.label,
        sha256=probe.sha256,
        split=entry.split,
        seconds=probe.seconds,
        frames=probe.frames,
        fps=entry.fps,
        group=entry.group,
        codec=probe.codec,
    )


def _named_reversals(out: Path) -> dict[str, str]:
    """What an earlier manifest says; raises ValueError where it cannot be read."""
    if not (out / MANIFEST_FILE).exists():
        return {}
    try:
        return data_set_from_folder(out).reversals
    except ValueError as error:
        raise ValueError(
            f"{error} Mend this manifest, whose reversals would be kept, or delete it."
        ) from error


def _check(listing: Listing, clips: Sequence[Clip], out: Path, faults: Sequence[Fault]) -> None:
    told = f"{out / QUARANTINE_FILE} says what was left out and why"
    if not clips:
        first = f" The first: {faults[0].where}: {faults[0].why}" if faults else ""
        raise ValueError(f"Nothing of {listing.name} can be used: {told}.{first}")
    if len(listing.labels) < 2:
        raise ValueError(
            f"{listing.name} has one class, {clips[0].label!r}: a model needs two or more."
        )
    trained = {clip.label for clip in clips if clip.split == "train"}
    if empty := [label for label in listing.labels if label not in trained]:
        raise ValueError(
            f"{len(empty)} of {len(listing.labels)} classes have no training clip that can be "
            f"used: {', '.join(empty[:10])}{', ...' if len(empty) > 10 else ''}. {told}. Mend the "
            "files, or take these classes out of the lists."
        )
