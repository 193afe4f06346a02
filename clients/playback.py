"""Frames of a file, a camera or a network stream, as a player shows them."""

import time
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clip_har.kinds import PICTURE_SUFFIXES

CAMERA = "/dev/video"
"""What the path of a webcam begins with on Linux."""
NETWORK = ("rtsp://", "rtsps://")
OPEN_SECONDS, READ_SECONDS = 10.0, 10.0
"""Longest waits for a camera or a network stream."""
STILL_SECONDS = 3.0
"""How long a picture is shown."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame."""

    time: float
    """When it is shown, in seconds from the first."""
    pixels: NDArray[np.uint8]
    """(H, W, 3), RGB, upright."""


def is_live(source: str) -> bool:
    """True for a camera or a network stream, whose frames come when they like."""
    return source.startswith((CAMERA, *NETWORK))


def frames_of_file(path: Path) -> Iterator[Frame]:
    """All frames of a video, or a picture for a few seconds.

    Raises ValueError if it cannot be read.
    """
    if path.suffix.lower() in PICTURE_SUFFIXES - {".gif", ".webp"}:
        from PIL import Image, ImageOps

        with Image.open(path) as image:
            pixels = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        yield Frame(0.0, pixels)
        yield Frame(STILL_SECONDS, pixels)
        return
    yield from frames_of_source(str(path))


def frames_of_source(source: str) -> Generator[Frame]:
    """The frames of a file, a camera or an RTSP address, as fast as they come.

    Raises ValueError if it cannot be opened or read.
    """
    with _opened(source) as container:
        if not container.streams.video:
            raise ValueError(f"{source}: it has no video.")
        first: float | None = None
        for decoded in container.decode(video=0):
            seconds = float(decoded.time or 0.0)
            first = seconds if first is None else first
            pixels = np.rot90(decoded.to_ndarray(format="rgb24"), decoded.rotation // 90)
            yield Frame(seconds - first, np.ascontiguousarray(pixels))


def length_of_file(path: Path) -> float:
    """Seconds of a video, as its container says; 0 where it does not."""
    import av

    with _opened(str(path)) as container:
        return float(container.duration or 0) / av.time_base


def in_real_time(frames: Iterable[Frame]) -> Iterator[Frame]:
    """The frames of a file, each at its time or as soon after it as it is wanted."""
    start = time.monotonic()
    for frame in frames:
        time.sleep(max(frame.time - (time.monotonic() - start), 0.0))
        yield frame


@contextmanager
def _opened(source: str) -> Generator[Any]:
    import av
    from av.error import FFmpegError

    settings: dict[str, Any] = {}
    if source.startswith(CAMERA):
        settings = {"format": "v4l2"}
    elif source.startswith(NETWORK):
        settings = {"options": {"rtsp_transport": "tcp"}}
    elif not Path(source).is_file():
        raise ValueError(f"{source}: no such file, camera or rtsp:// address.")
    try:
        with closing(av.open(source, timeout=(OPEN_SECONDS, READ_SECONDS), **settings)) as opened:
            yield opened
    except FFmpegError as error:
        raise ValueError(f"{source}: cannot be read: {error.strerror}.") from error
