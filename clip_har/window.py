"""The last frames of a stream or a long video, as the temporal module reads them: embeddings.

T frames of a full window, t of them so far, N frames that are encoded at once, S side of the
model's input, D embedding, K classes.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from clip_har.calls import Ask
from clip_har.config import Config
from clip_har.contract import CLASSIFIER_TEMPORAL, TEMPORAL, VISION_ENCODER, ServedModel
from clip_har.place import Place, place_from_text
from clip_har.preprocess import Pixels

Floats = NDArray[np.float32]


class WindowSettings(Config):
    """How windows are made, and which models look at them."""

    frames: int = Field(gt=0)
    """T, frames of a full window."""
    image_size: int = Field(gt=0)
    """S, side of the model's input in pixels."""
    frame_rate: float = Field(gt=0)
    """Frames a second."""
    stride: int = Field(gt=0)
    """Frames from one window that is classified to the next."""
    call_vision_encoder: str
    """Which vision encoder to call, MODEL/VERSION."""
    call_temporal: str
    """Which temporal module to call, MODEL/VERSION."""
    call_classifier_temporal: str
    """Which classifier to call, MODEL/VERSION."""

    @property
    def places(self) -> dict[ServedModel, Place]:
        """Where the called models are served; raises ValueError for what is no MODEL/VERSION."""
        return {
            VISION_ENCODER: place_from_text(self.call_vision_encoder),
            TEMPORAL: place_from_text(self.call_temporal),
            CLASSIFIER_TEMPORAL: place_from_text(self.call_classifier_temporal),
        }


class EmbeddedClip(NamedTuple):
    """What the temporal module reads of a clip."""

    embeddings: Floats
    """(t, D), oldest first."""
    times: Floats
    """Seconds since the first frame: (t,)."""


class Window:
    """The latest frames: an older one leaves when a newer one comes."""

    def __init__(self, frames: int) -> None:
        """`frames` is T."""
        self._frames: deque[tuple[float, Floats]] = deque(maxlen=frames)

    def add(self, time: float, embedding: Floats) -> None:
        """Takes a frame: its seconds in the stream, later than those before, and (D,)."""
        self._frames.append((time, embedding))

    def __len__(self) -> int:
        """t, the frames so far."""
        return len(self._frames)

    def clip(self) -> "EmbeddedClip":
        """What it holds now."""
        first = self._frames[0][0]
        times = np.array([time - first for time, _ in self._frames], np.float32)
        return EmbeddedClip(np.stack([embedding for _, embedding in self._frames]), times)


def encoded(frames: Sequence[Pixels], ask: Ask) -> Floats:
    """Frames (S, S, 3) as unit embeddings (N, D): one request, in which each is a clip of one."""
    return ask(VISION_ENCODER, np.stack(frames)[:, None])[:, 0]  # (N, 1, S, S, 3) -> (N, 1, D)


def classified(clips: Sequence[EmbeddedClip], ask: Ask) -> list[Floats]:
    """Probabilities (K,) of each clip, in their order. Clips of equal length share a request."""
    alike: defaultdict[int, list[int]] = defaultdict(list)
    for place, clip in enumerate(clips):
        alike[len(clip.times)].append(place)
    told: dict[int, Floats] = {}
    for places in alike.values():
        embeddings = np.stack([clips[place].embeddings for place in places])  # (B, t, D)
        times = np.stack([clips[place].times for place in places])  # (B, t)
        pooled = ask(TEMPORAL, embeddings, times)  # (B, D)
        told |= zip(places, ask(CLASSIFIER_TEMPORAL, pooled), strict=True)  # (B, K)
    return [told[place] for place in range(len(clips))]
