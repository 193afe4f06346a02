"""A video of clips one after another, so that it is known what happens when."""

import io
import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from clip_har.dataset import Clip

FPS, SIDE = 12, 112
SECONDS = (8, 20)
"""Shortest and longest stretch."""


@dataclass(frozen=True)
class Stretch:
    """What happens from when to when."""

    start: float
    """Seconds."""
    end: float
    """Seconds."""
    label: str
    """The action."""


def planted_video(
    data: Path, clips: Sequence[Clip], minutes: float, seed: int
) -> tuple[bytes, list[Stretch]]:
    """An MP4 file, and what was planted in it."""
    drawn = list(_drawn(clips, minutes * 60 * FPS, random.Random(seed)))
    stretches: list[Stretch] = []
    start = 0
    for clip, length in drawn:
        stretches.append(Stretch(start / FPS, (start + length) / FPS, clip.label))
        start += length
    return repeated_clips((data / clip.path, length) for clip, length in drawn), stretches


def repeated_clips(shown: Iterable[tuple[Path, int]]) -> bytes:
    """An MP4 file of clips one after the other, each from its start again for so many frames."""
    import av

    file, count = io.BytesIO(), 0
    with av.open(file, "w", format="mp4") as output:
        options = {"crf": "28", "preset": "veryfast"}
        stream = output.add_stream("libx264", rate=FPS, options=options)
        stream.width = stream.height = SIDE
        for path, length in shown:
            pictures = _pictures(path)
            for number in range(length):
                frame = av.VideoFrame.from_ndarray(pictures[number % len(pictures)], "rgb24")
                frame.pts, frame.time_base = count, Fraction(1, FPS)
                output.mux(stream.encode(frame))
                count += 1
        output.mux(stream.encode())
    return file.getvalue()


def _drawn(clips: Sequence[Clip], frames: float, draw: random.Random) -> Iterator[tuple[Clip, int]]:
    """Clips, and for how many frames each is shown, until there are so many."""
    last, count = None, 0
    while count < frames:
        clip = draw.choice([one for one in clips if one.label != last])
        length = round(draw.uniform(*SECONDS) * FPS)
        yield clip, length
        last, count = clip.label, count + length


def _pictures(path: Path) -> list[Any]:
    import av

    with av.open(path) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
