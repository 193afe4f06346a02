"""Media to measure with, made of the mocap data set, in the sizes that users send.

    python benchmarks/media_set.py build/data/mocap build/media

clips/       64 MP4 files as the data set has them: 112 px, H.264, a second or two
long-clips/  16 MP4 files: 640x360, H.264, 10 s at 30 frames/s, half with a key frame every second
             and half with one every 250 frames, x264's own choice
stills/      64 JPEG files: 1280x720, quality 90

The large ones are the data set's pictures, enlarged, with the grain of a camera: their content says
nothing, but they cost what a user's do. A frame is (H, W, 3).
"""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray

from clip_har.dataset import MANIFEST_FILE, Clip, data_set_from_folder, sample_bytes
from clip_har.media import Limits, clip_from_media
from clip_har.product import file_hash, fingerprint, is_current, record_inputs, staged
from clip_har.progress import progress_bar
from clip_har.sampling import every_frame

Frame = NDArray[np.uint8]
CLIPS, LONG_CLIPS, STILLS = "clips", "long-clips", "stills"
SHORT_COUNT, LONG_COUNT = 64, 16
LONG_SIZE, STILL_SIZE = (640, 360), (1280, 720)  # width, height
SECONDS, RATE = 10, 30
KEY_INTERVALS = (30, 250)
QUALITY = 90
GRAIN = 4.0
"""Standard deviation of the grain, in levels of 255."""

app = typer.Typer(add_completion=False)


@app.command()
def main(
    data: Annotated[Path, typer.Argument(help="Folder of the mocap data set.")],
    out: Annotated[Path, typer.Argument(help="Folder to write.")],
) -> None:
    """Writes the media, or says that they are there."""
    fresh = write_media_set(data, out)
    print(f"{out}: {'written' if fresh else 'up to date'}")


def write_media_set(data: Path, out: Path) -> bool:
    """Writes `out` whole or not at all; False where it is there already.

    Raises ValueError where the data set has too few clips.
    """
    made_from = fingerprint({"data": file_hash(data / MANIFEST_FILE), "code": Path(__file__)})
    if is_current(out, made_from):
        return False
    with staged(out) as folder:
        _write(_spread(data_set_from_folder(data).split("test")), data, folder)
        record_inputs(folder, made_from)
    return True


def _spread(clips: list[Clip]) -> list[Clip]:
    """As many clips as are wanted, of all classes."""
    if len(clips) < SHORT_COUNT:
        raise ValueError(f"{SHORT_COUNT} test clips are needed, but the data set has {len(clips)}.")
    return [clips[i * len(clips) // SHORT_COUNT] for i in range(SHORT_COUNT)]


def _write(clips: list[Clip], data: Path, folder: Path) -> None:
    for name in (CLIPS, LONG_CLIPS, STILLS):
        (folder / name).mkdir()
    grain = _grain()
    for number, clip in enumerate(progress_bar(clips, "media")):
        content = sample_bytes(data, clip)
        frames = clip_from_media(content, every_frame, Limits()).frames
        (folder / CLIPS / f"{number:02}.mp4").write_bytes(content)
        still = grain(enlarged(frames[len(frames) // 2], STILL_SIZE))
        (folder / STILLS / f"{number:02}.jpg").write_bytes(jpeg(still))
        if number % (SHORT_COUNT // LONG_COUNT) == 0:
            long = map(grain, _played_long(frames))
            interval = KEY_INTERVALS[number // (SHORT_COUNT // LONG_COUNT) % len(KEY_INTERVALS)]
            (folder / LONG_CLIPS / f"{number:02}.mp4").write_bytes(mp4(long, interval))


def enlarged(frame: Frame, size: tuple[int, int]) -> Frame:
    """Mirrored at its sides to the shape of `size` (width, height), then enlarged."""
    from PIL import Image

    height, width = frame.shape[:2]
    side = max(0, round(height * size[0] / size[1]) - width) // 2
    wide = np.pad(frame, ((0, 0), (side, side), (0, 0)), "symmetric")
    return np.asarray(Image.fromarray(wide).resize(size, Image.Resampling.BICUBIC))


def jpeg(frame: Frame) -> bytes:
    """A JPEG file."""
    from PIL import Image

    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()


def mp4(frames: Iterator[Frame], key_interval: int) -> bytes:
    """An H.264 file by x264 as it comes, but for a faster search."""
    import av

    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as output:
        options = {"preset": "veryfast", "g": str(key_interval)}
        stream = output.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height = LONG_SIZE
        stream.pix_fmt = "yuv420p"
        for frame in frames:
            output.mux(stream.encode(av.VideoFrame.from_ndarray(frame, "rgb24")))
        output.mux(stream.encode())
    return file.getvalue()


def _played_long(frames: list[Frame]) -> Iterator[Frame]:
    """To and fro at half speed, one frame melting into the next."""
    there_and_back = [enlarged(frame, LONG_SIZE) for frame in [*frames, *frames[-2:0:-1]]]
    for number in range(SECONDS * RATE):
        place = number / 5
        first, share = int(place), place % 1
        one, other = (there_and_back[(first + i) % len(there_and_back)] for i in (0, 1))
        yield ((1 - share) * one + share * other).astype(np.uint8)


def _grain() -> Callable[[Frame], Frame]:
    """Adds grain, never the same twice in a row."""
    rng = np.random.default_rng(0)
    width, height = STILL_SIZE
    field = np.round(rng.normal(0, GRAIN, (2 * height, 2 * width, 1))).astype(np.int16)

    def grainy(frame: Frame) -> Frame:
        top, left = rng.integers(0, height), rng.integers(0, width)
        part = field[top : top + frame.shape[0], left : left + frame.shape[1]]
        return np.clip(frame + part, 0, 255).astype(np.uint8)

    return grainy


if __name__ == "__main__":
    app()
