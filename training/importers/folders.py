"""Class folders: `SPLIT/LABEL/file`, or `LABEL/file` where there are no splits."""

from collections.abc import Mapping
from pathlib import Path

from clip_har.dataset import SplitName
from training.importers.class_names import class_names
from training.importers.listing import Entry, Gatherer, ImportOptions, Listing

SPLITS: Mapping[str, SplitName] = {
    "train": "train",
    "val": "val",
    "validation": "val",
    "test": "test",
}
_CLUTTER = ("thumbs.db", "desktop.ini")


def listing_from_folders(source: Path, options: ImportOptions, out: Path) -> Listing:
    """Reads class folders of videos and pictures; hidden files are passed over.

    Raises ValueError where there are no class folders.
    """
    gatherer = Gatherer()
    classes = _class_folders(source, out, gatherer)
    if not classes:
        raise ValueError(
            f"{source}: holds no class folders. Expected LABEL/file, or SPLIT/LABEL/file with the "
            "splits train, val and test, such as train/walking/0001.mp4."
        )
    named = class_names(sorted({folder.name for folder, _ in classes}), str(source))
    for folder, split in classes:
        for path in _visible(folder):
            if path.is_dir():
                why = "A folder in a class folder is not read: put the files beside each other."
                gatherer.fault(str(path), "undecodable", why)
            else:
                entry = Entry(path, named.of_name[folder.name], split)
                gatherer.add(entry, str(path))
    return gatherer.listing(source.name, "Class folders of a user.", named.names, options)


def _class_folders(source: Path, out: Path, gatherer: Gatherer) -> list[tuple[Path, SplitName]]:
    top = [path for path in _visible(source) if path.is_dir() and path != out]
    splits = [path for path in top if path.name.lower() in SPLITS]
    if not any(SPLITS[path.name.lower()] == "train" for path in splits):
        return [(path, "train") for path in top]
    for path in set(top) - set(splits):
        why = f"Beside the folder of a split, {path.name!r} is none: train, val or test."
        gatherer.fault(str(path), "label", why)
    return [
        (folder, SPLITS[path.name.lower()])
        for path in splits
        for folder in _visible(path)
        if folder.is_dir()
    ]


def _visible(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".") and path.name.lower() not in _CLUTTER
    ]
