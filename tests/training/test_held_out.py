"""Held-out clips as a server sees them. V views of a clip, T frames, S side in pixels."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from clip_har.dataset import Clip, Pair
from clip_har.limits import Limits
from clip_har.media import frames_from_media
from clip_har.product import file_hash
from training.decoding import decoded_clip
from training.held_out import Views, clips_of_pairs, decoded_views, views_from_clips
from training.workers import AHEAD

SIDE = 32
pytestmark = pytest.mark.usefixtures("in_one_process")


def clip_of(path: Path) -> Clip:
    sha256 = file_hash(path)
    return Clip(path=path.name, label="a", sha256=sha256, split="test", seconds=1, frames=1)


@pytest.fixture
def clips(movie: Callable[..., bytes], tmp_path: Path) -> list[Clip]:
    """20 frames in 2 seconds, wider than high; and a picture of it."""
    (tmp_path / "wide.mp4").write_bytes(movie(frames=20))
    (tmp_path / "still.jpg").write_bytes(movie(frames=1, container="mjpeg", codec="mjpeg"))
    return [clip_of(tmp_path / "wide.mp4"), clip_of(tmp_path / "still.jpg")]


def test_one_view_is_what_a_server_samples(clips: list[Clip], tmp_path: Path) -> None:
    seen = views_from_clips(clips, tmp_path, Views(4, SIDE), tmp_path / "cache", "clips")
    assert seen.frames.shape == (2, 1, 4, SIDE, SIDE, 3)
    content = (tmp_path / "wide.mp4").read_bytes()
    frames, seconds = frames_from_media(content, 4, SIDE, Limits())
    assert_array_equal(seen.frames[0, 0], frames)
    assert seen.times[0, 0].tolist() == seconds.tolist()
    assert (seen.frames[1, 0] == seen.frames[1, 0, :1]).all()  # a picture stands still
    assert seen.times[1, 0].tolist() == [0.0] * 4
    assert_array_equal(seen.picture(0), frames[2])
    assert len(seen) == 2


def test_views_along_time_take_every_other_frame_of_a_finer_sampling(
    clips: list[Clip], tmp_path: Path
) -> None:
    views = Views(4, SIDE, clips=2)
    (seen,) = decoded_views(clips[:1], tmp_path, views, "clips", {})
    fine, seconds = frames_from_media((tmp_path / "wide.mp4").read_bytes(), 8, SIDE, Limits())
    for view in range(2):
        assert_array_equal(seen.frames[0, view], fine[view::2])
        assert seen.times[0, view].tolist() == seconds[view::2].tolist()


def test_views_across_show_both_ends_and_the_centre(clips: list[Clip], tmp_path: Path) -> None:
    (one,) = decoded_views(clips[:1], tmp_path, Views(2, SIDE), "clips", {})
    (three,) = decoded_views(clips[:1], tmp_path, Views(2, SIDE, crops=3), "clips", {})
    assert three.frames.shape == (1, 3, 2, SIDE, SIDE, 3)
    left, centre, right = three.frames[0, :, 0].astype(int)
    assert np.abs(centre - one.frames[0, 0, 0]).max() <= 1

    def red(picture: np.ndarray) -> float:
        """Share of the columns of the top row that are red, as the left half of the movie is."""
        return float((picture[2, :, 0] > picture[2, :, 1] + 100).mean())

    # The movie is 64 x 48; a square of 48 from the left sees 32 red columns, from the right 16.
    assert red(left) == pytest.approx(32 / 48, abs=0.05)
    assert red(centre) == pytest.approx(24 / 48, abs=0.05)
    assert red(right) == pytest.approx(16 / 48, abs=0.05)


def test_clips_and_crops_multiply_and_crops_of_a_moment_stand_together(
    clips: list[Clip], tmp_path: Path
) -> None:
    views = Views(2, SIDE, clips=2, crops=3)
    assert views.count == 6
    (seen,) = decoded_views(clips[:1], tmp_path, views, "clips", {})
    assert seen.times.shape == (1, 6, 2)
    moments = [tuple(times) for times in seen.times[0].tolist()]
    assert moments[:3] == [moments[0]] * 3
    assert moments[3:] == [moments[3]] * 3
    assert moments[0] < moments[3]


def test_decoding_waits_for_one_who_takes_views_slowly(
    clips: list[Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[Clip] = []

    def counted(data: Path, clip: Clip, *args: Any) -> Any:
        decoded.append(clip)
        return decoded_clip(data, clip, *args)

    monkeypatch.setattr("training.held_out.decoded_clip", counted)
    monkeypatch.setattr("training.held_out.CLIPS_AT_ONCE", 2)
    window = AHEAD * len(os.sched_getaffinity(0))
    many = clips * window
    taken = 0
    for some in decoded_views(many, tmp_path, Views(1, SIDE), "clips", {}):
        taken += len(some)
        assert len(decoded) < taken + window
    assert taken == len(decoded) == len(many)


@pytest.mark.parametrize(("clips", "crops"), [(0, 1), (1, 2), (1, 4)])
def test_views_that_do_not_exist_are_refused(clips: int, crops: int) -> None:
    with pytest.raises(ValueError, match=r"clips must be 1 or more, crops 1 or 3"):
        Views(4, SIDE, clips=clips, crops=crops)


def test_views_are_kept_until_a_clip_or_the_views_change(
    clips: list[Clip], movie: Callable[..., bytes], tmp_path: Path
) -> None:
    def written(some: Sequence[Clip], views: Views) -> int:
        views_from_clips(some, tmp_path, views, tmp_path / "cache", "clips")
        return (tmp_path / "cache" / "frames.npy").stat().st_mtime_ns

    first = written(clips, Views(4, SIDE))
    assert written(clips, Views(4, SIDE)) == first
    second = written(clips, Views(4, SIDE, crops=3))
    (tmp_path / "wide.mp4").write_bytes(movie(frames=12))
    changed = [clip_of(tmp_path / "wide.mp4"), clips[1]]
    assert len({first, second, written(changed, Views(4, SIDE, crops=3))}) == 3
    frames, _ = frames_from_media((tmp_path / "wide.mp4").read_bytes(), 4, SIDE, Limits())
    seen = views_from_clips(changed, tmp_path, Views(4, SIDE), tmp_path / "cache", "clips")
    assert_array_equal(seen.frames[0, 0], frames)


def test_a_clip_that_cannot_be_decoded_is_left_out_and_named(
    clips: list[Clip], tmp_path: Path
) -> None:
    (tmp_path / "broken.mp4").write_bytes((tmp_path / "wide.mp4").read_bytes()[:-500])
    listed = [clips[0], clip_of(tmp_path / "broken.mp4"), clips[1]]
    for _ in range(2):  # decoded, and opened again
        seen = views_from_clips(listed, tmp_path, Views(4, SIDE), tmp_path / "cache", "clips")
        assert seen.frames.shape == (2, 1, 4, SIDE, SIDE, 3)
        assert seen.times[:, 0, 1].tolist() == [pytest.approx(0.75), 0.0]
        assert list(seen.broken) == ["broken.mp4"]
        assert "broken.mp4: The file ends early" in seen.broken["broken.mp4"]
    broken: dict[str, str] = {}
    (passing,) = decoded_views(listed, tmp_path, Views(4, SIDE), "clips", broken)
    assert_array_equal(passing.frames, seen.frames)
    assert broken == seen.broken


def test_clips_of_which_none_can_be_decoded_are_an_error_that_helps(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    told = r"None of the 1 clips .*broken\.mp4.* python -m training inspect"
    with pytest.raises(ValueError, match=told):
        views_from_clips([clip_of(tmp_path / "broken.mp4")], tmp_path, Views(4, SIDE),
                         tmp_path / "cache", "test clips")  # fmt: skip
    assert not (tmp_path / "cache").exists()


def test_clips_that_are_not_there_leave_no_half_written_views(
    clips: list[Clip], tmp_path: Path
) -> None:
    (tmp_path / "wide.mp4").unlink()
    with pytest.raises(ValueError, match=r"wide\.mp4.*missing"):
        views_from_clips(clips, tmp_path, Views(4, SIDE), tmp_path / "cache", "clips")
    assert not (tmp_path / "cache").exists()


def test_pairs_are_clips_of_both_directions(clips: list[Clip], tmp_path: Path) -> None:
    pair = Pair(forward="wide.mp4", backward="still.jpg", label="up", reversed_label="down")
    (forward,), (backward,) = clips_of_pairs([pair], tmp_path)
    assert (forward.path, forward.label) == ("wide.mp4", "up")
    assert (backward.path, backward.label) == ("still.jpg", "down")
    assert forward.sha256 == clips[0].sha256
    (tmp_path / "still.jpg").unlink()
    with pytest.raises(ValueError, match=r"still\.jpg: a pair of the data set, but missing"):
        clips_of_pairs([pair], tmp_path)
