"""A long video as segments: what happens from when to when, told while it is still being decoded.

T frames of a window, S side of the model's input, K classes.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from itertools import groupby, islice
from typing import TypeVar

from pydantic import Field

from clip_har.calls import Ask
from clip_har.container import kind_of
from clip_har.kinds import PICTURES
from clip_har.limits import Limits, MediaError
from clip_har.long_video import LongVideo
from clip_har.picture import Picture
from clip_har.preprocess import pixels_from_image
from clip_har.sampling import centre_frames, regular_frames
from clip_har.segments import Segment, Segmenter
from clip_har.window import (
    EmbeddedClip,
    Floats,
    Window,
    WindowSettings,
    classified,
    encoded,
)

Item = TypeVar("Item")


class TimelineSettings(WindowSettings, Limits):
    """All that timelines can be told: the parameters of har_timeline's config.pbtxt."""

    change_cost: float = Field(ge=0)
    """Logarithm of how many times more probable another action must be to make a segment."""
    min_score: float = Field(gt=0, lt=1)
    """Probability that the best action must reach for anything to be seen."""
    batch: int = Field(gt=0)
    """Most frames that are encoded, and windows that are classified, in one request."""
    threads: int = Field(gt=0)
    """Threads that decode one video."""


def segments_from_video(
    data: bytes, settings: TimelineSettings, ask: Ask, stopped: Callable[[], bool]
) -> Generator[Segment]:
    """The segments of a video or an animation, each as soon as its end is known.

    Decodes once, from the start to the end, and encodes each sampled frame once. Asks `stopped`
    between two batches whether to give up. A video no longer than a window is one window, sampled
    as har_temporal samples it.

    Raises MediaError for a file that cannot be read, is not whole, is a still picture, or is over a
    limit; of a file that is damaged further on, the segments before come first.
    """
    new = min(settings.stride / settings.frames, 1)  # share of a window
    segmenter = Segmenter(settings.change_cost, settings.min_score, new)
    with closing(_opened(data, settings)) as source:
        for centre, probs in _windows(source, settings, ask, stopped):
            yield from segmenter.add(centre, probs)
        if not stopped():
            yield from segmenter.finish(source.timeline.seconds)


def _opened(data: bytes, settings: TimelineSettings) -> Picture | LongVideo:
    settings.check_bytes(len(data))
    kind = kind_of(data)
    if kind not in PICTURES:
        return LongVideo(data, kind, settings, settings.threads)
    picture = Picture(data, kind, settings)
    if picture.still:
        picture.close()
        raise MediaError(
            "The file is a picture, which has no timeline: send a video, or ask har_temporal for "
            "the action in a picture."
        )
    return picture


def _windows(
    source: Picture | LongVideo,
    settings: TimelineSettings,
    ask: Ask,
    stopped: Callable[[], bool],
) -> Iterator[tuple[float, Floats]]:
    """The middle of each window in seconds, and its probabilities (K,)."""
    timeline, length = source.timeline, settings.frames
    indices = regular_frames(timeline, settings.frame_rate)
    step = 1 / settings.frame_rate
    if len(indices) <= length:
        indices = centre_frames(timeline.starts, timeline.end, length)
        step = timeline.seconds / length
    times = iter(timeline.middles(indices))
    shown = [(index, len(list(same))) for index, same in groupby(indices)]
    frames = source.frames([index for index, _ in shown])
    window, seen = Window(length), 0
    for batch in _batches(shown, settings.batch):
        if stopped():
            return
        pixels = [pixels_from_image(next(frames), settings.image_size) for _ in batch]
        due: list[tuple[float, EmbeddedClip]] = []
        for embedding, (_, repeats) in zip(encoded(pixels, ask), batch, strict=True):
            for time in islice(times, repeats):
                window.add(time, embedding)
                seen += 1
                if seen >= length and (seen - length) % settings.stride == 0:
                    due.append(((seen - length / 2) * step, window.clip()))
        for part in _batches(due, settings.batch):
            answers = classified([clip for _, clip in part], ask)
            yield from zip((centre for centre, _ in part), answers, strict=True)


def _batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    return (items[at : at + size] for at in range(0, len(items), size))
