"""What a published format lists: files with labels and splits, and what is wrong with its lists.

An importer reads one format, exactly as it is published, and decodes nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from pydantic import Field

from clip_har.config import Config
from clip_har.dataset import SplitName
from training.importers.splits import Shares

UNSPLIT = Shares(val=0.1, test=0.2)
"""What is held out where a data set is published without splits."""

Reason = Literal[
    "missing",
    "changed",
    "undecodable",
    "limit",
    "label",
    "unlabelled",
    "twice",
    "duplicate",
    "group",
]
"""What is wrong: the file is not there, is not the one that was listed, cannot be decoded or is
over a limit; its label is wrong or not given; it is listed twice; its content or its recording is
in a split that is held out more."""


class ImportOptions(Config):
    """What a user says of a data set beside its format and its folder."""

    annotations: Path | None = None
    """Folder of the lists, or one list without splits; the folder of the media where not given."""
    labels: Path | None = None
    """File of the class names, where lists hold numbers."""
    split_number: int = Field(default=1, ge=1)
    """Which of several official splits."""
    val_share: float | None = Field(default=None, gt=0, lt=0.5)
    """Share of the training clips to hold out for validation where the publisher holds out none."""
    fps: float | None = Field(default=None, gt=0)
    """Frames a second of folders of frames."""


class Fault(Config):
    """Something that was left out."""

    where: str
    """The file, or the line of a list as `file:line`."""
    reason: Reason
    """What kind of fault it is."""
    why: str
    """What is wrong, in a sentence."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One listed clip."""

    path: Path
    """A video, a picture, or a folder of frames; absolute."""
    label: str
    """What it shows, in words."""
    split: SplitName
    """What its publisher uses it for."""
    group: str = ""
    """The recording it was cut from. Empty: unknown."""
    fps: float | None = None
    """Frames a second of a folder of frames."""
    frames: int | None = None
    """How many frames the list promises."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What an importer read."""

    name: str
    """Name of the data set."""
    source: str
    """Where it comes from, in a sentence."""
    labels: tuple[str, ...]
    """Classes in the publisher's order."""
    entries: tuple[Entry, ...]
    """Clips that are there."""
    faults: tuple[Fault, ...]
    """What is listed and cannot be used."""
    shares: Shares
    """What is to be held out of the training clips."""


Importer = Callable[[Path, ImportOptions, Path], Listing]
"""Reads a folder of media in one format; the last is the data set's folder, for what must be
extracted. Raises ValueError where the folder is not in that format."""


class Gatherer:
    """Collects entries and faults while lists are read."""

    def __init__(self) -> None:
        self._entries: dict[tuple[Path, SplitName], Entry] = {}
        self._faults: list[Fault] = []

    def fault(self, where: str, reason: Reason, why: str) -> None:
        """Notes something that is left out."""
        self._faults.append(Fault(where=where, reason=reason, why=why))

    def add(self, entry: Entry, where: str) -> None:
        """Takes a clip that is there and is listed once in its split; else notes a fault."""
        there = entry.path.is_dir() if entry.fps else entry.path.is_file()
        first = self._entries.get((entry.path, entry.split))
        if not there:
            kind = "folder of frames" if entry.fps else "file"
            self.fault(where, "missing", f"The {kind} {entry.path} is not there.")
        elif first is None:
            self._entries[entry.path, entry.split] = entry
        elif first.label == entry.label:
            self.fault(where, "twice", f"{entry.path} is listed before.")
        else:
            why = f"{entry.path} is listed before, as {first.label!r} and not {entry.label!r}."
            self.fault(where, "label", why)

    def listing(
        self,
        name: str,
        source: str,
        labels: Sequence[str],
        options: ImportOptions,
        unsplit: Shares = UNSPLIT,
    ) -> Listing:
        """All that was gathered.

        Where there is no test split, validation becomes it, as papers do. What is then missing is
        to be carved out of the training clips; `unsplit` says how much where all clips are those.
        """
        entries = list(self._entries.values())
        counts = Counter(entry.split for entry in entries)
        if counts["val"] and not counts["test"]:
            entries = [replace(one, split="test") if one.split == "val" else one for one in entries]
            counts = Counter(entry.split for entry in entries)
        held_out = Shares(
            val=0
            if counts["val"]
            else options.val_share or (0.1 if counts["test"] else unsplit.val),
            test=0 if counts["test"] else unsplit.test,
        )
        return Listing(name, source, tuple(labels), tuple(entries), tuple(self._faults), held_out)


def numbered_lines(path: Path) -> Iterator[tuple[str, str]]:
    """The lines of a list that are not blank, each with `file:line`.

    Raises ValueError where the file cannot be read or has no such line.
    """
    try:
        lines = path.read_bytes().decode("utf-8-sig", errors="replace").splitlines()
    except OSError as error:
        raise ValueError(f"{path}: the list cannot be read: {error.strerror}.") from error
    if not any(line.strip() for line in lines):
        raise ValueError(f"{path}: the list is empty. Expected a clip on each line.")
    for number, line in enumerate(lines, start=1):
        if line.strip():
            yield f"{path}:{number}", line.strip()


def annotation_files(
    source: Path, options: ImportOptions, pattern: str, also: Sequence[str] = ()
) -> list[Path]:
    """The files whose name matches, in the first folder that has some, sorted.

    Looks in the user's folder of lists, or in `source`, then in its folders `also`. Raises
    ValueError where there is none.
    """
    first = options.annotations or source
    folders = [first, *(first / name for name in also)]
    for folder in folders:
        if files := sorted(folder.glob(pattern)):
            return files
    looked = ", ".join(str(folder) for folder in folders)
    raise ValueError(
        f"No {pattern} in {looked}: these lists say what is to be seen. Download the data set's "
        "annotations too, and name their folder with --annotations."
    )


def media_folder(source: Path, name: str) -> Path:
    """The folder `name` that a data set's archive unpacks to, or `source` where it is that."""
    return source / name if (source / name).is_dir() else source
