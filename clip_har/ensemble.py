"""Several voices as one: which probabilities are summed, and how much each counts."""

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


def ensemble_from_folder(folder: Path) -> Ensemble:
    """Reads what `python -m training train` wrote; raises ValueError where it is missing."""
    return Ensemble.from_json(folder / ENSEMBLE_FILE)
