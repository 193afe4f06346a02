"""A picture as the model takes it: the pixels of Hugging Face's CLIPImageProcessorPil, exactly.

H and W of the picture, S side of the model's input.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL import Image

Pixels = NDArray[np.uint8]


def pixels_from_image(image: Image.Image | Pixels, size: int) -> Pixels:
    """The shortest edge resized to `size` (bicubic with antialias), then the centre: (S, S, 3) RGB.

    Takes a PIL image of any 8-bit mode, or RGB uint8 (H, W, 3). Whoever decoded it has turned it
    upright. The picture before the crop takes 3 * S * S * (longer side / shorter side) bytes.
    """
    from PIL import Image

    rgb = rgb_from_image(image)
    width, height = _resized(rgb.size, size)
    left, top = (width - size) // 2, (height - size) // 2
    resized = rgb.resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(resized.crop((left, top, left + size, top + size)))  # (S, S, 3)


def rgb_from_image(image: Image.Image | Pixels) -> Image.Image:
    """An RGB picture; transparency is laid on white."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        return Image.fromarray(image)
    if "A" in image.getbands() or image.info.get("transparency") is not None:
        over = image.convert("RGBA")
        white = Image.new("RGBA", over.size, (255, 255, 255, 255))
        return Image.alpha_composite(white, over).convert("RGB")
    return image if image.mode == "RGB" else image.convert("RGB")  # which would copy


def _resized(size: tuple[int, int], shortest: int) -> tuple[int, int]:
    """Width and height with the shorter one at `shortest`; the longer one is rounded down."""
    width, height = size
    if width <= height:
        return shortest, int(shortest * height / width)
    return int(shortest * width / height), shortest
