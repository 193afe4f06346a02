"""Against the preprocessing that CLIP was published with, as transformers ships it for Pillow."""

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageOps

from clip_har.limits import Limits
from clip_har.media import frames_from_media
from clip_har.preprocess import pixels_from_image

Reference = Callable[[Image.Image, int], NDArray[np.uint8]]
SIZES = [(37, 211), (211, 37), (640, 479), (1, 1), (1000, 3), (3, 1000), (224, 224), (225, 224),
         (223, 224), (88, 406), (230, 498), (65, 64)]  # fmt: skip


@pytest.fixture(scope="module")
def reference() -> Reference:
    from transformers import CLIPImageProcessorPil

    def pixels(image: Image.Image, size: int) -> NDArray[np.uint8]:
        processor = CLIPImageProcessorPil(
            size={"shortest_edge": size},
            crop_size={"height": size, "width": size},
            do_rescale=False,
            do_normalize=False,
        )
        return np.asarray(processor(image)["pixel_values"][0]).transpose(1, 2, 0)

    return pixels


def noise(width: int, height: int, channels: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (height, width, channels), np.uint8)


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("size", [64, 65, 224])
@pytest.mark.parametrize("shape", SIZES)
def test_pixels_equal_the_reference_to_the_last_bit(
    shape: tuple[int, int], size: int, reference: Reference
) -> None:
    image = Image.fromarray(noise(*shape))
    pixels = pixels_from_image(image, size)
    assert pixels.shape == (size, size, 3)
    assert pixels.dtype == np.uint8
    assert np.array_equal(pixels, reference(image, size))
    assert np.array_equal(pixels, pixels_from_image(np.asarray(image), size))


def with_transparent_colour() -> Image.Image:
    palette = Image.fromarray(noise(90, 61)).quantize(16)
    palette.info["transparency"] = bytes([0, 128, *[255] * 14])
    return palette


MODES = {
    "grey": lambda: Image.fromarray(noise(90, 61, 1)[..., 0]),
    "grey and alpha": lambda: Image.fromarray(noise(90, 61, 2), "LA"),
    "black and white": lambda: Image.fromarray(noise(90, 61, 1)[..., 0]).convert("1"),
    "alpha": lambda: Image.fromarray(noise(90, 61, 4)),
    "palette": lambda: Image.fromarray(noise(90, 61)).quantize(16),
    "palette with transparency": with_transparent_colour,
}


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_of_a_png_equals_the_reference(mode: str, reference: Reference) -> None:
    data = encoded(MODES[mode](), "PNG")
    frames, times = frames_from_media(data, 8, 64, Limits())
    assert np.array_equal(frames[0], reference(Image.open(io.BytesIO(data)), 64))
    assert frames.shape == (1, 64, 64, 3)
    assert times.tolist() == [0.0]


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("shape", SIZES)
def test_jpegs_equal_the_reference(shape: tuple[int, int], mode: str, reference: Reference) -> None:
    data = encoded(Image.fromarray(noise(*shape)).convert(mode), "JPEG")
    frames, _ = frames_from_media(data, 8, 64, Limits())
    assert np.array_equal(frames[0], reference(Image.open(io.BytesIO(data)), 64))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_exif_says(
    orientation: int, kind: str, reference: Reference
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(Image.fromarray(noise(90, 61)), kind, exif=exif)
    frames, _ = frames_from_media(data, 8, 64, Limits())
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.array_equal(frames[0], reference(upright, 64))


def test_a_corner_is_where_its_exif_says() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, :32] = 255
    exif = Image.Exif()
    exif[0x0112] = 6  # shown after a quarter turn clockwise
    data = encoded(Image.fromarray(image), "PNG", exif=exif)
    frames, _ = frames_from_media(data, 1, 64, Limits())
    assert frames[0, 8, 56].tolist() == [255, 255, 255]
    assert frames[0, 8, 8].tolist() == [0, 0, 0]


def test_16_bit_greys_keep_their_upper_8_bits(reference: Reference) -> None:
    levels = np.linspace(0, 65535, 64).astype(np.uint16)
    data = encoded(Image.fromarray(np.tile(levels, (64, 1))), "PNG")
    frames, _ = frames_from_media(data, 1, 64, Limits())
    grey = Image.fromarray((np.tile(levels, (64, 1)) >> 8).astype(np.uint8))
    assert np.array_equal(frames[0], reference(grey, 64))
    assert frames[0, 0, :, 0].tolist() == (levels >> 8).tolist()


def test_exif_that_cannot_be_read_is_no_reason_to_refuse() -> None:
    data = encoded(Image.fromarray(noise(20, 20)), "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff\1")
    frames, _ = frames_from_media(data, 1, 20, Limits())
    assert frames.shape == (1, 20, 20, 3)


def test_scaled_decoding_of_a_jpeg_is_near_the_exact_one_and_off_unless_asked(
    reference: Reference,
) -> None:
    smooth = Image.fromarray(noise(20, 15)).resize((1000, 750), Image.Resampling.BICUBIC)
    data = encoded(smooth, "JPEG")
    exact, _ = frames_from_media(data, 8, 64, Limits())
    assert np.array_equal(exact[0], reference(Image.open(io.BytesIO(data)), 64))
    scaled, _ = frames_from_media(data, 8, 64, Limits(), scaled_jpeg=True)
    difference = np.abs(exact.astype(int) - scaled.astype(int))
    assert scaled.shape == exact.shape
    assert 0 < difference.mean() < 3


def test_a_jpeg_of_less_than_twice_the_input_is_never_scaled() -> None:
    data = encoded(Image.fromarray(noise(230, 230)), "JPEG")
    exact, _ = frames_from_media(data, 8, 64, Limits())
    scaled, _ = frames_from_media(data, 8, 64, Limits(), scaled_jpeg=True)
    assert np.array_equal(exact, scaled)
