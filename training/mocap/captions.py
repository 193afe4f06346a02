"""What a rendered frame shows, as attributes, and sentences that say some of it.

A sentence is true of every frame that has all the attributes it claims: `a person kicking` of each
kicking frame, `a person kicking, moment 3 of 8` only of a few. Sentences that claim the same kind
of thing are a group; within a group they exclude each other, but for an action and its reversal,
which are made of the same pictures. Only the actions of the pretraining are told of.
N frames, M sentences, A attributes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from training.mocap.actions import PRETRAINED_ACTIONS, Action
from training.mocap.motion import Poses
from training.mocap.scene import FIELD_OF_VIEW, framing
from training.mocap.take import Take

MOMENTS = 8
NOTHING = -1  # an attribute that a frame does not have and no sentence claims
MOTIONS = tuple(dict.fromkeys(action.motion for action in PRETRAINED_ACTIONS))
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
class SentenceBank:
    """Sentences to tell frames apart by."""

    texts: tuple[str, ...]
    """M sentences."""
    claims: np.ndarray
    """The attributes that each one claims, NOTHING where it is silent, (M, A) int8."""
    groups: tuple[slice, ...]
    """Which sentences belong together: actions, moments of actions, views, postures, places."""


def attributes_of(take: Take, times: np.ndarray) -> np.ndarray:
    """The attributes of N frames of a take, (N, A) int8."""
    poses = take.motion.poses_at(times)
    moment = (take.motion.phases_at(times) * MOMENTS).astype(int).clip(0, MOMENTS - 1)
    if len(take.action.recordings) > 1:  # recordings that share a name do not share their moments
        moment[:] = NOTHING
    motion = np.full(len(times), MOTIONS.index(take.action.motion))
    columns = (motion, moment, _views(poses, take), _postures(poses), _places(poses, take))
    return np.stack(columns, axis=1).astype(np.int8)


def draw_sentences(
    rng: np.random.Generator, actions: Sequence[Action] = PRETRAINED_ACTIONS
) -> SentenceBank:
    """Every action, moment, view, posture and place as a sentence, each with a random opening."""
    motions = dict.fromkeys(action.motion for action in actions)
    groups = (
        [(action.label, {"motion": _motion(action)}) for action in actions],
        [_moment_sentence(motion, moment, rng) for motion in motions for moment in range(MOMENTS)],
        [(words, {"view": number}) for number, words in enumerate(VIEWS)],
        [(words, {"posture": number}) for number, words in enumerate(POSTURES)],
        [(words, {"place": number}) for number, words in enumerate(PLACES)],
    )
    sentences = [sentence for group in groups for sentence in group]
    ends = np.cumsum([len(group) for group in groups])
    claims = [[claimed.get(name, NOTHING) for name in ATTRIBUTES] for _, claimed in sentences]
    return SentenceBank(
        texts=tuple(f"{rng.choice(OPENINGS)} {words}" for words, _ in sentences),
        claims=np.array(claims, np.int8),
        groups=tuple(slice(e - len(g), e) for e, g in zip(ends, groups, strict=True)),
    )


def truth(attributes: np.ndarray, bank: SentenceBank) -> np.ndarray:
    """Which sentences are true of which frames, (N, A) -> (N, M) bool."""
    agree = attributes[:, None, :] == bank.claims[None, :, :]  # (N, M, A)
    return (agree | (bank.claims == NOTHING)).all(axis=-1)


def _motion(action: Action) -> int:
    return MOTIONS.index(action.motion)


def _moment_sentence(
    motion: str, moment: int, rng: np.random.Generator
) -> tuple[str, dict[str, int]]:
    same = [action for action in PRETRAINED_ACTIONS if action.motion == motion]
    action = same[rng.integers(len(same))]
    shown = MOMENTS - 1 - moment if action.backwards else moment
    words = f"{action.label}, moment {shown + 1} of {MOMENTS}"
    return words, {"motion": _motion(action), "moment": moment}


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
