"""Lists of clips, one a line: `path label`, `path,label`, or `folder frames label`.

A folder of lists has one a split, named for it: train.csv, my_val_list.txt, test.txt.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from clip_har.dataset import SPLITS, SplitName
from training.importers.class_names import ClassNames, class_names, class_names_from_file
from training.importers.listing import (
    Entry,
    Gatherer,
    ImportOptions,
    Listing,
    numbered_lines,
)

_SUFFIXES = (".csv", ".txt", ".list", ".lst")
_NO_LABEL = ("", "-1")


@dataclass(frozen=True, slots=True)
class Row:
    """A line of a list."""

    where: str
    split: SplitName
    path: Path
    label: str
    """Number or name as the list has it; empty or -1 where it gives none."""
    frames: int | None = None


Fields = Callable[[str], tuple[str, str, int | None]]
"""Splits a line into path, label and number of frames."""


def listing_from_space_lists(source: Path, options: ImportOptions, out: Path) -> Listing:
    """Reads `path label` lists, as PySlowFast, mmaction2 and pytorchvideo do.

    Raises ValueError where lists are missing, hold several labels a clip, or hold numbers that
    nothing names.
    """
    return _listing(source, options, _by_blank, None)


def listing_from_comma_lists(source: Path, options: ImportOptions, out: Path) -> Listing:
    """Reads `path,label` lists; raises ValueError like listing_from_space_lists."""
    return _listing(source, options, _by_comma, None)


def listing_from_frame_lists(source: Path, options: ImportOptions, out: Path) -> Listing:
    """Reads `folder frames label` lists of folders with `img_00001.jpg` and so on.

    Raises ValueError like listing_from_space_lists, and where the user gives no frame rate.
    """
    if options.fps is None:
        raise ValueError(
            "Lists of frames do not say how many frames a second of video gave. Say it with --fps, "
            "such as --fps 25."
        )
    return _listing(source, options, _with_frames, options.fps)


def _by_blank(line: str) -> tuple[str, str, int | None]:
    path, *label = line.rsplit(maxsplit=1)
    return path, "".join(label), None


def _by_comma(line: str) -> tuple[str, str, int | None]:
    path, _, label = line.rpartition(",") if "," in line else (line, "", "")
    return path.strip().strip('"'), label.strip().strip('"'), None


def _with_frames(line: str) -> tuple[str, str, int | None]:
    path, frames, label = line.rsplit(maxsplit=2)
    return path, label, int(frames)


def _listing(source: Path, options: ImportOptions, fields: Fields, fps: float | None) -> Listing:
    gatherer = Gatherer()
    rows: list[Row] = []
    for split, path in _lists(options.annotations or source, options.split_number):
        own = list(_rows(path, split, source, fields, gatherer))
        if split == "test" and all(row.label in _NO_LABEL for row in own):
            why = "The list of the test split has no labels: it cannot be scored."
            gatherer.fault(str(path), "unlabelled", why)
        else:
            rows += own
    classes = _classes(rows, options.labels)
    for row in rows:
        label = classes.find(row.label)
        if label is None:
            why = "There is no label." if row.label in _NO_LABEL else f"No class {row.label!r}."
            gatherer.fault(row.where, "label", why)
        else:
            entry = Entry(row.path, label, row.split, fps=fps, frames=row.frames)
            gatherer.add(entry, row.where)
    return gatherer.listing(source.name, "Lists of a user.", classes.names, options)


def _rows(
    path: Path, split: SplitName, root: Path, fields: Fields, gatherer: Gatherer
) -> Iterator[Row]:
    for number, (where, line) in enumerate(numbered_lines(path)):
        try:
            name, label, frames = fields(line)
        except ValueError:
            why = f"Expected `folder frames label`, found {line!r}."
            gatherer.fault(where, "label", why)
            continue
        if number == 0 and label.lower() == "label":  # the header of a CSV
            continue
        if frames is None and re.fullmatch(r".+[\s,]\d+[\s,]+\d+", line):
            _refuse_several_labels(root / name, where, line)
        yield Row(where, split, root / name, label, frames)


def _refuse_several_labels(path: Path, where: str, line: str) -> None:
    if path.exists():  # its name ends with a number
        return
    raise ValueError(
        f"{where}: {line!r} has two numbers after the path. Clips with several labels are not read "
        "here: a clip shows one class. For `folder frames label` use the format frames."
    )


def _classes(rows: list[Row], file: Path | None) -> ClassNames:
    labels = {row.label for row in rows} - set(_NO_LABEL)
    numbers = {int(label) for label in labels if label.isdecimal()}
    if file is None:
        if numbers and len(numbers) == len(labels):
            raise ValueError(
                "The lists have numbers for labels, and a CLIP needs words: name the classes with "
                "--labels FILE (CSV `id,name`, JSON, or a name a line, from 0)."
            )
        return class_names(sorted(labels), "The lists")
    classes = class_names_from_file(file)
    if len(numbers) > 1 and min(numbers) == 1 and max(numbers) == len(classes.names):
        raise ValueError(
            f"The lists count classes from 1 to {max(numbers)}, but {file} from 0. Give a CSV "
            "`id,name` with the numbers of the lists."
        )
    return classes


def _lists(place: Path, number: int) -> Iterator[tuple[SplitName, Path]]:
    """The list of each split. A list that is given by itself has training clips."""
    if place.is_file():
        yield "train", place
        return
    found = [path for path in sorted(place.glob("*")) if path.suffix in _SUFFIXES]
    of_split: dict[SplitName, list[Path]] = {
        split: [path for path in found if re.search(rf"(?<![a-z]){split}", path.stem.lower())]
        for split in SPLITS
    }
    if not of_split["train"]:
        raise ValueError(
            f"{place}: no list is named for training clips. Expected train.csv or train.txt, and "
            "the same for val and test; or name one list with --annotations."
        )
    for split, paths in of_split.items():
        if len(paths) > 1:
            paths = [path for path in paths if re.search(rf"(?<!\d)0?{number}(?!\d)", path.stem)]
            if len(paths) != 1:
                raise ValueError(
                    f"{place}: {len(paths)} of its lists are for {split} and the split number "
                    f"{number}. Keep one list a split, or put the split number into their names."
                )
        if paths:
            yield split, paths[0]
