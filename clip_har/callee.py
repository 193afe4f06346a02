"""A model that another one calls inside the server, and which version of it belongs to the caller.

An ensemble names its steps in config.pbtxt; a Python model has a parameter `call_MODEL` for each
model that it calls, which `builder publish` points at the place where that model is served.
"""

from dataclasses import dataclass

CALL = "call_"
"""How the name of such a parameter begins; the name of the model follows."""
NEWEST = -1


@dataclass(frozen=True, slots=True)
class Callee:
    """Where a called model is served."""

    model: str
    """Its folder."""
    version: int
    """Its version; -1 is the newest."""

    def __str__(self) -> str:
        return f"{self.model}/{self.version}"


def callee_from_text(text: str) -> Callee:
    """Reads MODEL/VERSION, such as `text_encoder/-1`; raises ValueError for anything else."""
    model, _, version = text.rpartition("/")
    try:
        number = int(version)
    except ValueError:
        number = 0
    if not model or not (number > 0 or number == NEWEST):
        raise ValueError(
            f"{text!r} is no called model: expected MODEL/VERSION, such as text_encoder/{NEWEST}."
        )
    return Callee(model, number)
