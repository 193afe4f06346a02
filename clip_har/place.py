"""Where one model finds another that it calls inside the server.

An ensemble names its steps in config.pbtxt. A Python model has a parameter `call_MODEL` for each
model that it calls, which `builder publish` points at the version that belongs to the caller.
"""

from dataclasses import dataclass

CALL = "call_"
"""How the name of such a parameter begins; the name of the called model follows."""
NEWEST = -1


@dataclass(frozen=True, slots=True)
class Place:
    """Where a model is served."""

    model: str
    """Folder of the repository."""
    version: int
    """Folder in that folder; -1 is the newest."""

    def __str__(self) -> str:
        return f"{self.model}/{self.version}"


def place_from_text(text: str) -> Place:
    """Reads MODEL/VERSION, such as `text_encoder/-1`; raises ValueError for anything else."""
    model, _, digits = text.rpartition("/")
    try:
        version = int(digits)
    except ValueError:
        version = 0
    if not model or not (version > 0 or version == NEWEST):
        raise ValueError(
            f"{text!r} names no model: expected MODEL/VERSION, such as text_encoder/{NEWEST}."
        )
    return Place(model, version)
