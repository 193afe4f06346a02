"""Draws poses with pybullet's software renderer: no display, no GPU.

S is the side of a picture in pixels.
"""

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from training.mocap.motion import Poses, product
from training.mocap.ranges import Texture
from training.mocap.take import Look, Take

FIELD_OF_VIEW = 40.0  # degrees
BODY_RADIUS = 0.95  # metres that a body may reach from its root
MOST_TRAVEL = 1.2  # metres of path that a standing camera takes in
CONTRAST = 0.16  # of the texture of wall and floor
SHIRT, TROUSERS, SKIN = {1, 6, 12}, {0, 3, 4, 9, 10}, {-1, 2, 5, 7, 8, 11, 13, 14}


class Scene:
    """One body in front of a wall, ready to be posed and pictured."""

    def __init__(self) -> None:
        with _quiet():
            import pybullet
            import pybullet_data

            self._bullet = pybullet
            self._client = pybullet.connect(pybullet.DIRECT)
            path = Path(pybullet_data.getDataPath()) / "humanoid/humanoid.urdf"
            self._body = pybullet.loadURDF(
                str(path), globalScaling=0.25, useFixedBase=True, physicsClientId=self._client
            )
        infos = [
            pybullet.getJointInfo(self._body, j, physicsClientId=self._client)
            for j in range(pybullet.getNumJoints(self._body, physicsClientId=self._client))
        ]
        self._moving = [info[0] for info in infos if info[2] != pybullet.JOINT_FIXED]

    def close(self) -> None:
        """Frees the renderer."""
        self._bullet.disconnect(self._client)

    def pictures(self, take: Take, times: np.ndarray, side: int) -> np.ndarray:
        """Renders a take at N recording times, (N, S, S, 3) uint8 RGB."""
        poses = take.motion.poses_at(times)
        joints = _performed(poses, take)
        targets, distance = framing(take, poses)
        backdrop = _backdrop(take, side)
        self._dress(take.look)
        frames = []
        for n in range(len(times)):
            self._strike(poses.position[n], poses.rotation[n], [joint[n] for joint in joints])
            frames.append(self._picture(take, targets[n], distance, backdrop))
        if len(times) % 2:  # the renderer rounds every second picture otherwise: begin alike
            self._picture(take, targets[0], distance, backdrop)
        return np.stack(frames)

    def _picture(
        self, take: Take, target: np.ndarray, distance: float, backdrop: np.ndarray
    ) -> np.ndarray:
        side = backdrop.shape[0]
        view = self._bullet.computeViewMatrixFromYawPitchRoll(
            target.tolist(), distance, take.camera.azimuth, take.camera.pitch, 0, 2
        )
        lens = self._bullet.computeProjectionMatrixFOV(FIELD_OF_VIEW, 1.0, 0.1, 30.0)
        _, _, pixels, _, segments = self._bullet.getCameraImage(
            side,
            side,
            view,
            lens,
            lightDirection=take.look.light,
            lightAmbientCoeff=take.look.ambient,
            lightDiffuseCoeff=1.0 - take.look.ambient,
            lightSpecularCoeff=0.05,
            shadow=0,
            renderer=self._bullet.ER_TINY_RENDERER,
            physicsClientId=self._client,
        )
        rgb = np.asarray(pixels, dtype=np.uint8).reshape(side, side, 4)[..., :3]
        inside = np.asarray(segments).reshape(side, side, 1) >= 0
        return np.where(inside, rgb, backdrop)

    def _strike(self, position: np.ndarray, rotation: np.ndarray, joints: list[np.ndarray]) -> None:
        self._bullet.resetBasePositionAndOrientation(
            self._body, position, rotation, physicsClientId=self._client
        )
        for joint, value in zip(self._moving, joints, strict=True):
            self._bullet.resetJointStateMultiDof(
                self._body, joint, value, physicsClientId=self._client
            )

    def _dress(self, look: Look) -> None:
        for links, colour in ((SHIRT, look.shirt), (TROUSERS, look.trousers), (SKIN, look.skin)):
            for link in links:
                self._bullet.changeVisualShape(
                    self._body, link, rgbaColor=[*colour, 1], physicsClientId=self._client
                )


@cache
def scene_of_process() -> Scene:
    """The scene of this process, made once."""
    return Scene()


def framing(take: Take, poses: Poses) -> tuple[np.ndarray, float]:
    """How the camera looks at a take: a target for each of N poses (N, 3), a distance in metres.

    The whole path fits the picture: a camera that would have to go too far back follows more.
    """
    path = take.motion.poses_at(take.start + take.duration * np.linspace(0, 1, 25))
    low, high = path.position.min(axis=0), path.position.max(axis=0)
    travel = float(np.linalg.norm(high[:2] - low[:2]))
    follow = max(take.camera.follow, 1 - MOST_TRAVEL / max(travel, MOST_TRAVEL))
    centre = (low + high) / 2
    centre[2] = (path.position[:, 2] + 0.25 + 0.5 * path.up[:, 2].clip(0)).max() / 2
    reach = (BODY_RADIUS + travel * (1 - follow) / 2) / take.camera.zoom / take.size
    distance = float(reach / np.tan(np.radians(FIELD_OF_VIEW / 2)))
    return centre + np.array([follow, follow, 0.0]) * (poses.position - centre), distance


def _performed(poses: Poses, take: Take) -> tuple[np.ndarray, ...]:
    """The joints with the performer's own posture added."""
    lean = np.append(np.array(take.stiffness) / 2, 1.0)
    lean /= np.linalg.norm(lean)
    return tuple(
        product(values, lean) if values.shape[1] == 4 else values + take.stiffness[0]
        for values in poses.joints
    )


def _backdrop(take: Take, side: int) -> np.ndarray:
    """Wall and floor with their texture, (S, S, 3) uint8."""
    above = np.tan(np.radians(-take.camera.pitch)) / np.tan(np.radians(FIELD_OF_VIEW / 2))
    horizon = round(side / 2 * (1 - above))
    picture = np.empty((side, side, 3))
    picture[:] = take.look.floor
    picture[: max(horizon, 0)] = take.look.wall
    picture *= np.linspace(1.06, 0.86, side)[:, None, None]
    rng = np.random.default_rng(take.look.pattern)
    picture += CONTRAST * TEXTURES[take.look.texture](rng, side)[..., None]
    return (picture.clip(0, 1) * 255).astype(np.uint8)


def _cells(side: int, grid: np.ndarray, between: Image.Resampling) -> np.ndarray:
    """A grid of random shades, drawn to the size of the picture."""
    coarse = Image.fromarray((grid * 255).astype(np.uint8))
    return np.asarray(coarse.resize((side, side), between)) / 255 - 0.5


def _blotches(rng: np.random.Generator, side: int) -> np.ndarray:
    count = int(rng.integers(3, 9))
    return _cells(side, rng.random((count, count)), Image.Resampling.BICUBIC)


def _patches(rng: np.random.Generator, side: int) -> np.ndarray:
    count = int(rng.integers(3, 10))
    return _cells(side, rng.random((count, count)), Image.Resampling.NEAREST)


def _grain(rng: np.random.Generator, side: int) -> np.ndarray:
    return _cells(side, rng.random((10, 10)), Image.Resampling.BICUBIC)


TEXTURES: dict[Texture, Callable[[np.random.Generator, int], np.ndarray]] = {
    "blotches": _blotches,
    "patches": _patches,
    "grain": _grain,
}
"""Draw a texture (S, S) in [-0.5, 0.5]."""


@contextmanager
def _quiet() -> Generator[None]:
    """Keeps pybullet's banner and URDF warnings, written by C code, off the terminal."""
    kept = os.dup(1), os.dup(2)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
        try:
            yield
        finally:
            for fd, old in zip((1, 2), kept, strict=True):
                os.dup2(old, fd)
                os.close(old)
