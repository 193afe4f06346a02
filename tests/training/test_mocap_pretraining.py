"""What the small CLIP was pretrained on stays what it was, whatever the data set learns to show."""

import hashlib
from dataclasses import astuple

import numpy as np
import pytest

from clip_har.dataset import SplitName
from training.mocap.actions import ACTIONS, PRETRAINED_ACTIONS
from training.mocap.captions import attributes_of, draw_sentences
from training.mocap.ranges import SPLIT_RANGES
from training.mocap.take import Take, draw_take

# Drawn by the code that assets/mocap-clip was made with.
TAKES = {
    "train": "52e6058d383fad50781cfcea0df727602df63bc99ccfd4601a1ba6859ea6f23b",
    "val": "8260f99a51b6e313f3a5a346895b25bdd1b3c4e2c4935a6f07f561a3cfae28bc",
}
SENTENCES = "89ba397404b43146769cf7ccc6a5fa14acda932100e2aa8069930f241d2cd02c"


def numbers(take: Take) -> np.ndarray:
    """All that is drawn for a take."""
    look = [value for value in astuple(take.look) if not isinstance(value, str)]
    drawn = [take.start, take.duration, take.tempo, take.size, *take.stiffness]
    return np.hstack([take.times(20), *astuple(take.camera), *look, *drawn])


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_seed_gives_the_takes_that_the_clip_was_pretrained_on(split: SplitName) -> None:
    digest = hashlib.sha256()
    for number in range(4 * len(PRETRAINED_ACTIONS)):
        rng = np.random.default_rng([20261124, number])
        action = PRETRAINED_ACTIONS[number % len(PRETRAINED_ACTIONS)]
        take = draw_take(action, SPLIT_RANGES[split], rng)
        picked = rng.choice(take.times(20), 8)
        digest.update(take.look.texture.encode())
        digest.update((np.round(numbers(take), 6) + 0.0).tobytes())  # + 0.0: no -0.0
        digest.update(attributes_of(take, picked).tobytes())
    assert digest.hexdigest() == TAKES[split]


def test_a_seed_gives_the_sentences_that_the_clip_was_pretrained_on() -> None:
    bank = draw_sentences(np.random.default_rng([1, 2]))
    digest = hashlib.sha256("\n".join(bank.texts).encode() + bank.claims.tobytes())
    assert digest.hexdigest() == SENTENCES


def test_the_clip_was_told_nothing_of_turning() -> None:
    unknown = {action.label for action in ACTIONS} - {a.label for a in PRETRAINED_ACTIONS}
    assert unknown == {"turning clockwise", "turning counterclockwise"}
    texts = draw_sentences(np.random.default_rng(0)).texts
    assert not [text for text in texts if "clockwise" in text]
