"""Writes rendered pictures as video files. N pictures, S side in pixels."""

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

JPEG_QUALITY = 92
# One thread, and no look at later frames to weigh earlier ones: both make the bytes vary.
X264 = {"crf": "18", "preset": "veryfast", "threads": "1", "x264-params": "mbtree=0"}


def write_mp4(path: Path, pictures: np.ndarray, fps: int) -> None:
    """Writes pictures (N, S, S, 3) uint8 RGB as H.264 in MP4; equal pictures give equal bytes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=fps, options=X264)
        stream.width, stream.height, stream.pix_fmt = (
            pictures.shape[2],
            pictures.shape[1],
            "yuv420p",
        )
        for picture in pictures:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


def write_mjpeg(path: Path, jpegs: list[bytes], size: tuple[int, int], fps: int) -> None:
    """Writes JPEG files as the frames of an AVI, untouched: in another order, the same pictures.

    `size` is (height, width).
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(path, "w", format="avi") as container:
        stream = container.add_stream("mjpeg", rate=fps)
        stream.height, stream.width, stream.pix_fmt = size[0], size[1], "yuvj420p"
        for number, jpeg in enumerate(jpegs):
            packet = av.Packet(jpeg)
            packet.stream, packet.time_base = stream, Fraction(1, fps)
            packet.pts = packet.dts = number
            packet.duration, packet.is_keyframe = 1, True
            container.mux(packet)


def jpeg_from_picture(picture: np.ndarray) -> bytes:
    """A picture (S, S, 3) uint8 RGB as a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=JPEG_QUALITY)
    return file.getvalue()
