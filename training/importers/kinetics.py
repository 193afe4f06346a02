"""Kinetics: CSV of `label,youtube_id,time_start,time_end,split` with the clips of one folder."""

import csv
from collections.abc import Iterator, Mapping
from pathlib import Path

from clip_har.dataset import SplitName
from training.importers.class_names import class_names
from training.importers.listing import (
    Entry,
    Gatherer,
    ImportOptions,
    Listing,
    annotation_files,
    numbered_lines,
)

_COLUMNS = ("label", "youtube_id", "time_start", "time_end", "split")
_SPLITS: Mapping[str, SplitName] = {
    "train": "train",
    "val": "val",
    "validate": "val",
    "validation": "val",
    "test": "test",
}
Row = Mapping[str, str]


def listing_from_kinetics(source: Path, options: ImportOptions, out: Path) -> Listing:
    """Reads the lists; classes are in the order of their names. A missing clip is a usual fault.

    Raises ValueError where no CSV has the columns.
    """
    rows = [row for path in annotation_files(source, options, "*.csv") for row in _rows(path)]
    if not rows:
        raise ValueError(
            f"{options.annotations or source}: no CSV has labelled rows under the columns "
            f"{','.join(_COLUMNS)}."
        )
    labels = sorted({row["label"] for _, row in rows})
    classes = class_names(labels, "Kinetics")
    gatherer = Gatherer()
    for where, row in rows:
        try:
            split = _SPLITS[row["split"]]
            path = _path(source, row)
        except (KeyError, ValueError):
            why = f"Expected {','.join(_COLUMNS)}, found {','.join(row.values())!r}."
            gatherer.fault(where, "label", why)
            continue
        label = classes.of_name[row["label"]]
        gatherer.add(Entry(path, label, split, row["youtube_id"]), where)
    return gatherer.listing(source.name, "Kinetics, official lists.", classes.names, options)


def _rows(path: Path) -> Iterator[tuple[str, Row]]:
    """The labelled rows of a list; a list of the test split may have no labels."""
    lines = list(numbered_lines(path))
    header = next(csv.reader([lines[0][1]]))
    if not set(_COLUMNS) <= set(header):
        return
    for where, line in lines[1:]:
        cells = next(csv.reader([line]))
        row = dict(zip(header, [*cells, *[""] * len(header)], strict=False))
        if row["label"]:
            yield where, row


def _path(source: Path, row: Row) -> Path:
    """Where the clip is, of the places that downloaders use; the first where it is nowhere."""
    start, end = int(float(row["time_start"])), int(float(row["time_end"]))
    file = f"{row['youtube_id']}_{start:06d}_{end:06d}.mp4"
    splits = (".", row["split"], _SPLITS[row["split"]])  # the column says `validate` for `val`
    classes = (row["label"], row["label"].replace(" ", "_"), ".")
    places = [source / split / label / file for split in splits for label in classes]
    return next((place for place in places if place.is_file()), places[0])
