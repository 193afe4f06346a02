"""Live streams: frames of several cameras come one by one, each is answered for its window so far.

K classes, N frames that are answered together.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import Field

from clip_har.calls import Ask
from clip_har.limits import Limits, MediaError
from clip_har.media import pixels_from_picture
from clip_har.preprocess import Pixels
from clip_har.window import Floats, Window, WindowSettings, classified, encoded

StreamId = int | str


class StreamError(ValueError):
    """A frame that does not fit its stream. The message is meant for the sender."""


class StreamSettings(WindowSettings):
    """All that streams can be told: the parameters of har_stream's config.pbtxt."""

    max_gap_seconds: float = Field(gt=0)
    """Longest time between two frames of a stream."""
    max_streams: int = Field(gt=0)
    """Most streams that are under way at once."""
    max_bytes: int = Field(gt=0)
    """Largest frame in bytes."""
    max_pixels: int = Field(gt=0)
    """Most pixels (width times height) of a frame."""
    max_aspect: int = Field(gt=0)
    """Most times that the longer side of a frame may be its shorter side."""

    @property
    def limits(self) -> Limits:
        """What one frame may cost."""
        return Limits(
            max_bytes=self.max_bytes, max_pixels=self.max_pixels, max_aspect=self.max_aspect
        )


@dataclass(frozen=True, slots=True)
class Arrival:
    """One frame as it was sent."""

    stream: StreamId
    """Which stream it belongs to."""
    picture: bytes
    """An encoded picture."""
    starts: bool = False
    """Whether it is the first of its stream."""
    ends: bool = False
    """Whether it is the last of its stream."""
    time: object = None
    """Seconds on the sender's clock, None where the sender does not say."""


@dataclass(slots=True)
class Stream:
    """One stream under way."""

    window: Window
    """Its latest frames."""
    touched: float
    """When a frame of it last came, by the server's clock."""
    time: float | None = None
    """Seconds of its last frame, by its own clock; None before the first."""
    seen: int = 0
    """Frames that its windows were made of."""
    answer: Floats | None = None
    """The last probabilities (K,)."""


class Streams:
    """All streams under way: bounded in number and in age, and none sees another's frames."""

    def __init__(
        self,
        settings: StreamSettings,
        idle_seconds: float,
        ask: Ask,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A stream ends by itself when no frame of it comes for `idle_seconds`."""
        self._settings = settings
        self._limits = settings.limits
        self._idle_seconds = idle_seconds
        self._ask = ask
        self._clock = clock
        self._streams: dict[StreamId, Stream] = {}

    def __len__(self) -> int:
        """Streams under way."""
        return len(self._streams)

    def answers(self, arrivals: Sequence[Arrival]) -> list[Floats | Exception]:
        """Probabilities (K,) for each frame, or the StreamError or MediaError that its sender gets.

        Raises whatever `ask` raises: no frame is answered then.
        """
        self._drop_idle()
        told: dict[int, Floats | Exception] = {}
        for round_ in _rounds(arrivals):
            told |= self._answered(round_)
        return [told[place] for place in range(len(arrivals))]

    def _drop_idle(self) -> None:
        oldest = self._clock() - self._idle_seconds
        for key in [key for key, one in self._streams.items() if one.touched < oldest]:
            del self._streams[key]

    def _answered(self, arrivals: Mapping[int, Arrival]) -> dict[int, Floats | Exception]:
        told: dict[int, Floats | Exception] = {}
        seen: dict[int, tuple[Stream, Pixels]] = {}
        for place, arrival in arrivals.items():
            try:
                seen[place] = self._seen(arrival)
            except (StreamError, MediaError) as error:
                told[place] = error
        try:
            answers = self._classified(list(seen.values())) if seen else []
        finally:
            for arrival in arrivals.values():
                if arrival.ends:
                    self._streams.pop(arrival.stream, None)
        return told | dict(zip(seen, answers, strict=True))

    def _seen(self, arrival: Arrival) -> tuple[Stream, Pixels]:
        """Notes a frame's time, and decodes it: a bad picture takes time too."""
        stream = self._begun(arrival.stream) if arrival.starts else self._known(arrival.stream)
        stream.touched = self._clock()
        stream.time = self._time(arrival, stream.time)
        size = self._settings.image_size
        return stream, pixels_from_picture(arrival.picture, size, self._limits)

    def _begun(self, key: StreamId) -> Stream:
        if key in self._streams:
            raise StreamError(
                f"Stream {key} is under way already: end it with sequence_end, wait "
                f"{self._idle_seconds:g} s until it ends by itself, or start one of another id."
            )
        if len(self._streams) >= self._settings.max_streams:
            raise StreamError(
                f"{len(self._streams)} streams are under way, the limit (max_streams): end one "
                "with sequence_end, and start this one again."
            )
        self._streams[key] = Stream(Window(self._settings.frames), self._clock())
        return self._streams[key]

    def _known(self, key: StreamId) -> Stream:
        if key not in self._streams:
            raise StreamError(
                f"Stream {key} is not under way: it was never started, has ended, or was idle for "
                f"more than {self._idle_seconds:g} s. Begin with sequence_start."
            )
        return self._streams[key]

    def _time(self, arrival: Arrival, last: float | None) -> float:
        """Seconds of a frame whose predecessor was at `last`."""
        if arrival.time is None:
            return 0.0 if last is None else last + 1 / self._settings.frame_rate
        time = _seconds(arrival)
        if last is None:
            return time
        if time <= last:
            raise StreamError(
                f"Stream {arrival.stream}: the frame of {time:g} s came after that of {last:g} s. "
                "Send frames in order, each once, and leave out one that is late."
            )
        if time - last > self._settings.max_gap_seconds:
            del self._streams[arrival.stream]
            raise StreamError(
                f"Stream {arrival.stream}: no frame for {time - last:g} s, but the limit is "
                f"{self._settings.max_gap_seconds:g} s (max_gap_seconds): its window would join "
                "what does not belong together. Start it again with sequence_start."
            )
        return time

    def _classified(self, seen: Sequence[tuple[Stream, Pixels]]) -> list[Floats]:
        streams = [stream for stream, _ in seen]
        embeddings = encoded([pixels for _, pixels in seen], self._ask)  # (N, D)
        for stream, embedding in zip(streams, embeddings, strict=True):
            assert stream.time is not None, "a frame that was seen has a time"
            stream.window.add(stream.time, embedding)
            stream.seen += 1
        due = [
            stream
            for stream in streams
            if stream.answer is None or (stream.seen - 1) % self._settings.stride == 0
        ]
        for stream, answer in zip(
            due, classified([stream.window.clip() for stream in due], self._ask), strict=True
        ):
            stream.answer = answer
        return [stream.answer for stream in streams if stream.answer is not None]


def _rounds(arrivals: Sequence[Arrival]) -> list[dict[int, Arrival]]:
    """Arrivals by their place, so that no round has two of one stream."""
    rounds: list[dict[int, Arrival]] = []
    before: Counter[StreamId] = Counter()
    for place, arrival in enumerate(arrivals):
        if before[arrival.stream] == len(rounds):
            rounds.append({})
        rounds[before[arrival.stream]][place] = arrival
        before[arrival.stream] += 1
    return rounds


def _seconds(arrival: Arrival) -> float:
    try:
        seconds = float(str(arrival.time))
    except ValueError:
        seconds = math.nan
    if not math.isfinite(seconds):
        raise StreamError(
            f"Stream {arrival.stream}: the parameter time is {arrival.time!r}, expected seconds "
            "such as 12.4."
        )
    return seconds
