"""A take: everything that is drawn at random for one rendered clip."""

import colorsys
from dataclasses import dataclass

import numpy as np

from clip_har.dataset import SplitName
from training.mocap.actions import Action
from training.mocap.motion import Motion, motion_from_pybullet
from training.mocap.ranges import (
    CAMERA_SECTORS,
    HUE_SECTORS,
    Range,
    Ranges,
    Shades,
    Texture,
)
from training.mocap.turntable import turntable, upright_poses

CYCLIC_SECONDS = (1.6, 2.4)
TURN_SECONDS = (1.6, 2.13)  # so that a clip holds 0.75 to 1.5 turns


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
    """Seed of the texture of the wall and the floor."""
    texture: Texture
    """What the wall and the floor look like."""


@dataclass(frozen=True)
class Take:
    """One clip to render."""

    action: Action
    motion: Motion
    """What the body does: a recording, or a pose out of one on a turntable."""
    start: float
    """Second of the motion at which the clip begins (in the motion's own direction)."""
    duration: float
    """Seconds of the motion that the clip shows."""
    closed: bool
    """True where this is one cycle and the last frame is to be the first one again."""
    tempo: float
    """Above 1 the clip is played faster than it was recorded."""
    camera: Camera
    look: Look
    stiffness: tuple[float, ...]
    """Small constant rotations (radians) added to the joints: each performer's own posture."""
    size: float
    """Height of the body as a share of the recorded one."""

    def times(self, fps: float) -> np.ndarray:
        """Times (N,) of the clip's frames in the motion, in the order in which they are shown.

        Those of a closed take are an odd number and end with the very time they begin with.
        """
        count = max(round(self.duration / self.tempo * fps), 8)
        if self.closed:
            count += count % 2
        times = self.start + self.duration * (np.arange(count) + 0.5) / count
        if self.closed:  # not a cycle later: a recording may end in a slightly other pose
            times = np.append(times, times[0])
        return times[::-1] if self.action.backwards else times


def draw_take(action: Action, ranges: Ranges, rng: np.random.Generator) -> Take:
    """Draws a take of an action."""
    motion = motion_from_pybullet(str(rng.choice(action.recordings)))
    if action.turns:
        pose = int(rng.choice(upright_poses(motion)))
        motion = turntable(motion, pose, rng.uniform(*TURN_SECONDS))
    start, duration = _window(motion, ranges, rng)
    return Take(
        action=action,
        motion=motion,
        start=start,
        duration=duration,
        closed=ranges.closed,
        tempo=_in_pieces(ranges.tempos, rng),
        camera=Camera(
            azimuth=_in_sectors(CAMERA_SECTORS, ranges.split, rng) * 360,
            pitch=rng.uniform(-28, -4),
            zoom=rng.uniform(0.95, 1.25),
            follow=min(rng.uniform(*ranges.follow), 1.0),
        ),
        look=draw_look(ranges, rng),
        stiffness=_posture(ranges, rng),
        size=_in_pieces(ranges.sizes, rng),
    )


def draw_look(ranges: Ranges, rng: np.random.Generator) -> Look:
    """Draws colours and light."""

    def colour(shades: Shades) -> tuple[float, float, float]:
        hue = _in_sectors(HUE_SECTORS, ranges.split, rng)
        return colorsys.hsv_to_rgb(hue, rng.uniform(*shades.saturation), rng.uniform(*shades.value))

    palette = ranges.palette
    wall_value = rng.uniform(*palette.wall.value)
    angle = rng.uniform(0, 2 * np.pi)
    return Look(
        shirt=colour(palette.shirt),
        trousers=colour(palette.trousers),
        skin=colorsys.hsv_to_rgb(
            rng.uniform(0.04, 0.09), rng.uniform(0.3, 0.7), rng.uniform(0.4, 1)
        ),
        wall=colour(Shades(palette.wall.saturation, (wall_value, wall_value))),
        floor=colour(palette.floor),
        light=(float(np.cos(angle)), float(np.sin(angle)), rng.uniform(0.8, 2.0)),
        ambient=rng.uniform(0.45, 0.65),
        pattern=int(rng.integers(2**31)),
        texture=ranges.textures[rng.integers(len(ranges.textures))],
    )


def _window(motion: Motion, ranges: Ranges, rng: np.random.Generator) -> tuple[float, float]:
    if motion.cyclic:
        start, seconds = rng.uniform(0, motion.duration), rng.uniform(*CYCLIC_SECONDS)
        return start, motion.duration if ranges.closed else seconds
    cut = rng.uniform(0, ranges.trim, 2) * motion.duration
    return cut[0], motion.duration - cut.sum()


def _posture(ranges: Ranges, rng: np.random.Generator) -> tuple[float, ...]:
    usual = rng.normal(0, 0.06, 3)
    return tuple(usual + np.sign(usual) * ranges.stoop)


def _in_pieces(pieces: tuple[Range, ...], rng: np.random.Generator) -> float:
    return rng.uniform(*pieces[rng.integers(len(pieces))])


def _in_sectors(
    sectors: tuple[SplitName, ...], split: SplitName, rng: np.random.Generator
) -> float:
    own = [i for i, owner in enumerate(sectors) if owner == split]
    return (rng.choice(own) + rng.uniform(0, 1)) / len(sectors)
