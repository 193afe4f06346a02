"""What a rendered frame shows, as attributes, and sentences that say some of it.

A caption matches every frame that has all the attributes it names, so a batch has many positives:
`a person kicking` matches each kicking frame, `a person kicking, moment 3 of 8` only a few.
N frames, A attributes.
"""

from dataclasses import dataclass

import numpy as np

from training.mocap.actions import ACTIONS
from training.mocap.motion import Poses
from training.mocap.scene import FIELD_OF_VIEW, framing
from training.mocap.take import Take

MOMENTS = 8
NOTHING = -1  # an attribute that a frame does not have and no caption may name
MOTIONS = tuple(dict.fromkeys(action.motion for action in ACTIONS))
VIEWS = (
    "facing away",
    "facing away to the left",
    "facing left",
    "facing the camera to the left",
    "facing the camera",
    "facing the camera to the right",
    "facing right",
    "facing away to the right",
)
POSTURES = ("upright", "leaning over", "upside down", "on the back", "on the front", "on the side")
PLACES = ("on the left of the picture", "in the middle", "on the right of the picture")
ATTRIBUTES = ("motion", "moment", "view", "posture", "place")
OPENINGS = (
    "a person",
    "someone",
    "a figure",
    "a photo of a person",
    "a picture of a person",
    "a video of a person",
    "a frame of a person",
    "a human",
)


@dataclass(frozen=True)
class Caption:
    """A sentence and the attributes it commits to."""

    text: str
    named: tuple[bool, ...]
    """For each attribute, whether the sentence names it, (A,)."""


def attributes_of(take: Take, times: np.ndarray) -> np.ndarray:
    """The attributes of N frames of a take, (N, A) int8."""
    poses = take.motion.poses_at(times)
    moment = (take.motion.phases_at(times) * MOMENTS).astype(int).clip(0, MOMENTS - 1)
    if len(take.action.recordings) > 1:  # recordings that share a name do not share their moments
        moment[:] = NOTHING
    motion = np.full(len(times), MOTIONS.index(take.action.motion))
    columns = (motion, moment, _views(poses, take), _postures(poses), _places(poses, take))
    return np.stack(columns, axis=1).astype(np.int8)


def draw_caption(attributes: np.ndarray, rng: np.random.Generator) -> Caption:
    """A random sentence that is true of a frame with these attributes (A,)."""
    named = rng.random(len(ATTRIBUTES)) < (0.9, 0.55, 0.3, 0.2, 0.2)
    if rng.random() < 0.3:
        named[1:] = False
    named &= attributes != NOTHING
    named[0] |= not named.any()
    motion, moment, view, posture, place = (int(value) for value in attributes)
    same = [action for action in ACTIONS if action.motion == MOTIONS[motion]]
    action = same[rng.integers(len(same))]
    shown = MOMENTS - 1 - moment if action.backwards else moment
    said = (
        action.label,
        f"moment {shown + 1} of {MOMENTS}",
        VIEWS[view],
        POSTURES[posture],
        PLACES[place],
    )
    opening = OPENINGS[rng.integers(len(OPENINGS))]
    first = f"{opening} {said[0]}" if named[0] else opening
    rest = [words for words, told in zip(said[1:], named[1:], strict=True) if told]
    return Caption(", ".join([first, *rest]), tuple(bool(told) for told in named))


def matches(attributes: np.ndarray, named: np.ndarray) -> np.ndarray:
    """Which captions are true of which frames.

    Caption j was drawn for frame j; it is true of frame i where they agree in all that it names.
    attributes (N, A), named (N, A) -> (N frames, N captions) bool.
    """
    agree = attributes[:, None, :] == attributes[None, :, :]  # (N, N, A)
    return (agree | ~named[None, :, :]).all(axis=-1)


def _views(poses: Poses, take: Take) -> np.ndarray:
    yaw = np.radians(take.camera.azimuth)
    ahead, right = np.array([-np.sin(yaw), np.cos(yaw)]), np.array([np.cos(yaw), np.sin(yaw)])
    level = poses.forward[:, :2]
    angle = np.arctan2(-(level @ right), level @ ahead)  # 0 away from the camera, +90 to its left
    view = np.round(angle / (2 * np.pi) * len(VIEWS)).astype(int) % len(VIEWS)
    return np.where(np.linalg.norm(level, axis=1) > 0.4, view, NOTHING)


def _postures(poses: Poses) -> np.ndarray:
    up, chest = poses.up[:, 2], poses.forward[:, 2]
    conditions = (up > 0.8, up > 0.35, up < -0.35, chest > 0.5, chest < -0.5)
    return np.select(conditions, range(5), default=5)


def _places(poses: Poses, take: Take) -> np.ndarray:
    targets, distance = framing(take, poses)
    yaw = np.radians(take.camera.azimuth)
    aside = (poses.position - targets)[:, :2] @ np.array([np.cos(yaw), np.sin(yaw)])
    share = aside / distance / np.tan(np.radians(FIELD_OF_VIEW / 2))
    return np.digitize(share, (-0.12, 0.12))
