"""The operations of RandAugment, and where their magnitudes end."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from training.rand_augment import FILL, OPERATIONS, STRONGEST, operated, rand_augmented
from training.strip import frames_from_strip, strip_from_frames

SIDE = 48
GEOMETRIC = ("rotate", "shear x", "shear y", "translate x", "translate y")
TONES = ("brightness", "contrast", "colour", "sharpness", "posterize", "solarize")
UNSCALED = ("identity", "autocontrast", "equalize")
SIGNED = (*TONES[:4], *GEOMETRIC)


@pytest.fixture(scope="module")
def frames() -> NDArray[np.uint8]:
    """Three frames of smooth noise between 40 and 200, (3, S, S, 3)."""
    coarse = np.random.default_rng(0).integers(40, 200, (3, 12, 12, 3))
    return np.kron(coarse, np.ones((1, 4, 4, 1), int)).astype(np.uint8)


def after(
    frames: NDArray[np.uint8], name: str, magnitude: int = STRONGEST, negative: bool = False
) -> NDArray[np.int64]:
    strip = operated(strip_from_frames(frames), name, magnitude, negative)
    return frames_from_strip(strip).astype(int)


def test_the_operations_are_the_published_ones() -> None:
    assert len(OPERATIONS) == 14
    assert {name for name, one in OPERATIONS.items() if one.signed} == set(SIGNED)
    ends = {name: one.amount(STRONGEST) for name, one in OPERATIONS.items()}
    assert ends["rotate"] == 30
    assert ends["shear x"] == ends["shear y"] == 0.3
    assert ends["translate x"] == ends["translate y"] == 150 / 331
    assert {ends[name] for name in ("brightness", "contrast", "colour", "sharpness")} == {0.9}
    assert (ends["posterize"], ends["solarize"]) == (4, 0)


@pytest.mark.parametrize("name", OPERATIONS)
def test_magnitude_0_changes_nothing_and_the_highest_changes_every_frame(
    name: str, frames: NDArray[np.uint8]
) -> None:
    if name not in UNSCALED:
        assert np.array_equal(after(frames, name, 0), frames)
    for negative in (False, True):
        moved = (after(frames, name, negative=negative) != frames).any(axis=(1, 2, 3))
        assert moved.all() == (name != "identity")


@pytest.mark.parametrize("name", [*TONES, "rotate", "shear x", "shear y"])
def test_more_magnitude_is_more_change(name: str, frames: NDArray[np.uint8]) -> None:
    change = [np.abs(after(frames, name, m) - frames).mean() for m in (5, 15, 30)]
    assert change == sorted(change)


@pytest.mark.parametrize("name", OPERATIONS)
def test_the_sign_turns_round_what_goes_both_ways(name: str, frames: NDArray[np.uint8]) -> None:
    same = np.array_equal(after(frames, name), after(frames, name, negative=True))
    assert same == (name not in SIGNED)


def assert_near(seen: NDArray[Any], expected: NDArray[Any]) -> None:
    """Pillow rounds the mean grey as well as the result."""
    np.testing.assert_allclose(seen, expected, atol=2, rtol=0)


def test_the_strongest_tones(frames: NDArray[np.uint8]) -> None:
    luma = frames @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(after(frames, "solarize"), 255 - frames)
    np.testing.assert_allclose(after(frames, "posterize"), frames // 16 * 16)
    assert_near(after(frames, "brightness"), np.minimum(1.9 * frames, 255))
    assert_near(after(frames, "brightness", negative=True), 0.1 * frames)
    assert_near(after(frames, "contrast", negative=True), 0.1 * frames + 0.9 * luma.mean())
    assert_near(after(frames, "colour", negative=True), 0.1 * frames + 0.9 * luma[..., None])
    stretched = after(frames, "autocontrast")
    assert (stretched.min(), stretched.max()) == (0, 255)
    assert after(frames, "equalize").std() > frames.std()


def test_the_strongest_moves() -> None:
    dot = np.full((1, 331, 331, 3), FILL, np.uint8)
    dot[0, 165, 100] = 255

    def place(name: str, negative: bool = False) -> list[int]:
        moved = after(dot, name, negative=negative)[0].min(axis=-1)
        return [int(i) for i in np.unravel_index(moved.argmax(), moved.shape)]

    assert place("translate x") == [165, 250]
    assert place("translate y", negative=True) == [15, 100]
    y, x = place("rotate")
    assert np.degrees(np.arctan2(y - 165, 165 - x)) == pytest.approx(30, abs=1)
    assert np.hypot(y - 165, x - 165) == pytest.approx(65, abs=1)
    assert place("shear x") == [165, 100]
    y, x = place("shear y")
    assert abs(y - 165) == pytest.approx(0.3 * 65, abs=1)


@pytest.mark.parametrize("name", GEOMETRIC)
def test_frames_do_not_run_into_each_other(name: str) -> None:
    frames = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in (0, 255, 0)])
    for negative in (False, True):
        dark, bright, _ = after(frames, name, negative=negative)
        assert dark.max() == FILL[0]
        assert bright.min() == FILL[0]


def test_sharpening_stays_within_a_frame() -> None:
    frames = np.stack([np.full((SIDE, SIDE, 3), level, np.uint8) for level in (50, 200, 50)])
    assert np.array_equal(after(frames, "sharpness"), frames)


@pytest.mark.parametrize("name", ["contrast", "autocontrast", "equalize"])
def test_a_level_becomes_the_same_level_in_every_frame(name: str) -> None:
    """A frame's own histogram would make what stands still flicker when something else moves."""
    frames = np.random.default_rng(0).integers(60, 120, (3, SIDE, SIDE, 3)).astype(np.uint8)
    frames[1] //= 2
    frames[:, :8, :8] = 45
    corner = after(frames, name)[:, :8, :8]
    assert (corner == corner[0]).all()


def test_operations_are_drawn_from_all_of_them(frames: NDArray[np.uint8]) -> None:
    strip = strip_from_frames(frames)
    possible = {
        operated(strip, name, 20, negative).tobytes()
        for name in OPERATIONS
        for negative in (False, True)
    }
    rng = np.random.default_rng(0)
    drawn = {rand_augmented(strip, 1, 20, rng).tobytes() for _ in range(400)}
    assert drawn == possible


def test_no_operations_leave_the_clip(frames: NDArray[np.uint8]) -> None:
    strip = rand_augmented(strip_from_frames(frames), 0, 30, np.random.default_rng(0))
    assert np.array_equal(frames_from_strip(strip), frames)
