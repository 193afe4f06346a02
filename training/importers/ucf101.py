"""UCF101: `classInd.txt`, and `trainlistNN.txt` with `testlistNN.txt` for each of three splits."""

import re
from collections.abc import Iterator
from pathlib import Path

from clip_har.dataset import SplitName
from training.importers.class_names import ClassNames, numbered_class_names
from training.importers.listing import (
    Entry,
    Gatherer,
    ImportOptions,
    Listing,
    annotation_files,
    media_folder,
    numbered_lines,
)

_GROUP = re.compile(r".*_(g\d+)_c\d+")


def listing_from_ucf101(source: Path, options: ImportOptions, out: Path) -> Listing:
    """Reads one official split. Clips of a group were cut from one video and share a split.

    Raises ValueError where the lists are missing, or the split is not one of theirs.
    """
    index = annotation_files(source, options, "classInd.txt", ["ucfTrainTestlist"])[0]
    classes = _classes(index)
    gatherer = Gatherer()
    root = media_folder(source, "UCF-101")
    held_out: set[str] = set()
    splits: tuple[SplitName, ...] = ("test", "train")
    for split in splits:
        path = index.with_name(f"{split}list{options.split_number:02d}.txt")
        for entry, where in _entries(path, classes, root, split, gatherer):
            if split == "test":
                held_out.add(entry.group)
            if split == "train" and entry.group in held_out:
                why = f"{entry.path.name} is of a group that is also in the test split."
                gatherer.fault(where, "group", why)
            else:
                gatherer.add(entry, where)
    source_told = f"UCF101, official split {options.split_number}."
    return gatherer.listing(f"ucf101-{options.split_number}", source_told, classes.names, options)


def _classes(index: Path) -> ClassNames:
    """Classes by their numbers, from 1."""
    pairs: list[tuple[int, str]] = []
    for where, line in numbered_lines(index):
        number, _, name = line.partition(" ")
        if not number.isdecimal():
            raise ValueError(f"{where}: expected `1 ApplyEyeMakeup`, found {line!r}.")
        pairs.append((int(number), name.strip()))
    return numbered_class_names(pairs, str(index))


def _entries(
    path: Path, classes: ClassNames, root: Path, split: SplitName, gatherer: Gatherer
) -> Iterator[tuple[Entry, str]]:
    """Clips of a list: `Class/v_Class_g08_c01.avi`, in a training list with the class's number."""
    for where, line in numbered_lines(path):
        clip, _, number = line.partition(" ")
        folder, _, file = clip.partition("/")
        label = classes.of_name.get(folder)
        if label is None:
            gatherer.fault(where, "label", f"classInd.txt has no class {folder!r}.")
        elif split == "train" and classes.find(number.strip()) != label:
            why = f"The number {number!r} is not that of {folder}: classes count from 1."
            gatherer.fault(where, "label", why)
        else:
            match = _GROUP.fullmatch(Path(file).stem)
            group = f"{folder} {match[1]}" if match else ""
            yield Entry(root / clip, label, split, group), where
