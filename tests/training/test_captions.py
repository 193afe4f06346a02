import numpy as np
import pytest

from training.mocap.actions import ACTION_OF_LABEL, PRETRAINED_ACTIONS, REVERSAL_OF_LABEL, Action
from training.mocap.captions import (
    ATTRIBUTES,
    MOMENTS,
    MOTIONS,
    NOTHING,
    PLACES,
    POSTURES,
    VIEWS,
    attributes_of,
    draw_sentences,
    truth,
)
from training.mocap.motion import motion_from_pybullet
from training.mocap.ranges import SPLIT_RANGES
from training.mocap.take import draw_take


def frames_with(**given: int) -> np.ndarray:
    """The attributes of one frame, (1, A)."""
    return np.array([[given.get(name, NOTHING) for name in ATTRIBUTES]], np.int8)


def true_texts(attributes: np.ndarray) -> set[str]:
    """True sentences of one frame, without their openings."""
    bank = draw_sentences(np.random.default_rng(1))
    true = truth(attributes, bank)[0]
    known = [action.label for action in PRETRAINED_ACTIONS] + [*VIEWS, *POSTURES, *PLACES]
    told = [text for text, is_true in zip(bank.texts, true, strict=True) if is_true]
    return {next((text[text.index(k) :] for k in known if k in text), text) for text in told}


def test_truth_of_frames_made_by_hand() -> None:
    walk = MOTIONS.index("walk")
    frame = frames_with(motion=walk, view=4, posture=0, place=2)
    assert true_texts(frame) == {
        "walking forwards",
        "walking backwards",
        "facing the camera",
        "upright",
        "on the right of the picture",
    }
    kick = frames_with(motion=MOTIONS.index("kick"), moment=2, posture=1, place=1)
    assert true_texts(kick) == {
        "kicking",
        "kicking, moment 3 of 8",
        "leaning over",
        "in the middle",
    }


def test_a_reversed_action_counts_its_moments_from_the_other_end() -> None:
    moment = frames_with(motion=MOTIONS.index("getup_faceup"), moment=0)
    told = set()
    for seed in range(20):
        bank = draw_sentences(np.random.default_rng(seed))
        true = np.flatnonzero(truth(moment, bank)[0])
        told |= {bank.texts[i] for i in true if "moment" in bank.texts[i]}
    assert {text.split("back, ")[1] for text in told if "getting up" in text} == {"moment 1 of 8"}
    assert {text.split("back, ")[1] for text in told if "lying down" in text} == {"moment 8 of 8"}


@pytest.mark.parametrize("action", PRETRAINED_ACTIONS, ids=lambda action: action.label)
def test_sentences_of_a_group_exclude_each_other_on_real_frames(action: Action) -> None:
    rng = np.random.default_rng(7)
    take = draw_take(action, SPLIT_RANGES["train"], rng)
    attributes = attributes_of(take, take.times(15))
    bank = draw_sentences(rng)
    true = truth(attributes, bank)
    actions, moments, views, postures, places = (
        true[:, group].sum(axis=1) for group in bank.groups
    )
    assert set(actions) == {2 if take.action.label in REVERSAL_OF_LABEL else 1}
    has_moment = attributes[:, ATTRIBUTES.index("moment")] != NOTHING
    np.testing.assert_array_equal(moments, has_moment)
    assert has_moment.all() == (len(take.action.recordings) == 1)
    assert views.max() <= 1
    assert set(postures) == set(places) == {1}


def test_getting_up_goes_from_the_back_to_upright_and_through_all_moments() -> None:
    action = ACTION_OF_LABEL["getting up from the back"]
    motion = motion_from_pybullet("getup_faceup")
    take = draw_take(action, SPLIT_RANGES["train"], np.random.default_rng(0))
    attributes = attributes_of(take, np.linspace(0, motion.duration, 200))
    moment, posture = attributes[:, 1], attributes[:, 3]
    assert sorted(set(moment)) == list(range(MOMENTS))
    assert (np.diff(moment.astype(int)) >= 0).all()
    assert POSTURES[posture[0]] == "on the back"
    assert POSTURES[posture[-1]] == "upright"
