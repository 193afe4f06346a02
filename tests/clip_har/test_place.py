import pytest

from clip_har.place import Place, place_from_text


@pytest.mark.parametrize("place", [Place("text_encoder", -1), Place("text_encoder_v2", 3)])
def test_a_place_is_read_as_it_is_written(place: Place) -> None:
    assert place_from_text(str(place)) == place


@pytest.mark.parametrize("text", ["", "text_encoder", "/1", "a/0", "a/-2", "a/b", "a/"])
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected MODEL/VERSION"):
        place_from_text(text)
