"""Mirrored clips and their labels: what says left shows right after a horizontal flip."""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

SIDED = ("", "y", "ward", "wards", "most", "hand", "handed", "hander")
DIRECTIONS = frozenset(
    {side + ending for side in ("left", "right") for ending in SIDED}
    | {"clockwise", "anticlockwise", "counterclockwise", "cw", "ccw", "southpaw"}
)
"""Words that a mirror makes wrong. `left-handed` and `counter-clockwise` are two words each."""

WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")


def directed(labels: Sequence[str]) -> list[str]:
    """The labels with a direction among their words, CamelCase and snake_case included."""
    return [label for label in labels if not DIRECTIONS.isdisjoint(_words(label))]


def check_flip_labels(labels: Sequence[str], flip_labels: Mapping[str, str]) -> None:
    """Whether clips of these labels may be mirrored.

    Raises ValueError for a map with labels that do not exist or that is not symmetric, and for
    labels with a direction that the map does not name.
    """
    strangers = sorted({*flip_labels, *flip_labels.values()} - set(labels))
    if strangers:
        raise ValueError(
            f"flip_labels: the data set has no label {_quoted(strangers)}. "
            f"Its labels: {_quoted(labels)}."
        )
    one_way = [f"{b!r} = {a!r}" for a, b in flip_labels.items() if flip_labels.get(b) != a]
    if one_way:
        raise ValueError(
            "flip_labels: a clip that is flipped twice is the clip itself, so every pair must be "
            f"listed both ways. Expected also: {', '.join(one_way)}."
        )
    # One that the map names as its own mirror is settled: "pulling it right out" has no side.
    stuck = [label for label in directed(labels) if label not in flip_labels]
    if stuck:
        raise ValueError(
            f"flip: a mirrored clip would keep a label that names a direction: {_quoted(stuck)}. "
            "Set flip to 0, or give in flip_labels the label that each of them becomes, both ways: "
            "'turning left' = 'turning right' and 'turning right' = 'turning left'. A label that "
            "names no side after all becomes itself: 'standing right up' = 'standing right up'."
        )


def flip_classes(labels: Sequence[str], flip_labels: Mapping[str, str]) -> Tensor:
    """The class that each class becomes in a mirror; most stay what they are, (K,)."""
    return torch.tensor([labels.index(flip_labels.get(label, label)) for label in labels])


def _words(label: str) -> set[str]:
    return {word.lower() for word in WORD.findall(label)}


def _quoted(labels: Sequence[str], most: int = 10) -> str:
    """The first labels of a list that may be long."""
    rest = f" and {len(labels) - most} more" if len(labels) > most else ""
    return ", ".join(repr(label) for label in labels[:most]) + rest
