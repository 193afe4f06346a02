"""Answers drawn on frames: labels with bars, and a strip that says when what happens."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from clients.palette import COLOURS, Colour
from clients.playback import Frame
from clients.results import Segment
from clip_har.labels import Prediction

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

SHORT_SIDE = 360
"""Smaller frames are drawn larger, so that letters can be read."""
MOST_LINES = 3
LINE, PAD = 1.5, 0.5
"""Height of a line and space around the text, in sizes of a letter."""
PANEL: tuple[int, int, int, int] = (16, 18, 24, 176)
TRACK, INK = (70, 74, 84), (255, 255, 255)


@dataclass(frozen=True, slots=True)
class Strip:
    """A whole video at a glance."""

    segments: Sequence[Segment]
    """What is seen when."""
    seconds: float
    """Length of the video."""
    colours: dict[str, Colour]
    """A colour for each label."""

    def caption(self, time: float) -> "Caption":
        """What is said about the frame at a time in seconds."""
        now = [one for one in self.segments if one.start <= time < one.end]
        return Caption([Prediction(one.label, one.index, one.score) for one in now], self)


@dataclass(frozen=True, slots=True)
class Caption:
    """What is said about a frame."""

    predictions: Sequence[Prediction]
    """The best first."""
    strip: Strip | None = None
    """Shown below, with the frame's place in it."""


def annotated(frame: Frame, caption: Caption) -> NDArray[np.uint8]:
    """The frame with its caption: (H, W, 3), of even sides."""
    from PIL import ImageDraw

    image = _canvas(frame.pixels)
    draw = ImageDraw.Draw(image, "RGBA")
    size = max(min(image.size) // 20, 12)
    below = _draw_strip(draw, image, caption.strip, frame.time, size) if caption.strip else 0
    if caption.predictions:
        colours = caption.strip.colours if caption.strip else {}
        _draw_panel(draw, image, caption.predictions[:MOST_LINES], colours, size, below)
    return np.asarray(image)


def _canvas(pixels: NDArray[np.uint8]) -> "Image":
    """The frame, enlarged if it is small, cut to even sides, which video codecs want."""
    from PIL import Image

    image = Image.fromarray(pixels)
    scale = max(1.0, SHORT_SIDE / min(image.size))
    width, height = (max(2, round(side * scale) // 2 * 2) for side in image.size)
    return image.resize((width, height), Image.Resampling.BICUBIC)


def _draw_panel(
    draw: "ImageDraw",
    image: "Image",
    predictions: Sequence[Prediction],
    colours: dict[str, Colour],
    size: int,
    below: int,
) -> None:
    """Label, bar and percentage of each prediction, in the lower left corner."""
    line, pad = round(LINE * size), round(PAD * size)
    width = min(image.width, 22 * size)
    top = image.height - below - line * len(predictions) - 2 * pad
    draw.rectangle((0, top, width, image.height - below - 1), fill=PANEL)
    for place, one in enumerate(predictions):
        y = top + pad + place * line
        text_end = width - 4 * size
        colour = colours.get(one.label, COLOURS[0])
        draw.rectangle((pad, y + size + 3, text_end, y + size + 6), fill=TRACK)
        end = pad + round((text_end - pad) * one.score)
        draw.rectangle((pad, y + size + 3, max(end, pad + 1), y + size + 6), fill=colour)
        font = _font(size)
        draw.text((pad, y), _fitting(one.label, font, text_end - pad), fill=INK, font=font)
        draw.text((width - pad, y), f"{one.score:.0%}", fill=INK, font=font, anchor="ra")


def _draw_strip(draw: "ImageDraw", image: "Image", strip: Strip, time: float, size: int) -> int:
    """Segments along the lower edge with a cursor; gives the height."""
    height = size
    top = image.height - height
    draw.rectangle((0, top, image.width, image.height), fill=TRACK)
    scale = image.width / max(strip.seconds, 1e-6)
    for one in strip.segments:
        left, right = round(one.start * scale), round(one.end * scale) - 2  # a gap between two
        colour = strip.colours[one.label]
        draw.rectangle((left, top, max(left, right), image.height), fill=colour)
    cursor = min(round(time * scale), image.width - 2)
    draw.rectangle((cursor - 1, top - size // 4, cursor + 1, image.height), fill=INK)
    return height + size // 4


def _fitting(text: str, font: "FreeTypeFont | ImageFont", width: int) -> str:
    """The text, cut where it is too wide."""
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"


@lru_cache(maxsize=8)
def _font(size: int) -> "FreeTypeFont | ImageFont":
    from PIL import ImageFont

    return ImageFont.load_default(size)
