"""Scenes through haze."""

import numpy as np
import pytest

from training.mocap.haze import through_haze

SCENE = np.zeros((3, 32, 32, 3), np.uint8)
SCENE[:, :, :16] = (200, 40, 40)
SCENE[:, :, 16:] = (40, 200, 40)


@pytest.mark.parametrize("seed", range(5))
def test_haze_is_flat_and_pale_and_hides_nothing(seed: int) -> None:
    seen = through_haze(SCENE, np.random.default_rng(seed)).astype(float)
    assert seen.shape == SCENE.shape
    assert 0.2 * SCENE.std() < seen.std() < 0.55 * SCENE.std()
    assert seen.min() > 30, "nothing is black"
    assert seen.max() < 255, "nothing is burnt out"
    halves = seen[:, :, :16], seen[:, :, 16:]
    strongest = tuple(half.mean(axis=(0, 1, 2)).argmax() for half in halves)
    assert strongest == (0, 1), "colours keep their hue"
    assert 1 < (seen[0] - seen[1]).std() < 7, "each picture has its own grain"
    assert np.ptp(seen.mean(axis=(1, 2, 3))) < 2, "one camera took all pictures"


def test_it_is_drawn_by_the_seed() -> None:
    once, again, other = (through_haze(SCENE, np.random.default_rng(s)) for s in (1, 1, 2))
    assert (once == again).all()
    assert (once != other).any()
