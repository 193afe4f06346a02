import pytest

from clip_har.labels import words


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ApplyEyeMakeup", "apply eye makeup"),
        ("YoYo", "yo yo"),
        ("brush_hair", "brush hair"),
        ("Holding something next to something", "holding something next to something"),
        ("massaging person's head", "massaging person's head"),
        ("WatchingTVAtHome", "watching TV at home"),
        ("watching TV", "watching TV"),
        ("SIT_DOWN", "sit down"),
        ("push-ups (slow)", "push-ups (slow)"),
        ("  Thumb   Up ", "thumb up"),
        ("_", ""),
    ],
)
def test_a_class_name_becomes_what_people_say(name: str, said: str) -> None:
    assert words(name) == said
    assert words(said) == said
