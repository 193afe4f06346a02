"""A still pose out of a recording that turns on the spot, like a figure on a turntable."""

import numpy as np

from training.mocap.motion import Motion, product

UPRIGHT = 0.9  # least height of a unit vector along the spine
ON_THE_GROUND = 0.95  # metres: with the root higher than this, a body is in the air
STEPS = 24  # key poses of a turn: between two, the rate is constant to a thousandth


def upright_poses(motion: Motion) -> np.ndarray:
    """Which key poses of a recording stand on the ground, indices (N,)."""
    poses = motion.poses_at(motion.times[:-1])
    return np.flatnonzero((poses.up[:, 2] > UPRIGHT) & (poses.position[:, 2] < ON_THE_GROUND))


def turntable(motion: Motion, pose: int, seconds: float) -> Motion:
    """Key pose number `pose`, turned counterclockwise (seen from above) once in `seconds`."""
    angles = np.linspace(0, 2 * np.pi, STEPS + 1)
    rows = np.tile(motion.rows[pose], (STEPS + 1, 1))  # (STEPS + 1, 43), y-up
    rows[:, [0, 2]] = 0
    about_up = np.zeros((STEPS + 1, 4))
    about_up[:, 1], about_up[:, 3] = np.sin(angles / 2), np.cos(angles / 2)
    turned = product(about_up, rows[:, [4, 5, 6, 3]])
    rows[:, 3:7] = turned[:, [3, 0, 1, 2]]  # a file's quaternions are (w, x, y, z)
    return Motion(times=seconds * angles / (2 * np.pi), rows=rows, cyclic=True)
