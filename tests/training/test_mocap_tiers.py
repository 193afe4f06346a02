"""What the takes of the order tests' tiers are drawn from."""

from collections.abc import Callable

import numpy as np
import pytest

from clip_har.dataset import Tier
from training.mocap.actions import ACTION_OF_LABEL
from training.mocap.motion import motion_from_pybullet
from training.mocap.pairs import LABELS_OF_TIER
from training.mocap.ranges import SPLIT_RANGES, TIER_RANGES, Ranges
from training.mocap.scene import framing
from training.mocap.take import Take, draw_take


def takes(ranges: Ranges, labels: tuple[str, ...], count: int = 120) -> list[Take]:
    rng = np.random.default_rng(13)
    actions = [ACTION_OF_LABEL[labels[n % len(labels)]] for n in range(count)]
    return [draw_take(action, ranges, rng) for action in actions]


def of_tier(tier: Tier) -> list[Take]:
    return takes(TIER_RANGES[tier], LABELS_OF_TIER[tier])


def of_splits() -> list[Take]:
    return [t for one in SPLIT_RANGES.values() for t in takes(one, LABELS_OF_TIER["nuisance"])]


def test_a_closed_loop_walks_one_cycle_in_the_middle_of_the_picture() -> None:
    cycle = motion_from_pybullet("walk").duration
    for take in of_tier("closed_loop"):
        times = take.times(12)
        assert len(times) % 2 == 1
        assert times[0] == times[-1]
        assert take.duration == cycle
        assert np.ptp(times[:-1]) == pytest.approx(take.duration * (1 - 1 / (len(times) - 1)))
        poses = take.motion.poses_at(times)
        targets, _ = framing(take, poses)
        np.testing.assert_allclose(targets[:, :2], poses.position[:, :2], atol=1e-9)
    phases = [take.start / cycle for take in of_tier("closed_loop")]
    assert set(np.digitize(phases, (0.25, 0.5, 0.75))) == {0, 1, 2, 3}


def test_a_rotation_is_one_whole_turn() -> None:
    for take in of_tier("rotation"):
        assert take.action.turns
        assert take.duration == take.motion.duration
        assert take.times(12)[0] == take.times(12)[-1]


def test_training_cameras_follow_fully_now_and_then() -> None:
    follows = [take.camera.follow for take in takes(SPLIT_RANGES["train"], ("running",), 300)]
    assert 0.3 < np.mean(np.array(follows) == 1.0) < 0.55
    assert max(follows) == 1.0


Value = Callable[[Take], float]
OUTSIDE: dict[str, Value] = {
    "tempo": lambda take: take.tempo,
    "size": lambda take: take.size,
}


@pytest.mark.parametrize("value", OUTSIDE.values(), ids=OUTSIDE)
def test_the_nuisance_tier_is_outside_the_ranges_of_every_split(value: Value) -> None:
    usual = [value(take) for take in of_splits()]
    assert not [one for one in map(value, of_tier("nuisance")) if min(usual) <= one <= max(usual)]


def test_the_nuisance_tier_holds_itself_otherwise() -> None:
    usual, others = (
        [max(map(abs, take.stiffness)) for take in some]
        for some in (of_splits(), of_tier("nuisance"))
    )
    assert np.median(others) > np.quantile(usual, 0.9)


def test_the_nuisance_tier_has_other_textures_and_cuts_recordings_more() -> None:
    nuisance = of_tier("nuisance")
    assert {take.look.texture for take in of_splits()} == {"blotches", "patches"}
    assert {take.look.texture for take in nuisance} == {"grain"}
    shares = [t.duration / t.motion.duration for t in nuisance if not t.motion.cyclic]
    assert min(shares) < 0.6
    assert len(set(shares)) == len(shares)
