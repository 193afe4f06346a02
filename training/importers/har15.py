"""Human Action Recognition, 15 classes of still pictures: Kaggle's folders, Hugging Face's parquet.

The published test split has no labels, or dummy ones. Its authors split the training pictures
60/15/25.
"""

import csv
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clip_har.container import kind_of
from clip_har.dataset import SplitName
from clip_har.kinds import Kind
from clip_har.limits import MediaError
from clip_har.product import write_whole
from training.importers.class_names import ClassNames, class_names, class_names_from_file
from training.importers.listing import (
    Entry,
    Gatherer,
    ImportOptions,
    Listing,
    media_folder,
    numbered_lines,
)
from training.importers.splits import Shares

if TYPE_CHECKING:
    from pyarrow.parquet import ParquetFile

AUTHORS_SHARES = Shares(val=0.15, test=0.25)
_SUFFIXES = {Kind.JPEG: ".jpg", Kind.PNG: ".png", Kind.WEBP: ".webp", Kind.GIF: ".gif"}


def listing_from_har15(source: Path, options: ImportOptions, out: Path) -> Listing:
    """Reads either layout; pictures in parquet are written to `out`/images.

    Raises ValueError where the folder has neither.
    """
    gatherer = Gatherer()
    root = media_folder(source, "Human Action Recognition")
    tables = sorted([*source.glob("*.parquet"), *source.glob("data/*.parquet")])
    if (root / "Training_set.csv").is_file():
        classes = _from_kaggle(root, gatherer)
    elif tables:
        classes = _from_parquet(tables, options, out / "images", gatherer)
    else:
        raise ValueError(
            f"{source}: neither Training_set.csv with train/ (Kaggle) nor data/train-*.parquet "
            "(Hugging Face) is there. Unpack or download the data set into this folder."
        )
    told = "Human Action Recognition, 15 classes of still pictures."
    return gatherer.listing("har15", told, classes.names, options, AUTHORS_SHARES)


def _from_kaggle(root: Path, gatherer: Gatherer) -> ClassNames:
    rows: list[tuple[str, str, str]] = []
    for where, line in list(numbered_lines(root / "Training_set.csv"))[1:]:
        cells = next(csv.reader([line]))
        if len(cells) == 2 and all(cells):
            rows.append((where, cells[0], cells[1]))
        else:
            gatherer.fault(where, "label", f"Expected `filename,label`, found {line!r}.")
    classes = class_names(sorted({label for _, _, label in rows}), "Training_set.csv")
    for where, file, label in rows:
        gatherer.add(Entry(root / "train" / file, classes.of_name[label], "train"), where)
    if (unlabelled := root / "Testing_set.csv").is_file():
        why = "The published test split has no labels: it cannot be scored."
        gatherer.fault(str(unlabelled), "unlabelled", why)
    return classes


def _from_parquet(
    tables: Sequence[Path], options: ImportOptions, images: Path, gatherer: Gatherer
) -> ClassNames:
    from pyarrow import ArrowException
    from pyarrow.parquet import ParquetFile

    classes = class_names_from_file(options.labels) if options.labels else None
    splits: dict[SplitName, str] = {"train": "train", "val": "validation", "test": "test"}
    for split, name in splits.items():
        try:
            files = [ParquetFile(path) for path in tables if path.stem.startswith(name)]
            if files:
                classes = classes or _classes(files[0], tables[0])
                _add_pictures(files, classes, split, images / split, gatherer)
        except (ArrowException, OSError) as error:
            raise ValueError(f"A parquet file of {name} cannot be read: {error}.") from error
    if classes is None:
        raise ValueError(f"{tables[0].parent}: no parquet file is named train-*.parquet.")
    return classes


def _classes(file: "ParquetFile", path: Path) -> ClassNames:
    """Classes as the Hugging Face library notes them in the schema."""
    try:
        metadata = json.loads((file.schema_arrow.metadata or {})[b"huggingface"])
        names = metadata["info"]["features"]["labels"]["names"]
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path}: its schema does not name the classes of `labels`. Name them with --labels "
            "FILE, a name a line in the order of their numbers."
        ) from error
    plain = class_names(names, str(path))
    return ClassNames(plain.of_name, dict(enumerate(plain.names)))


def _add_pictures(
    files: Sequence["ParquetFile"],
    classes: ClassNames,
    split: SplitName,
    folder: Path,
    gatherer: Gatherer,
) -> None:
    """Writes out the pictures of a split, unless its labels are dummies."""
    labels = {label for file in files for label in file.read(["labels"])["labels"].to_pylist()}
    if split == "test" and labels <= {0, -1, None}:
        why = (
            "Every label of the published test split is 0, a dummy: a score on it would mean "
            "nothing. It is left out, and validation and test are carved out of train."
        )
        gatherer.fault(f"{folder.name} split", "unlabelled", why)
        return
    for number, (content, label) in enumerate(_rows(files)):
        where = f"{split} split:row {number}"
        name = classes.of_number.get(-1 if label is None else label)
        if name is None or content is None:
            gatherer.fault(where, "label", f"No picture, or no class {label!r}.")
            continue
        path = folder / f"{number:06d}{_suffix(content)}"
        if not path.is_file() or path.read_bytes() != content:
            write_whole(path, content)
        gatherer.add(Entry(path, name, split), where)


def _rows(files: Sequence["ParquetFile"]) -> Iterator[tuple[bytes | None, int | None]]:
    for file in files:
        for batch in file.iter_batches(batch_size=64, columns=["image", "labels"]):
            rows: list[dict[str, Any]] = batch.to_pylist()
            for row in rows:
                yield (row["image"] or {}).get("bytes"), row["labels"]


def _suffix(content: bytes) -> str:
    try:
        return _SUFFIXES.get(kind_of(content), "")
    except MediaError:
        return ""
