"""Something-Something V2 (videos, JSON lists) and Jester (folders of frames, CSV lists)."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

from clip_har.dataset import SplitName
from training.importers.class_names import ClassNames, class_names, class_names_from_file
from training.importers.listing import (
    Entry,
    Gatherer,
    ImportOptions,
    Listing,
    annotation_files,
    media_folder,
    numbered_lines,
)

JESTER_FPS = 12.0
_LISTS: Mapping[str, SplitName] = {"train": "train", "validation": "val"}


def listing_from_ssv2(source: Path, options: ImportOptions, out: Path) -> Listing:
    """Reads Something-Something V2: its validation split is the test, as its own has no labels.

    Raises ValueError where lists are missing or are not JSON of the published form.
    """
    file = options.labels or annotation_files(source, options, "*labels.json", ["labels"])[0]
    classes = class_names_from_file(file)
    root = media_folder(source, "20bn-something-something-v2")
    gatherer = Gatherer()
    for name, split in _LISTS.items():
        path = annotation_files(source, options, f"*{name}.json", ["labels"])[0]
        for number, clip in enumerate(_clips(path), start=1):
            where = f"{path}:entry {number} (id {clip.get('id')})"
            template = str(clip.get("template", "")).replace("[", "").replace("]", "")
            label = classes.of_name.get(template)
            if label is None or not clip.get("id"):
                gatherer.fault(where, "label", f"{file.name} has no class {template!r}.")
            else:
                gatherer.add(Entry(root / f"{clip['id']}.webm", label, split), where)
    told = "Something-Something V2; its labelled validation split is the test split here."
    return gatherer.listing("ssv2", told, classes.names, options)


def listing_from_jester(source: Path, options: ImportOptions, out: Path) -> Listing:
    """Reads Jester: folders of frames, `id;label` lists; its validation split is the test.

    Raises ValueError where lists are missing.
    """
    file = options.labels or annotation_files(source, options, "*labels.csv")[0]
    classes = class_names((line for _, line in numbered_lines(file)), str(file))
    root, fps = media_folder(source, "20bn-jester-v1"), options.fps or JESTER_FPS
    gatherer = Gatherer()
    for name, split in _LISTS.items():
        path = annotation_files(source, options, f"*{name}.csv")[0]
        for where, clip, label in _gestures(path, classes, gatherer):
            gatherer.add(Entry(root / clip, label, split, fps=fps), where)
    told = "Jester; its labelled validation split is the test split here."
    return gatherer.listing("jester", told, classes.names, options)


def _gestures(
    path: Path, classes: ClassNames, gatherer: Gatherer
) -> Iterator[tuple[str, str, str]]:
    """Where a clip is listed, its id and its label."""
    for where, line in numbered_lines(path):
        clip, _, name = line.partition(";")
        label = classes.of_name.get(name)
        if label is None:
            gatherer.fault(where, "label", f"Expected `id;label`, found {line!r}.")
        else:
            yield where, clip, label


def _clips(path: Path) -> list[Mapping[str, object]]:
    expected = f'{path}: expected a list of {{"id", "template", ...}}'
    try:
        clips: object = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{expected}, but it cannot be read: {error}.") from error
    if not isinstance(clips, list) or not all(isinstance(one, dict) for one in clips):
        raise ValueError(f"{expected}, found something else.")
    return cast("list[Mapping[str, object]]", clips)
