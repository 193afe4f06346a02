"""Sends what a player shows to a live stream."""

import io
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clients.errors import InvalidMedia, ServerOverloaded
from clients.playback import Frame
from clients.recognizer import Recognizer
from clients.results import Recognition

JPEG_QUALITY = 90
MOST_LATE = 1.0
"""A frame that is shown this many seconds after its time is not sent, to catch up."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A frame, and what is known when it is shown."""

    frame: Frame
    """The frame."""
    recognition: Recognition | None
    """The latest answer, None before the first."""
    fresh: bool
    """Whether it is the answer to this frame."""


@dataclass(frozen=True, slots=True)
class LiveSettings:
    """What is asked of a live stream."""

    model: str
    """Served model."""
    top_k: int
    """Classes in an answer."""
    rate: float
    """Frames that are sent in a second of the video."""


def seen_live(
    recognizer: Recognizer,
    frames: Iterable[Frame],
    settings: LiveSettings,
    warn: Callable[[str], None],
) -> Generator[Seen]:
    """Every frame, `rate` of them a second with an answer of their own.

    A frame that the server refuses is told of and left out, and the stream goes on.
    """
    pace = _Pace(settings.rate)
    last: Recognition | None = None
    with recognizer.stream(settings.model, settings.top_k) as stream:
        for frame in frames:
            fresh = pace.is_due(frame)
            if fresh:
                try:
                    last = stream.send(_jpeg(frame.pixels), frame.time)
                except (InvalidMedia, ServerOverloaded) as error:
                    warn(str(error))
                    fresh = False
            yield Seen(frame, last, fresh)


class _Pace:
    """Which frames are sent."""

    def __init__(self, rate: float) -> None:
        self._step = 1 / rate
        self._due = 0.0
        self._start: float | None = None

    def is_due(self, frame: Frame) -> bool:
        """True for the first frame at or after each step of time, unless it is late."""
        now = time.monotonic()
        self._start = now - frame.time if self._start is None else self._start
        late = now - self._start - frame.time > MOST_LATE
        if frame.time < self._due - 1e-6 or late:
            return False
        self._due = max(self._due + self._step, frame.time)
        return True


def _jpeg(pixels: NDArray[np.uint8]) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
