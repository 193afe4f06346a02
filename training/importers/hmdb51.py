"""HMDB51: `CLASS_test_splitN.txt` for each class and each of three splits."""

import re
from collections.abc import Mapping
from pathlib import Path

from clip_har.dataset import SplitName
from training.importers.class_names import class_names
from training.importers.listing import (
    Entry,
    Gatherer,
    ImportOptions,
    Listing,
    annotation_files,
    media_folder,
    numbered_lines,
)

_USES: Mapping[str, SplitName | None] = {"0": None, "1": "train", "2": "test"}


def listing_from_hmdb51(source: Path, options: ImportOptions, out: Path) -> Listing:
    """Reads one official split; classes are in the order of their names.

    A clip's group is the title of the film or video that its name begins with. Raises ValueError
    where the lists of the split are missing.
    """
    ending = f"_test_split{options.split_number}.txt"
    lists = annotation_files(source, options, f"*{ending}", ["testTrainMulti_7030_splits"])
    root = media_folder(source, "hmdb51_org")
    names = [path.name.removesuffix(ending) for path in lists]
    classes = class_names(sorted(names), ending)
    gatherer = Gatherer()
    for path, name in zip(lists, names, strict=True):
        for where, line in numbered_lines(path):
            match = re.fullmatch(r"(.+?)\s+([012])", line)
            if match is None:
                why = f"Expected `name.avi 1` with 1 train, 2 test or 0 unused, found {line!r}."
                gatherer.fault(where, "label", why)
            elif split := _USES[match[2]]:
                group = _group(name, match[1])
                entry = Entry(root / name / match[1], classes.of_name[name], split, group)
                gatherer.add(entry, where)
    told = f"HMDB51, official split {options.split_number}."
    return gatherer.listing(f"hmdb51-{options.split_number}", told, classes.names, options)


def _group(name: str, file: str) -> str:
    title, found, _ = file.rpartition(f"_{name}_")
    return f"{name} {title}" if found else ""
