"""What comes back from a server."""

from dataclasses import dataclass

from clip_har.labels import Prediction


@dataclass(frozen=True, slots=True)
class Recognition:
    """What the server saw in one piece of media."""

    model: str
    """Name of the model that answered."""
    predictions: tuple[Prediction, ...]
    """The most probable classes or texts, best first."""
    latency_ms: float
    """Time from sending the request to having its answer, in which it may have waited to be sent
    again.
    """

    @property
    def best(self) -> Prediction:
        """The most probable one."""
        return self.predictions[0]


@dataclass(frozen=True, slots=True)
class Segment:
    """A part of a video in which one action is seen."""

    start: float
    """Seconds from the beginning of the video."""
    end: float
    """Seconds from the beginning of the video."""
    label: str
    """Class name of the action."""
    index: int
    """Its place in the model's outputs."""
    score: float
    """Its probability in [0, 1]."""
