from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clip_har.sampling import Timeline, centre_frames, centred, every_frame

counts = st.integers(1, 40)
durations = st.lists(st.integers(1, 1000), min_size=1, max_size=60)
offsets = st.integers(-10_000, 10_000)


def starts_of(durations: list[int], offset: int = 0) -> tuple[list[int], int]:
    starts = [offset]
    for duration in durations:
        starts.append(starts[-1] + duration)
    return starts[:-1], starts[-1]


def assert_mirrored(durations: list[int], count: int) -> None:
    forward = centre_frames(*starts_of(durations), count)
    backward = centre_frames(*starts_of(durations[::-1]), count)
    mirrored = [len(durations) - 1 - index for index in reversed(backward)]
    starts, end = starts_of(durations)
    if count % 2 and end / 2 in starts:
        # The middle of the clip is between two frames: no choice is its own mirror image.
        assert forward.pop(count // 2) + 1 == mirrored.pop(count // 2)
    assert forward == mirrored


@given(frames=st.integers(1, 500), duration=st.integers(1, 5000), count=counts)
def test_a_reversed_clip_of_constant_rate_gives_the_mirrored_frames(
    frames: int, duration: int, count: int
) -> None:
    assert_mirrored([duration] * frames, count)


@given(durations=durations, count=counts)
def test_a_reversed_clip_of_variable_rate_gives_the_mirrored_frames(
    durations: list[int], count: int
) -> None:
    assert_mirrored(durations, count)


@given(durations=durations, count=counts, offset=offsets)
def test_each_frame_is_on_screen_at_its_segments_centre(
    durations: list[int], count: int, offset: int
) -> None:
    starts, end = starts_of(durations, offset)
    chosen = centre_frames(starts, end, count)
    ends = [*starts[1:], end]
    for segment, index in enumerate(chosen):
        centre = offset + Fraction((2 * segment + 1) * (end - offset), 2 * count)
        assert starts[index] <= centre <= ends[index]
    assert chosen == sorted(chosen)
    assert len(chosen) == count


@given(durations=durations, count=counts, offset=offsets, scale=st.integers(1, 99))
def test_neither_the_clock_nor_its_zero_changes_the_choice(
    durations: list[int], count: int, offset: int, scale: int
) -> None:
    plain = centre_frames(*starts_of(durations), count)
    assert plain == centre_frames(*starts_of([d * scale for d in durations], offset), count)


def test_known_choices() -> None:
    assert centre_frames(range(8), 8, 8) == list(range(8))
    assert centre_frames(range(16), 16, 8) == [1, 3, 5, 7, 8, 10, 12, 14]
    assert centre_frames(range(9), 9, 1) == [4]
    assert centre_frames(range(10), 10, 1) == [4]
    assert centre_frames(range(3), 3, 8) == [0, 0, 0, 1, 1, 2, 2, 2]
    assert centre_frames([7], 8, 4) == [0, 0, 0, 0]
    # One frame that stays for nine tenths of the clip.
    assert centre_frames([0, 1, 10], 11, 4) == [1, 1, 1, 1]


def test_times_are_the_middles_of_the_frames_from_the_clips_start() -> None:
    timeline = Timeline([100, 110, 140], 150, Fraction(1, 10))
    assert timeline.seconds == 5.0
    assert timeline.middles(every_frame(timeline)) == [0.5, 2.5, 4.5]
    assert timeline.middles(centred(5)(timeline)) == [0.5, 2.5, 2.5, 2.5, 4.5]


@pytest.mark.parametrize(
    ("starts", "end", "count", "message"),
    [
        ([], 1, 1, "at least one frame"),
        ([0, 0], 1, 1, "ascend"),
        ([0, 5], 5, 1, "ascend"),
        ([0], 1, 0, "1 or more"),
    ],
)
def test_times_that_make_no_clip_are_refused(
    starts: list[int], end: int, count: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        centre_frames(starts, end, count)
