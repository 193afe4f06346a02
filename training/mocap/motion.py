"""Motion-capture recordings that ship inside the PyPI package `pybullet`.

A recording is a list of key poses. The files are y-up with quaternions as (w, x, y, z); everything
this module returns is z-up with quaternions as (x, y, z, w), which is what pybullet takes.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

# Order and size of the joints in a file's row, after dt (1), root position (3), root rotation (4).
JOINT_SIZES = (4, 4, 4, 1, 4, 4, 1, 4, 1, 4, 4, 1)
Y_UP_TO_Z_UP = np.array([np.sqrt(0.5), 0.0, 0.0, np.sqrt(0.5)])  # +90 degrees about x, (x, y, z, w)


@dataclass(frozen=True)
class Poses:
    """N body poses: where the root is, how it is turned, and each joint's rotation."""

    position: np.ndarray
    """Root positions in metres, (N, 3)."""
    rotation: np.ndarray
    """Root rotations as quaternions (x, y, z, w), (N, 4)."""
    joints: tuple[np.ndarray, ...]
    """For each joint in file order: quaternions (N, 4) of a ball, radians (N, 1) of a hinge."""

    @property
    def forward(self) -> np.ndarray:
        """The way the chest points, unit vectors (N, 3) in the z-up world."""
        return rotated(self.rotation, np.array([1.0, 0.0, 0.0]))

    @property
    def up(self) -> np.ndarray:
        """The way the head points, unit vectors (N, 3) in the z-up world."""
        return rotated(self.rotation, np.array([0.0, 1.0, 0.0]))


@dataclass(frozen=True)
class Motion:
    """One recording, to be read at any time."""

    times: np.ndarray
    """Time of each key pose in seconds, (K,), from 0."""
    rows: np.ndarray
    """Key poses: root position, root rotation, joints, (K, 43), still y-up."""
    cyclic: bool
    """True where the end of the recording joins its start."""

    @property
    def duration(self) -> float:
        """Length of one pass in seconds."""
        return float(self.times[-1])

    def poses_at(self, seconds: np.ndarray) -> Poses:
        """The poses at N times; a cyclic motion goes on for ever, others stay in the last pose."""
        cycles, within = self._cycles_and_times(seconds)
        i = np.searchsorted(self.times, within, side="right").clip(1, len(self.times) - 1) - 1
        gap = (self.times[i + 1] - self.times[i]).clip(1e-9)
        share = ((within - self.times[i]) / gap)[:, None]  # (N, 1)
        a, b = self.rows[i], self.rows[i + 1]  # (N, 43)
        position = a[:, :3] + share * (b[:, :3] - a[:, :3]) + cycles[:, None] * self._advance()
        turns, at = [], 3
        for size in (4, *JOINT_SIZES):
            part = slice(at, at + size)
            between = _between_rotations if size == 4 else _between_angles
            turns.append(between(a[:, part], b[:, part], share))
            at += size
        return Poses(
            position=rotated(Y_UP_TO_Z_UP, position),
            rotation=product(Y_UP_TO_Z_UP, turns[0]),
            joints=tuple(turns[1:]),
        )

    def phases_at(self, seconds: np.ndarray) -> np.ndarray:
        """How far the recording has gone at N times, in [0, 1]."""
        return self._cycles_and_times(seconds)[1] / self.duration

    def _cycles_and_times(self, seconds: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if not self.cyclic:
            return np.zeros_like(seconds), seconds.clip(0.0, self.duration)
        cycles = seconds // self.duration
        return cycles, seconds - cycles * self.duration

    def _advance(self) -> np.ndarray:
        """How far the root travels over the ground in one cycle, y-up (3,)."""
        return (self.rows[-1, :3] - self.rows[0, :3]) * np.array([1.0, 0.0, 1.0])


@cache
def motion_from_pybullet(name: str) -> Motion:
    """Reads `humanoid3d_<name>.txt` of the installed pybullet.

    Raises ModuleNotFoundError, with the install command, where pybullet is missing.
    """
    try:
        import pybullet_data
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The mocap data set needs pybullet (its recordings and its renderer), which is not "
            'installed. Install it with: pip install ".[mocap]"'
        ) from error
    path = Path(pybullet_data.getDataPath()) / "data/motions" / f"humanoid3d_{name}.txt"
    recording = json.loads(path.read_text())
    rows = np.array(recording["Frames"], dtype=np.float64)
    times = np.concatenate([[0.0], np.cumsum(rows[:-1, 0])])  # a row's dt leads to the next row
    return Motion(times=times, rows=rows[:, 1:], cyclic=recording["Loop"] == "wrap")


def product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The rotation b followed by a; quaternions (x, y, z, w) in the last axis."""
    vector = a[..., 3:] * b[..., :3] + b[..., 3:] * a[..., :3] + np.cross(a[..., :3], b[..., :3])
    scalar = a[..., 3] * b[..., 3] - (a[..., :3] * b[..., :3]).sum(axis=-1)
    return np.concatenate([vector, scalar[..., None]], axis=-1)


def rotated(rotation: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Vectors (..., 3) turned by quaternions (..., 4), (x, y, z, w)."""
    twice = 2.0 * np.cross(rotation[..., :3], vector)
    return vector + rotation[..., 3:] * twice + np.cross(rotation[..., :3], twice)


def _between_rotations(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    """Quaternions between two of a file, (x, y, z, w)."""
    nearer = np.where((a * b).sum(axis=-1, keepdims=True) >= 0, b, -b)  # q and -q: the short way
    mixed = a + share * (nearer - a)
    mixed /= np.linalg.norm(mixed, axis=-1, keepdims=True)
    return mixed[:, [1, 2, 3, 0]]


def _between_angles(a: np.ndarray, b: np.ndarray, share: np.ndarray) -> np.ndarray:
    return a + share * (b - a)
