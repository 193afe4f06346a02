"""Shapes that a plan is made for, checked against its graph: the library says little about them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from builder.engines.engine import EngineRefusedError, Range


@dataclass(frozen=True, slots=True)
class GraphInput:
    """One input of a graph."""

    name: str
    """Name of the tensor."""
    shape: tuple[int, ...]
    """Its axes, -1 where dynamic."""
    axes: tuple[str, ...]
    """Names of the axes, empty where there is none."""


def check_ranges(inputs: Iterable[GraphInput], ranges: Mapping[str, Range]) -> None:
    """Raises EngineRefusedError that names every mistake.

    Each input has a range of its rank that rises, keeps the axes that the graph fixes, and agrees
    with the others on axes of one name, such as the batch.
    """
    tensors = list(inputs)
    names = [tensor.name for tensor in tensors]
    if set(names) != set(ranges):
        raise EngineRefusedError(
            f"ranges are given for {', '.join(sorted(ranges)) or 'nothing'}, but the graph's "
            f"inputs are {', '.join(names)}. Give one range for each input."
        )
    mistakes = [text for tensor in tensors for text in _mistakes(tensor, ranges[tensor.name])]
    if mistakes := mistakes or _disagreements(tensors, ranges):
        raise EngineRefusedError("\n".join(mistakes))


def _mistakes(tensor: GraphInput, wanted: Range) -> list[str]:
    shapes = (wanted.least, wanted.usual, wanted.most)
    if any(len(shape) != len(tensor.shape) for shape in shapes):
        shown = " to ".join(str(shape) for shape in shapes)
        return [
            f"{tensor.name}: the range {shown} has not the {len(tensor.shape)} axes of the graph's "
            f"{tensor.shape}."
        ]
    found: list[str] = []
    for place, (size, *sizes) in enumerate(zip(tensor.shape, *shapes, strict=True)):
        if size >= 0 and set(sizes) != {size}:
            found.append(
                f"{tensor.name}: axis {place} is {size} in the graph, and the range says "
                f"{_shown(sizes)}."
            )
        elif not 0 < sizes[0] <= sizes[1] <= sizes[2]:
            found.append(
                f"{tensor.name}: axis {place} has the sizes {_shown(sizes)}, which must rise from "
                "1 or more: least, usual, most."
            )
    return found


def _disagreements(tensors: Iterable[GraphInput], ranges: Mapping[str, Range]) -> list[str]:
    seen: dict[str, tuple[str, tuple[int, ...]]] = {}
    found: list[str] = []
    for tensor in tensors:
        wanted = ranges[tensor.name]
        sizes = zip(wanted.least, wanted.usual, wanted.most, strict=True)
        for axis, here in zip(tensor.axes, sizes, strict=True):
            first, there = seen.setdefault(axis, (tensor.name, here))
            if axis and here != there:
                found.append(
                    f"the axis {axis!r} has the sizes {_shown(here)} in {tensor.name} and "
                    f"{_shown(there)} in {first}: it is one axis and needs one range."
                )
    return found


def _shown(sizes: Iterable[int]) -> str:
    return ", ".join(str(size) for size in sizes)
