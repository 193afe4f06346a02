"""A take: everything that is drawn at random for one rendered clip.

The splits share the actions and nothing else: their camera directions, colours and tempos come from
disjoint ranges, so a test clip is never seen from a training camera, in training colours or at a
training tempo.
"""

import colorsys
from dataclasses import dataclass
from typing import Literal

import numpy as np

from training.mocap.actions import Action
from training.mocap.motion import Motion, motion_from_pybullet

Split = Literal["train", "val", "test"]

# The circle (of camera directions, or of hues) cut into equal sectors, dealt to the splits in turn.
CAMERA_SECTORS: tuple[Split, ...] = ("train", "test", "train", "train", "val", "train") * 4
HUE_SECTORS: tuple[Split, ...] = ("train", "train", "test", "train", "val", "train") * 2
TEMPOS: dict[Split, tuple[tuple[float, float], ...]] = {
    "train": ((0.80, 0.92), (1.00, 1.08), (1.16, 1.25)),
    "val": ((0.92, 1.00),),
    "test": ((1.08, 1.16),),
}
CYCLIC_SECONDS = (1.6, 2.4)
TRIM = 0.12  # at most this share of a one-shot recording is cut at either end


@dataclass(frozen=True)
class Camera:
    """Where the picture is taken from."""

    azimuth: float
    """Degrees around the vertical, measured from the way the recording faces at its start."""
    pitch: float
    """Degrees, negative when the camera looks down."""
    zoom: float
    """Above 1 fills more of the picture with the person."""
    follow: float
    """0: the camera stands still; 1: it keeps the person in the middle."""


@dataclass(frozen=True)
class Look:
    """How the scene is coloured and lit. Colours are RGB in [0, 1]."""

    shirt: tuple[float, float, float]
    trousers: tuple[float, float, float]
    skin: tuple[float, float, float]
    wall: tuple[float, float, float]
    floor: tuple[float, float, float]
    light: tuple[float, float, float]
    """Direction that the light comes from."""
    ambient: float
    """Share of light that reaches every side."""
    pattern: int
    """Seed of the blotches on the wall and the floor."""


@dataclass(frozen=True)
class Take:
    """One clip to render."""

    action: Action
    recording: str
    start: float
    """Second of the recording at which the clip begins (in the recording's own direction)."""
    duration: float
    """Seconds of the recording that the clip shows."""
    tempo: float
    """Above 1 the clip is played faster than it was recorded."""
    camera: Camera
    look: Look
    stiffness: tuple[float, ...]
    """Small constant rotations (radians) added to the joints: each performer's own posture."""
    size: float
    """Height of the body as a share of the recorded one."""

    @property
    def motion(self) -> Motion:
        """The recording that the take shows."""
        return motion_from_pybullet(self.recording)

    def times(self, fps: float) -> np.ndarray:
        """Recording times (N,) of the clip's frames, in the order in which they are shown."""
        count = max(round(self.duration / self.tempo * fps), 8)
        times = self.start + self.duration * (np.arange(count) + 0.5) / count
        return times[::-1] if self.action.backwards else times


def draw_take(action: Action, split: Split, rng: np.random.Generator) -> Take:
    """Draws a take of an action from the ranges of one split."""
    recording = str(rng.choice(action.recordings))
    motion = motion_from_pybullet(recording)
    start, duration = _window(motion, rng)
    return Take(
        action=action,
        recording=recording,
        start=start,
        duration=duration,
        tempo=_tempo(split, rng),
        camera=Camera(
            azimuth=_in_sectors(CAMERA_SECTORS, split, rng) * 360,
            pitch=rng.uniform(-28, -4),
            zoom=rng.uniform(0.95, 1.25),
            follow=rng.uniform(0.3, 0.9),
        ),
        look=draw_look(split, rng),
        stiffness=tuple(rng.normal(0, 0.06, 3)),
        size=rng.uniform(0.92, 1.08),
    )


def draw_look(split: Split, rng: np.random.Generator) -> Look:
    """Draws colours and light from the ranges of one split."""

    def colour(saturation: tuple[float, float], value: tuple[float, float]):
        hue = _in_sectors(HUE_SECTORS, split, rng)
        return colorsys.hsv_to_rgb(hue, rng.uniform(*saturation), rng.uniform(*value))

    wall_value = rng.uniform(0.55, 0.95)
    angle = rng.uniform(0, 2 * np.pi)
    return Look(
        shirt=colour((0.5, 0.95), (0.35, 0.9)),
        trousers=colour((0.4, 0.9), (0.2, 0.6)),
        skin=colorsys.hsv_to_rgb(
            rng.uniform(0.04, 0.09), rng.uniform(0.3, 0.7), rng.uniform(0.4, 1)
        ),
        wall=colour((0.05, 0.35), (wall_value, wall_value)),
        floor=colour((0.1, 0.4), (0.35, 0.75)),
        light=(float(np.cos(angle)), float(np.sin(angle)), rng.uniform(0.8, 2.0)),
        ambient=rng.uniform(0.45, 0.65),
        pattern=int(rng.integers(2**31)),
    )


def _window(motion: Motion, rng: np.random.Generator) -> tuple[float, float]:
    if motion.cyclic:
        return rng.uniform(0, motion.duration), rng.uniform(*CYCLIC_SECONDS)
    cut = rng.uniform(0, TRIM, 2) * motion.duration
    return cut[0], motion.duration - cut.sum()


def _tempo(split: Split, rng: np.random.Generator) -> float:
    low, high = TEMPOS[split][rng.integers(len(TEMPOS[split]))]
    return rng.uniform(low, high)


def _in_sectors(sectors: tuple[Split, ...], split: Split, rng: np.random.Generator) -> float:
    own = [i for i, owner in enumerate(sectors) if owner == split]
    return (rng.choice(own) + rng.uniform(0, 1)) / len(sectors)
