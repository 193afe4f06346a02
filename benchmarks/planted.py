"""A video of clips one after another, so that it is known what happens when."""

import io
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from clip_har.dataset import Clip

FPS, SIDE = 12, 112


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
    import av

    draw = random.Random(seed)
    file, stretches, count = io.BytesIO(), [], 0
    with av.open(file, "w", format="mp4") as output:
        options = {"crf": "28", "preset": "veryfast"}
        stream = output.add_stream("libx264", rate=FPS, options=options)
        stream.width = stream.height = SIDE
        while count < minutes * 60 * FPS:
            last = stretches[-1].label if stretches else None
            clip = draw.choice([one for one in clips if one.label != last])
            pictures = _pictures(data / clip.path)
            start, length = count, round(draw.uniform(8, 20) * FPS)
            for number in range(length):
                frame = av.VideoFrame.from_ndarray(pictures[number % len(pictures)], "rgb24")
                frame.pts, frame.time_base = count, Fraction(1, FPS)
                output.mux(stream.encode(frame))
                count += 1
            stretches.append(Stretch(start / FPS, count / FPS, clip.label))
        output.mux(stream.encode())
    return file.getvalue(), stretches


def _pictures(path: Path) -> list[Any]:
    import av

    with av.open(path) as video:
        return [frame.to_ndarray(format="rgb24") for frame in video.decode(video=0)]
