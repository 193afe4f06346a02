from pathlib import Path

import pytest

from clients.held_out import HeldOut, held_out_from_folder


@pytest.fixture
def held_out(data: Path) -> HeldOut:
    return held_out_from_folder(data)


def test_a_model_that_knows_all_classes_and_more_is_asked_about_everything(
    held_out: HeldOut,
) -> None:
    assert held_out.known_part((*held_out.labels, "purple")) == held_out


def test_what_a_model_does_not_know_is_left_out_and_counted(held_out: HeldOut) -> None:
    known = held_out.known_part(("red", "green", "brightening"))
    assert {one.label for one in (*known.clips, *known.stills)} == {"red", "green", "brightening"}
    assert known.pairs == ()  # a reversal of brightening is darkening
    left_out = known.left_out
    assert left_out.labels == ("blue", "darkening")
    assert (left_out.clips, left_out.stills, left_out.pairs) == (4, 1, 2)
    assert known.labels == held_out.labels


def test_a_model_of_other_classes_alone_is_an_error(held_out: HeldOut) -> None:
    with pytest.raises(ValueError, match="it knows pink, purple; the data have blue, brightening"):
        held_out.known_part(("pink", "purple"))
