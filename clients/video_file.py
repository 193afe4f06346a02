"""Writes annotated frames to an MP4 file."""

from collections.abc import Iterable
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import Any

from clients.annotation import Caption, annotated
from clients.playback import Frame

TICK = Fraction(1, 1000)
"""Frames keep their times to the millisecond, at whatever rate they come."""
QUALITY = {"crf": "21", "preset": "veryfast"}


def write_video(path: Path, frames: Iterable[tuple[Frame, Caption]]) -> None:
    """Draws and writes the frames as they come; the file appears when the last is in it.

    Raises ValueError where there is no frame, OSError where nothing can be written.
    """
    import av

    partial = path.with_name(f".{path.name}.partial")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with closing(av.open(str(partial), "w", format="mp4")) as container:
            _encode(container, frames)
        partial.rename(path)
    finally:
        partial.unlink(missing_ok=True)


def _encode(container: Any, frames: Iterable[tuple[Frame, Caption]]) -> None:
    import av

    stream: Any = None
    last = -1
    for frame, caption in frames:
        pixels = annotated(frame, caption)  # (H, W, 3)
        if stream is None:
            stream = container.add_stream("libx264", rate=30, options=QUALITY)
            stream.height, stream.width = pixels.shape[:2]
            stream.pix_fmt = "yuv420p"
            stream.codec_context.time_base = TICK
        shown = av.VideoFrame.from_ndarray(pixels, "rgb24")
        shown = shown.reformat(stream.width, stream.height, "yuv420p")
        last = max(last + 1, round(frame.time / TICK))
        shown.pts, shown.time_base = last, TICK
        container.mux(stream.encode(shown))
    if stream is None:
        raise ValueError("There is no frame to draw on.")
    container.mux(stream.encode())
