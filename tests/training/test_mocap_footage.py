"""Footage of a poor camera."""

import numpy as np
import pytest

from training.mocap.footage import filmed

SCENE = np.zeros((3, 32, 32, 3), np.uint8)
SCENE[:, :, :16] = (200, 40, 40)
SCENE[:, :, 16:] = (40, 200, 40)


def test_clear_footage_is_the_scene() -> None:
    assert filmed(SCENE, "clear", np.random.default_rng(0)) is SCENE


@pytest.mark.parametrize("seed", range(5))
def test_dusk_is_flatter_paler_blurred_and_grainy(seed: int) -> None:
    seen = filmed(SCENE, "dusk", np.random.default_rng(seed)).astype(float)
    assert seen.shape == SCENE.shape
    assert seen.std() < 0.8 * SCENE.std()

    def colour(pictures: np.ndarray) -> float:
        means = pictures[:, :, :8].mean(axis=(0, 1, 2))
        return float(np.ptp(means) / means.mean())

    assert colour(seen) < 0.6 * colour(SCENE)
    assert 2 < seen[:, 8:24, 2:8].std(axis=(1, 2)).mean() < 12  # flat in the scene
    assert 2 < (seen[0] - seen[1]).std() < 16, "each picture has its own grain"
    means = seen.mean(axis=(1, 2, 3))
    assert np.ptp(means) < 2, "one camera took all pictures"


def test_it_is_drawn_by_the_seed() -> None:
    once, again, other = (filmed(SCENE, "dusk", np.random.default_rng(s)) for s in (1, 1, 2))
    assert (once == again).all()
    assert (once != other).any()
