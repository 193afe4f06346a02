"""Class names: their order, the sentences made of them, and rankings by score."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_SEAMS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|[_\s]+")
"""Where one word of a name ends: before a capital, at an underscore, at a blank."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """One class with its score."""

    label: str
    """Class name."""
    index: int
    """Its place in the model's outputs."""
    score: float
    """Probability in [0, 1]."""


def rank(probabilities: Sequence[float], labels: Sequence[str], top_k: int) -> list[Prediction]:
    """The `top_k` most probable classes, best first; K probabilities, K labels.

    Raises ValueError when there are not as many labels as probabilities.
    """
    if len(probabilities) != len(labels):
        raise ValueError(
            f"{len(probabilities)} probabilities for {len(labels)} labels: "
            "the label file belongs to another model."
        )
    order = sorted(range(len(labels)), key=lambda index: -probabilities[index])
    return [Prediction(labels[i], i, float(probabilities[i])) for i in order[:top_k]]


def sentences(label: str, prompts: Sequence[str]) -> list[str]:
    """Every prompt template with the label put in the place of `{}`."""
    return [prompt.replace("{}", label) for prompt in prompts]


def words(name: str) -> str:
    """A class name as people say it: "ApplyEyeMakeup" is "apply eye makeup", as "brush_hair" is
    "brush hair". Abbreviations such as TV stay, unless the whole name is in capitals.
    """
    parts = _SEAMS.sub(" ", name).split()
    shouted = all(part.isupper() for part in parts)
    return " ".join(
        part if part.isupper() and len(part) > 1 and not shouted else part.lower() for part in parts
    )
