"""Colours of classes, told apart by most eyes, the same on a video and in a picture."""

from collections.abc import Iterable

Colour = tuple[int, int, int]

COLOURS: tuple[Colour, ...] = (
    (86, 180, 233),
    (230, 159, 0),
    (0, 158, 115),
    (204, 121, 167),
    (240, 228, 66),
    (213, 94, 0),
    (0, 114, 178),
    (152, 152, 152),
)
"""Okabe and Ito's."""


def colours_of(labels: Iterable[str]) -> dict[str, Colour]:
    """A colour for each label, in the order in which they first come; after eight, again."""
    seen = dict.fromkeys(labels)
    return {label: COLOURS[place % len(COLOURS)] for place, label in enumerate(seen)}
