"""Several voices as one: which probabilities are summed, and how much each counts."""

from collections.abc import Collection
from pathlib import Path
from typing import Literal

from pydantic import Field

from clip_har.config import Config

ENSEMBLE_FILE = "ensemble.json"


class EnsembleMember(Config):
    """One voice."""

    name: str
    """What people call it."""
    checkpoint: str
    """Folder of its checkpoint, beside the ensemble's file."""
    reads: Literal["head", "text"]
    """Whether it answers by its classification head or by the texts of the classes."""
    temperature: float = Field(gt=0)
    """Divides its logits before the softmax; fitted on validation."""
    weight: float = Field(ge=0, le=1)
    """Share of its probabilities in the sum; fitted on validation."""


class Ensemble(Config):
    """A weighted sum of probabilities over the same classes."""

    members: tuple[EnsembleMember, ...] = Field(min_length=1)
    """Its voices; their weights sum to 1."""


def ensemble_of(folder: Path, checkpoints: Collection[str]) -> Ensemble | None:
    """What `python -m training train` wrote beside these checkpoints; None where it wrote none.

    Raises ValueError where a member's checkpoint is not among them.
    """
    file = folder / ENSEMBLE_FILE
    if not file.is_file():
        return None
    ensemble = Ensemble.from_json(file)
    if missing := sorted({member.checkpoint for member in ensemble.members} - {*checkpoints}):
        raise ValueError(
            f"{file}: its members need the checkpoints {', '.join(missing)}, but beside it are "
            f"{', '.join(sorted(checkpoints))}. Train the run again, or delete the file to go on "
            "without an ensemble."
        )
    return ensemble
