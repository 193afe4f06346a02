"""Recordings, the turntable, and what is drawn at random for a take."""

import colorsys
import sys
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from clip_har.dataset import SplitName
from training.mocap.actions import ACTION_OF_LABEL, ACTIONS, LABELS, REVERSAL_OF_LABEL
from training.mocap.motion import Motion, motion_from_pybullet, product, rotated
from training.mocap.ranges import CAMERA_SECTORS, HUE_SECTORS, SPLIT_RANGES, TEMPOS
from training.mocap.take import Take, draw_take
from training.mocap.turntable import turntable, upright_poses

RECORDINGS = sorted({name for action in ACTIONS for name in action.recordings})
CYCLIC = [name for name in RECORDINGS if motion_from_pybullet(name).cyclic]
SPLITS: tuple[SplitName, ...] = ("train", "val", "test")


def quaternion_gap(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Angle between rotations in radians; q and -q are one rotation."""
    return 2 * np.arccos(np.abs((a * b).sum(axis=-1)).clip(0, 1))


def test_there_are_enough_classes_and_reversals() -> None:
    assert list(LABELS) == sorted(set(LABELS))
    assert len(LABELS) == 19
    assert len(REVERSAL_OF_LABEL) == 8
    for label, reversal in REVERSAL_OF_LABEL.items():
        action, other = ACTION_OF_LABEL[label], ACTION_OF_LABEL[reversal]
        assert REVERSAL_OF_LABEL[reversal] == label
        assert action.recordings == other.recordings
        assert action.backwards != other.backwards


@pytest.mark.parametrize("name", RECORDINGS)
def test_every_pose_is_a_rotation(name: str) -> None:
    motion = motion_from_pybullet(name)
    poses = motion.poses_at(np.linspace(-1, 2 * motion.duration, 301))
    balls = [joint for joint in poses.joints if joint.shape[1] == 4]
    assert len(poses.joints) == 12
    assert len(balls) == 8
    for turn in (poses.rotation, *balls):
        np.testing.assert_allclose(np.linalg.norm(turn, axis=1), 1, atol=2e-3)
    np.testing.assert_allclose(np.linalg.norm(poses.up, axis=1), 1, atol=5e-3)


def test_the_cyclic_and_the_one_shot_recordings_are_known() -> None:
    assert {"walk", "run"} <= set(CYCLIC)
    assert {"getup_faceup", "getup_facedown"}.isdisjoint(CYCLIC)


def changes(motion: Motion, seconds: np.ndarray) -> np.ndarray:
    """Moves of the root (metres), its rotation and the joints (radians), (N - 1, 14)."""
    poses = motion.poses_at(seconds)
    moved = [np.linalg.norm(np.diff(poses.position, axis=0), axis=1)]
    for turn in (poses.rotation, *poses.joints):
        ball = turn.shape[1] == 4
        moved.append(quaternion_gap(turn[1:], turn[:-1]) if ball else abs(np.diff(turn[:, 0])))
    return np.stack(moved, axis=1)


@pytest.mark.parametrize("name", RECORDINGS)
def test_nothing_jumps_between_key_poses(name: str) -> None:
    motion = motion_from_pybullet(name)
    last = len(motion.times) - 1
    dense = np.interp(np.arange(20 * last) / 20, np.arange(last + 1), motion.times)
    keys = changes(motion, np.append(motion.times[:-1], motion.duration - 1e-9))
    assert (changes(motion, dense).max(axis=0) <= keys.max(axis=0) / 10 + 1e-4).all()


@pytest.mark.parametrize("name", CYCLIC)
def test_a_cyclic_motion_goes_on_where_its_recording_ends(name: str) -> None:
    motion = motion_from_pybullet(name)
    seam = changes(motion, motion.duration + np.array([-1e-7, 1e-7]))[0]
    assert seam[0] < 1e-5  # the root goes on exactly
    assert seam[1] < 0.4  # the recordings are only nearly closed: up to 21 degrees of heading,
    assert seam[2:].max() < 1.1  # and a limb of the spin kick
    if name in {"walk", "run"}:
        between_keys = changes(motion, np.append(motion.times[:-1], motion.duration - 1e-9))
        assert seam[1:].max() <= between_keys[:, 1:].max()


@pytest.mark.parametrize("name", ["walk", "run"])
def test_the_root_advances_by_the_same_way_each_cycle(name: str) -> None:
    motion = motion_from_pybullet(name)
    cycles = motion.poses_at(motion.duration * np.array([0.3, 1.3, 2.3, 7.3])).position
    one = cycles[1] - cycles[0]
    assert np.linalg.norm(one[:2]) > 0.5
    assert one[2] == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(cycles[3] - cycles[0], 7 * one, atol=1e-9)


def test_a_one_shot_motion_stays_in_its_first_and_last_pose() -> None:
    motion = motion_from_pybullet("getup_faceup")
    poses = motion.poses_at(np.array([-5, 0, motion.duration, motion.duration + 5]))
    np.testing.assert_array_equal(poses.position[0], poses.position[1])
    np.testing.assert_array_equal(poses.position[2], poses.position[3])
    assert poses.up[0, 2] < 0.4  # on the ground
    assert poses.up[2, 2] > 0.8  # on its feet


def heading(motion: Motion, seconds: np.ndarray) -> np.ndarray:
    """Degrees counterclockwise seen from above, without jumps."""
    forward = motion.poses_at(seconds).forward
    return np.degrees(np.unwrap(np.arctan2(forward[:, 1], forward[:, 0])))


def test_a_turntable_turns_a_still_pose_counterclockwise_at_a_constant_rate() -> None:
    walk = motion_from_pybullet("walk")
    turn = turntable(walk, 10, 2.0)
    seconds = np.linspace(0.7, 4.7, 41)
    np.testing.assert_allclose(np.diff(heading(turn, seconds)), 18, atol=0.5)
    poses, still = turn.poses_at(seconds), walk.poses_at(walk.times[10:11])
    np.testing.assert_allclose(poses.position, [[0, 0, still.position[0, 2]]] * 41, atol=1e-9)
    np.testing.assert_allclose(poses.up[:, 2], still.up[0, 2], atol=1e-3)
    for turned, told in zip(poses.joints, still.joints, strict=True):
        np.testing.assert_allclose(turned, told.repeat(41, axis=0), atol=1e-9)


def test_only_poses_that_stand_are_put_on_the_turntable() -> None:
    jump = motion_from_pybullet("jump")
    chosen = upright_poses(jump)
    poses = jump.poses_at(jump.times)
    assert 0 < len(chosen) < len(jump.times)
    assert poses.up[chosen, 2].min() > 0.9
    assert poses.position[chosen, 2].max() < 0.95 < poses.position[:, 2].max()


@pytest.mark.parametrize(("word", "sign"), [("counterclockwise", 1), ("clockwise", -1)])
def test_a_turning_take_turns_as_it_says_from_any_heading(word: str, sign: int) -> None:
    rng = np.random.default_rng(5)
    action = ACTION_OF_LABEL[f"turning {word}"]
    drawn = [draw_take(action, SPLIT_RANGES["train"], rng) for _ in range(60)]
    turns, starts = [], []
    for take in drawn:
        shown = heading(take.motion, take.times(30))
        assert (sign * np.diff(shown) > 0).all()
        turns.append(take.duration / take.motion.duration)
        starts.append(shown[0] % 360)
    assert 0.75 <= min(turns) < 0.9
    assert 1.35 < max(turns) <= 1.5
    assert set(np.digitize(starts, (90, 180, 270))) == {0, 1, 2, 3}
    assert len({take.motion.rows[0].tobytes() for take in drawn}) > 50


def test_quaternions_turn_vectors() -> None:
    quarter_about_z = np.array([0, 0, np.sqrt(0.5), np.sqrt(0.5)])
    quarter_about_x = np.array([np.sqrt(0.5), 0, 0, np.sqrt(0.5)])
    x = np.array([1.0, 0.0, 0.0])
    np.testing.assert_allclose(rotated(quarter_about_z, x), [0, 1, 0], atol=1e-12)
    both = product(quarter_about_x, quarter_about_z)  # about z first, then about x
    np.testing.assert_allclose(rotated(both, x), [0, 0, 1], atol=1e-12)


def test_missing_pybullet_names_the_install_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pybullet_data", None)
    motion_from_pybullet.cache_clear()
    with pytest.raises(ModuleNotFoundError, match=r'pip install "\.\[mocap\]"'):
        motion_from_pybullet("walk")


def takes(split: SplitName, count: int = 200) -> list[Take]:
    rng = np.random.default_rng(11)
    return [draw_take(ACTIONS[n % len(ACTIONS)], SPLIT_RANGES[split], rng) for n in range(count)]


def sectors_of(shares: list[float], owners: tuple[SplitName, ...]) -> set[int]:
    return {int(share * len(owners)) for share in shares}


def hues(take: Take) -> list[float]:
    look = take.look
    return [colorsys.rgb_to_hsv(*c)[0] for c in (look.shirt, look.trousers, look.wall, look.floor)]


@pytest.mark.parametrize(
    ("shares", "owners"),
    [
        (lambda take: [take.camera.azimuth / 360], CAMERA_SECTORS),
        (hues, HUE_SECTORS),
    ],
    ids=["cameras", "hues"],
)
def test_the_splits_share_no_sector_of_the_circle(
    shares: Callable[[Take], list[float]], owners: tuple[SplitName, ...]
) -> None:
    drawn = {
        split: sectors_of([share for take in takes(split) for share in shares(take)], owners)
        for split in SPLITS
    }
    assert drawn["train"].isdisjoint(drawn["val"] | drawn["test"])
    assert drawn["val"].isdisjoint(drawn["test"])
    assert set.union(*drawn.values()) == set(range(len(owners)))  # nothing is left out


def test_the_splits_share_no_tempo() -> None:
    drawn = {split: [take.tempo for take in takes(split)] for split in SPLITS}
    ranges = sorted((low, high) for pieces in TEMPOS.values() for low, high in pieces)
    assert all(before[1] <= after[0] for before, after in pairwise(ranges))
    for split, tempos in drawn.items():
        assert all(any(low <= t <= high for low, high in TEMPOS[split]) for t in tempos)
        others = [piece for other in SPLITS if other != split for piece in TEMPOS[other]]
        assert not any(low < t < high for low, high in others for t in tempos)


def test_a_take_played_backwards_shows_the_same_times_reversed() -> None:
    for label, reversal in REVERSAL_OF_LABEL.items():
        forth, back = (
            draw_take(ACTION_OF_LABEL[name], SPLIT_RANGES["train"], np.random.default_rng(4))
            for name in (label, reversal)
        )
        assert forth.look == back.look
        np.testing.assert_array_equal(forth.motion.rows, back.motion.rows)
        np.testing.assert_array_equal(forth.times(15), back.times(15)[::-1])
        rising = back if forth.action.backwards else forth
        assert (np.diff(rising.times(15)) > 0).all()


def test_a_take_lasts_its_duration_at_its_tempo() -> None:
    for take in takes("train", 60):
        times = take.times(30)
        assert len(times) == max(round(take.duration / take.tempo * 30), 8)
        assert times.min() > take.start
        assert times.max() < take.start + take.duration
