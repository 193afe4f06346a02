"""What the stages before the server say about some clips, to hold a live server against."""

from collections.abc import Mapping

from pydantic import Field

from clip_har.config import Config

REFERENCE_FILE = "reference.json"


class Answers(Config):
    """What the stages before the server say about a clip."""

    torch: tuple[float, ...]
    """Probabilities of the trained model, K."""
    onnx: tuple[float, ...]
    """Probabilities of the exported graphs, K."""


class ReferenceClip(Config):
    """One clip with its answers."""

    path: str
    """Where it is, relative to the data set."""
    sha256: str
    """Hash of its bytes."""
    models: Mapping[str, Answers] = Field(min_length=1)
    """Answers by the name of the served model."""


class BuilderError(Config):
    """What the builder measured between its own stages."""

    torch_onnx: float
    """Largest difference of probabilities between the trained model and its graphs."""


class Reference(Config):
    """The reference file that a build writes beside its repository."""

    max_abs_error: BuilderError
    """The builder's own comparison."""
    clips: tuple[ReferenceClip, ...] = Field(min_length=1)
    """The clips that it compared on."""
