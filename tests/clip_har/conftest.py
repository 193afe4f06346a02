"""Media made in memory. Frame i of a movie is grey of level `grey(i)`, its top left quarter red."""

import io
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import pytest
from numpy.typing import NDArray

RED = (220, 30, 30)


def grey(index: int) -> int:
    return 20 + 9 * index


def drawn(index: int, width: int, height: int) -> NDArray[np.uint8]:
    frame = np.full((height, width, 3), grey(index), np.uint8)
    frame[: height // 2, : width // 2] = RED
    return frame


def make_movie(
    frames: int = 20,
    *,
    container: str = "mp4",
    codec: str = "libx264",
    size: tuple[int, int] = (64, 48),
    times: Sequence[int] | None = None,
    rate: int = 10,
    options: dict[str, str] | None = None,
    turn: tuple[float, bool, bool] | None = None,
    title: str = "",
    draw: Callable[[int, int, int], NDArray[np.uint8]] = drawn,
) -> bytes:
    """A video; `times` are presentation times in hundredths of a second for a variable rate."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        output.metadata["title"] = title
        stream = output.add_stream(codec, rate=rate, options={"crf": "10"} | (options or {}))
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        stream.bit_rate = 2_000_000
        if turn:
            stream.set_display_rotation(turn[0], hflip=turn[1], vflip=turn[2])
        if times:
            stream.time_base = stream.codec_context.time_base = Fraction(1, 100)
        for index in range(frames):
            frame = av.VideoFrame.from_ndarray(draw(index, *size), "rgb24")
            frame.pts = times[index] if times else index
            frame.time_base = Fraction(1, 100) if times else Fraction(1, rate)
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


def make_sound(container: str = "mp4") -> bytes:
    import av

    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        output.mux(stream.encode(frame))
        output.mux(stream.encode())
    return file.getvalue()


@pytest.fixture(scope="session")
def movie() -> Callable[..., bytes]:
    return make_movie


@pytest.fixture(scope="session")
def sound() -> bytes:
    return make_sound()
