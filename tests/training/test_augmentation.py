"""Views of clips. T frames, H and W of a frame, S side of the model's input, K classes."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clip_har.preprocess import Pixels, pixels_from_image
from training.augmentation import Augmentation, check_flip, clip_view, crop_box, flip_table
from training.colour import ColourShift, greyed, recoloured
from training.strip import frames_from_strip, strip_from_frames

OFF = Augmentation()
EVERYTHING = Augmentation(
    crop_scale=(0.3, 0.9),
    flip=0.5,
    colour=1,
    grey=0.2,
    rand_augment_ops=2,
    rand_augment_magnitude=20,
    noise=0.05,
)
ALONE = {
    "crop": Augmentation(crop_scale=(0.2, 0.5)),
    "flip": Augmentation(flip=1),
    "colour": Augmentation(colour=2),
    "grey": Augmentation(grey=1),
    "RandAugment": Augmentation(rand_augment_ops=3, rand_augment_magnitude=30),
    "noise": Augmentation(noise=0.2),
}


def clip_of(frames: int, height: int, width: int) -> Pixels:
    """Smooth pictures that move: noise alone would hide what an operation does."""
    t, y, x = np.ogrid[:frames, :height, :width]
    waves = [np.sin(x / 9 + t / 2) + np.cos(y / 7), np.sin(y / 5 - t) + 0 * x, x / width + 0 * y]
    planes = np.broadcast_arrays(*waves, np.zeros((frames, 1, 1)))[:3]
    return (80 + 40 * np.stack(planes, axis=-1)).astype(np.uint8)


def view(
    clip: Pixels, augmentation: Augmentation, seed: int | tuple[int, ...] = 0, size: int = 32
) -> torch.Tensor:
    return clip_view(clip, size, augmentation, np.random.default_rng(seed)).frames


sizes = st.integers(1, 90)
seeds = st.integers(0, 2**32)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 4), sizes, sizes, st.integers(1, 50))
def test_nothing_asked_for_is_what_a_server_sees(
    frames: int, height: int, width: int, size: int
) -> None:
    clip = clip_of(frames, height, width)
    served = np.stack([pixels_from_image(frame, size) for frame in clip])
    assert np.array_equal(view(clip, OFF, size=size), served)


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 4), sizes, sizes, st.integers(1, 50), seeds)
def test_any_clip_becomes_frames_of_the_models_size(
    frames: int, height: int, width: int, size: int, seed: int
) -> None:
    seen = view(clip_of(frames, height, width), EVERYTHING, seed, size)
    assert seen.shape == (frames, size, size, 3)
    assert seen.dtype == torch.uint8


@pytest.mark.parametrize("augmentation", [*ALONE.values(), EVERYTHING], ids=[*ALONE, "everything"])
def test_equal_frames_stay_equal(augmentation: Augmentation) -> None:
    still = np.repeat(clip_of(1, 41, 60), 5, axis=0)
    for seed in range(30):
        seen = view(still, augmentation, seed)
        assert (seen == seen[:1]).all()


@pytest.mark.parametrize("name", ALONE)
def test_each_setting_does_something(name: str) -> None:
    clip = clip_of(3, 41, 60)
    changed = [not torch.equal(view(clip, ALONE[name], seed), view(clip, OFF)) for seed in range(9)]
    assert sum(changed) > 4


def test_a_view_follows_from_the_generator_alone() -> None:
    clip = clip_of(3, 41, 60)
    first = {seed: view(clip, EVERYTHING, seed) for seed in [(7, 0, 1), (7, 0, 2), (7, 1, 1)]}
    np.random.seed(1)
    torch.manual_seed(1)
    for seed in reversed(first):
        assert torch.equal(view(clip, EVERYTHING, seed), first[seed])
    assert not torch.equal(first[7, 0, 1], first[7, 0, 2])
    assert not torch.equal(first[7, 0, 1], first[7, 1, 1])


def test_a_tensor_an_array_and_a_list_of_frames_are_the_same_clip() -> None:
    clip = clip_of(3, 41, 60)
    rng = [np.random.default_rng(4) for _ in range(2)]
    from_tensor = clip_view(torch.from_numpy(clip), 32, EVERYTHING, rng[0]).frames
    from_list = clip_view(list(clip), 32, EVERYTHING, rng[1]).frames
    assert torch.equal(from_tensor, view(clip, EVERYTHING, 4))
    assert torch.equal(from_list, from_tensor)


def test_a_view_belongs_to_the_caller() -> None:
    clip = clip_of(2, 32, 32)
    view(clip, OFF).zero_()
    assert np.array_equal(clip, clip_of(2, 32, 32))


@settings(deadline=None, max_examples=60)
@given(sizes, sizes, st.floats(0.01, 1), st.floats(0.3, 3), seeds)
def test_a_crop_shows_its_share_of_the_frame_in_its_shape(
    height: int, width: int, share: float, ratio: float, seed: int
) -> None:
    augmentation = Augmentation(crop_scale=(share, share), crop_ratio=(ratio, ratio))
    left, top, right, bottom = crop_box(width, height, augmentation, np.random.default_rng(seed))
    assert 0 <= left < right <= width
    assert 0 <= top < bottom <= height
    area = (right - left) * (bottom - top)
    assert (right - left) / (bottom - top) == pytest.approx(ratio)
    touches = right - left == pytest.approx(width) or bottom - top == pytest.approx(height)
    assert area == pytest.approx(share * width * height) or (
        area < share * width * height and touches
    )


def test_crops_reach_both_ends_of_a_frame() -> None:
    ramp = np.zeros((1, 100, 200, 3), np.uint8) + np.arange(200, dtype=np.uint8)[:, None]
    seen = [view(ramp, ALONE["crop"], seed, 8) for seed in range(200)]
    assert min(int(one.min()) for one in seen) < 10
    assert max(int(one.max()) for one in seen) > 190


@pytest.mark.parametrize(
    ("table", "told"),
    [
        ({"crop_scale": [0, 1]}, "crop_scale must be 0 < smallest"),
        ({"crop_scale": [0.9, 0.4]}, "not 0.9, 0.4"),
        ({"crop_ratio": [2, 1]}, "crop_ratio must be"),
        ({"flip": 1.5}, "flip: .*less than or equal to 1"),
        ({"rand_augment_magnitude": 31}, "rand_augment_magnitude: .*30"),
        ({"mixup": -1}, "mixup: .*greater than or equal to 0"),
        ({"reverse": 0.5}, "unknown key 'reverse'"),
    ],
)
def test_settings_that_make_no_sense_are_refused(table: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Augmentation.from_table(table, "settings")


# Flips.


def test_a_mirrored_clip_says_so() -> None:
    clip = clip_of(3, 32, 32)
    straight = view(clip, OFF)
    mirrored = 0
    for seed in range(40):
        seen = clip_view(clip, 32, Augmentation(flip=0.5), np.random.default_rng(seed))
        assert torch.equal(seen.frames, straight.flip(2) if seen.flipped else straight)
        mirrored += seen.flipped
    assert 8 < mirrored < 32


TURNS = ("walking", "turning left", "turning right")
SWAP = {"turning left": "turning right", "turning right": "turning left"}


@pytest.mark.parametrize(
    "label",
    [
        "turning left",
        "Swiping Right",
        "turn_left",
        "TurnLeft",
        "left-handed throw",
        "lefthand throw",
        "Rolling CLOCKWISE",
        "turning hand counter-clockwise",
        "turning counterclockwise",
        "turning anti-clockwise",
        "anticlockwise",
        "pushing something from left to right",
        "moving leftwards",
        "spinning ccw",
    ],
)
def test_a_label_with_a_direction_cannot_be_mirrored(label: str) -> None:
    check_flip(["walking", label], OFF)
    with pytest.raises(ValueError, match=rf"flip: .*{label!r}.*Set flip to 0, or .*flip_labels"):
        check_flip(["walking", label], Augmentation(flip=0.5))


@pytest.mark.parametrize(
    "label", ["standing upright", "cleft lifting", "brightening", "playing the clock", "copyright"]
)
def test_a_direction_is_a_whole_word(label: str) -> None:
    check_flip(["walking", label], Augmentation(flip=0.5))


def test_a_map_says_what_a_mirror_makes_of_a_label() -> None:
    augmentation = Augmentation(flip=0.5, flip_labels=SWAP)
    check_flip(TURNS, augmentation)
    table = flip_table(TURNS, augmentation)
    assert table.tolist() == [0, 2, 1]
    assert table[table].tolist() == [0, 1, 2]
    assert flip_table(("walking", "running"), Augmentation(flip=1)).tolist() == [0, 1]


def test_a_label_that_has_the_word_but_no_side_is_its_own_mirror_where_the_map_says_so() -> None:
    labels = (*TURNS, "pulling it right out")
    with pytest.raises(ValueError, match=r"direction: 'pulling it right out'.*becomes itself"):
        check_flip(labels, Augmentation(flip=0.5, flip_labels=SWAP))
    settled = {**SWAP, "pulling it right out": "pulling it right out"}
    assert flip_table(labels, Augmentation(flip=0.5, flip_labels=settled)).tolist() == [0, 2, 1, 3]


def test_a_map_for_other_labels_does_no_harm_where_nothing_is_mirrored() -> None:
    unused = Augmentation(flip=0.0, flip_labels=SWAP)
    check_flip(("walking", "running"), unused)
    assert flip_table(("walking", "running"), unused).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("flip_labels", "told"),
    [
        ({}, "'turning left', 'turning right'"),
        ({"turning left": "turning right"}, r"both ways.*'turning right' = 'turning left'"),
        ({**SWAP, "walking": "turning left"}, r"both ways.*'turning left' = 'walking'"),
        ({"turning left": "turning left"}, "would keep a label .*: 'turning right'"),
        ({"turning left": "turning down"}, "no label 'turning down'.*Its labels: 'walking'"),
        ({**SWAP, "hopping": "hopping"}, "no label 'hopping'"),
    ],
)
def test_a_map_that_is_wrong_is_refused(flip_labels: dict[str, str], told: str) -> None:
    augmentation = Augmentation(flip=0.5, flip_labels=flip_labels)
    for check in (check_flip, flip_table):
        with pytest.raises(ValueError, match=told):
            check(TURNS, augmentation)


# Colours.


def shifted(frames: Pixels, **shift: float) -> NDArray[np.float64]:
    strip = recoloured(strip_from_frames(frames), ColourShift(**shift))
    return frames_from_strip(strip).astype(float)


def assert_near(seen: NDArray[Any], expected: NDArray[Any]) -> None:
    np.testing.assert_allclose(seen, expected, atol=1, rtol=0)


def test_a_shift_of_colours_does_what_its_name_says() -> None:
    frames = clip_of(3, 24, 24)
    grey = frames @ np.array([0.299, 0.587, 0.114])
    assert_near(shifted(frames, brightness=0.5), frames / 2)
    assert_near(shifted(frames, contrast=0.5), (frames + grey.mean()) / 2)
    assert_near(shifted(frames, saturation=0.5), (frames + grey[..., None]) / 2)
    assert_near(shifted(frames, hue=1.0), frames)
    turned = shifted(frames, hue=0.1)
    assert_near(turned @ np.array([0.299, 0.587, 0.114]), grey)
    assert np.abs(turned - frames).max() > 10


def test_grey_has_the_luma_of_the_picture_in_all_channels() -> None:
    frames = clip_of(2, 24, 24)
    grey = frames_from_strip(greyed(strip_from_frames(frames))).astype(float)
    assert (grey == grey[..., :1]).all()
    luma = frames @ np.array([0.299, 0.587, 0.114])
    assert_near(grey[..., 0], luma)


def test_noise_has_the_asked_deviation() -> None:
    flat = np.full((4, 64, 64, 3), 128, np.uint8)
    seen = view(flat, Augmentation(noise=0.1), size=64).float()
    assert float(seen.std()) == pytest.approx(25.5, rel=0.05)
    assert float(seen.mean()) == pytest.approx(128, abs=1)


def test_noise_stops_at_black_and_white() -> None:
    for level in (0, 255):
        flat = np.full((1, 64, 64, 3), level, np.uint8)
        seen = view(flat, Augmentation(noise=0.05), size=64).int()
        assert (seen - level).abs().max() < 6 * 0.05 * 255
        assert 0.4 < float((seen == level).float().mean()) < 0.6
