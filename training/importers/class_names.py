"""Class names of a published data set: their order, and what its lists call them."""

import csv
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from clip_har.labels import words
from training.importers.listing import numbered_lines


@dataclass(frozen=True, slots=True)
class ClassNames:
    """The classes of a data set."""

    of_name: Mapping[str, str]
    """Published names to names in words, in the publisher's order."""
    of_number: Mapping[int, str] = field(default_factory=dict[int, str])
    """Published numbers to names in words. Empty where classes have none."""

    @property
    def names(self) -> tuple[str, ...]:
        """The names in words, in the publisher's order."""
        return tuple(self.of_name.values())

    def find(self, text: str) -> str | None:
        """The class that a list calls so, by number or by name; None where there is none."""
        if self.of_number and text.isdecimal():
            return self.of_number.get(int(text))
        return self.of_name.get(text)


def class_names(published: Iterable[str], where: str) -> ClassNames:
    """Classes by their published names, in the order given.

    Raises ValueError where a name is empty, or where two are the same in words.
    """
    of_name: dict[str, str] = {}
    for name in published:
        spoken = words(name)
        if not spoken or spoken in of_name.values():
            raise ValueError(
                f"{where}: the class name {name!r} is empty or occurs twice. Names must differ in "
                "more than capitals, blanks and underscores."
            )
        of_name[name] = spoken
    return ClassNames(of_name)


def numbered_class_names(published: Iterable[tuple[int, str]], where: str) -> ClassNames:
    """Classes by their published numbers and names, in the order of the numbers.

    Raises ValueError like `class_names`, and for a number that occurs twice.
    """
    pairs = sorted(published)
    classes = class_names((name for _, name in pairs), where)
    of_number = {number: classes.of_name[name] for number, name in pairs}
    if len(of_number) < len(pairs):
        raise ValueError(f"{where}: two classes have the same number.")
    return ClassNames(classes.of_name, of_number)


def class_names_from_file(path: Path) -> ClassNames:
    """Reads a file of class names: CSV `id,name`, JSON by number or by name, or a name a line.

    Raises ValueError where it is none of these.
    """
    if path.suffix == ".json":
        return numbered_class_names(_pairs_from_json(path), str(path))
    lines = [line for _, line in numbered_lines(path)]
    if not re.match(r"(id|\d+)\s*,", lines[0], re.IGNORECASE):
        return numbered_class_names(enumerate(lines), str(path))
    rows = [row for row in csv.reader(lines) if row[0].strip().lower() != "id"]
    if bad := [row for row in rows if len(row) < 2 or not row[0].strip().isdecimal()]:
        raise ValueError(f"{path}: expected `id,name` on each line, found {','.join(bad[0])!r}.")
    return numbered_class_names(((int(row[0]), row[1].strip()) for row in rows), str(path))


def _pairs_from_json(path: Path) -> list[tuple[int, str]]:
    expected = f'{path}: expected {{"0": "name", ...}} or {{"name": "0", ...}}'
    try:
        table: object = json.loads(path.read_text(encoding="utf-8-sig"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{expected}, but it cannot be read: {error}.") from error
    if not isinstance(table, dict):
        raise ValueError(f"{expected}, found {type(table).__name__}.")
    pairs = [(str(a), str(b)) for a, b in cast("dict[object, object]", table).items()]
    for named in (pairs, [(b, a) for a, b in pairs]):
        if all(number.isdecimal() for number, _ in named):
            return [(int(number), name) for number, name in named]
    raise ValueError(f"{expected}, found other keys and values.")
