from collections.abc import Callable

import numpy as np
import pytest

from clients.recognizer import Recognizer

ClipOf = Callable[[str], bytes]
pytestmark = pytest.mark.triton


def test_texts_are_ranked_by_how_well_they_fit(recognizer: Recognizer, clip_of: ClipOf) -> None:
    texts = ["a dog", "red", "darkening"]
    seen = recognizer.zero_shot(clip_of("darkening"), texts)
    assert seen.model == "har_zero_shot"
    assert seen.latency_ms > 0
    assert seen.best.label == "darkening"
    assert [texts[one.index] for one in seen.predictions] == [one.label for one in seen.predictions]
    assert sum(one.score for one in seen.predictions) == pytest.approx(1)


def test_a_clip_is_nearest_to_its_own_text(recognizer: Recognizer, clip_of: ClipOf) -> None:
    texts = ["red", "green", "blue"]
    vectors = recognizer.embed_texts(texts)  # (N, D)
    assert vectors.dtype == np.float32
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    clips = np.stack([recognizer.embed(clip_of(text)) for text in texts])
    assert (clips @ vectors.T).argmax(axis=1).tolist() == [0, 1, 2]


@pytest.mark.parametrize("texts", [[], "running"], ids=["none", "a string"])
def test_texts_are_a_list(recognizer: Recognizer, texts: list[str]) -> None:
    with pytest.raises(ValueError, match="expected a list of at least one text"):
        recognizer.zero_shot(b"", texts)
    with pytest.raises(ValueError, match="expected a list of at least one text"):
        recognizer.embed_texts(texts)
