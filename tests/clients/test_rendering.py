"""Annotated videos and pictures of timelines."""

import io
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from clients.annotation import Caption, Strip, annotated
from clients.clock import clock, exact_clock
from clients.palette import colours_of
from clients.playback import Frame
from clients.results import Segment
from clients.timeline_picture import timeline_picture
from clients.video_file import write_video
from clip_har.labels import Prediction

SEGMENTS = (
    Segment(0, 4, "walking", 1, 0.9),
    Segment(4, 6, "a very long name of an action that nobody can read to its end", 0, 0.4),
    Segment(8, 10, "walking", 1, 1.0),
)
STRIP = Strip(SEGMENTS, 10.0, colours_of(one.label for one in SEGMENTS))
GREY = np.full((51, 77, 3), 128, np.uint8)


def test_a_caption_is_drawn_and_leaves_the_rest_alone() -> None:
    plain = annotated(Frame(0, GREY), Caption(()))
    drawn = annotated(Frame(0, GREY), Caption([Prediction("walking", 1, 0.9)]))
    assert plain.shape == drawn.shape == (360, 544, 3)
    assert np.all(plain == 128)
    changed = np.any(plain != drawn, axis=(1, 2))
    assert changed[-40:].any()
    assert not changed[:180].any()


def test_a_bar_is_as_long_as_its_score() -> None:
    lengths = []
    for score in (0.25, 0.5, 1.0):
        drawn = annotated(Frame(0, GREY), Caption([Prediction("walking", 1, score)]))
        lengths.append(int(np.all(drawn == (86, 180, 233), axis=2).any(axis=0).sum()))
    assert lengths[1] == pytest.approx(2 * lengths[0], abs=6)
    assert lengths[2] == pytest.approx(4 * lengths[0], abs=6)


def test_the_strip_has_the_cursor_at_the_frame_s_time() -> None:
    places = []
    for time in (2.0, 7.0):
        drawn = annotated(Frame(time, GREY), Caption((), STRIP))
        places.append(np.flatnonzero(np.all(drawn[-1] == 255, axis=1)).mean() / drawn.shape[1])
    assert places == pytest.approx([0.2, 0.7], abs=0.01)


def test_a_frame_s_caption_is_that_of_its_segment() -> None:
    assert [one.label for one in STRIP.caption(3.9).predictions] == ["walking"]
    assert STRIP.caption(7.0).predictions == []
    long = annotated(Frame(4.0, GREY), STRIP.caption(4.0))
    assert long.shape == (360, 544, 3)


def test_a_video_keeps_the_times_of_its_frames(tmp_path: Path) -> None:
    times = [0.0, 0.04, 0.5, 0.5, 2.0]
    path = tmp_path / "new" / "out.mp4"
    write_video(path, [(Frame(time, GREY), Caption(())) for time in times])
    with av.open(str(path)) as container:
        shown = list(container.decode(video=0))
    assert [frame.time for frame in shown] == pytest.approx([0, 0.04, 0.5, 0.501, 2.0], abs=1e-3)
    assert (shown[0].width, shown[0].height) == (544, 360)
    assert [one.name for one in path.parent.iterdir()] == ["out.mp4"]


def test_a_video_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no frame"):
        write_video(tmp_path / "out.mp4", [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("segments", [SEGMENTS, ()])
def test_a_timeline_has_a_row_for_each_action(segments: tuple[Segment, ...]) -> None:
    picture = Image.open(io.BytesIO(timeline_picture("clip.mp4", segments, 10.0)))
    assert picture.width > 1000
    pixels = np.asarray(picture.convert("RGB"))
    for colour in colours_of(one.label for one in segments).values():
        assert np.all(pixels == colour, axis=2).sum() > 1000


def test_times_are_told_as_people_read_them() -> None:
    assert [clock(4.5, 30), clock(65, 600), clock(3725, 4000)] == ["4.5 s", "1:05", "1:02:05"]
    assert [exact_clock(t) for t in (4.46, 65, 3725.04)] == ["0:04.5", "1:05.0", "1:02:05.0"]
