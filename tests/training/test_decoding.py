import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clip_har.dataset import Clip
from clip_har.limits import Limits, MediaError
from clip_har.product import file_hash, tree_hash
from clip_har.sampling import centred, every_frame
from training.decoding import decoded_clip

LIMITS = Limits()


def write_frames(folder: Path, names: list[str]) -> None:
    """PNGs whose grey level tells their place in `names`."""
    folder.mkdir()
    for index, name in enumerate(names):
        Image.new("RGB", (6, 4), (index, index, index)).save(folder / name, "PNG")


def listed(data: Path, name: str, fps: float | None = None) -> Clip:
    path = data / name
    sha256 = tree_hash(path) if fps else file_hash(path)
    return Clip(path=name, label="walk", sha256=sha256, split="train", seconds=1, frames=1, fps=fps)


def test_frames_of_a_folder_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", [f"{number}.png" for number in range(1, 12)])  # 10 after 9
    (tmp_path / "clip" / "notes.txt").write_text("no frame")
    clip = decoded_clip(tmp_path, listed(tmp_path, "clip", 4.0), every_frame, LIMITS)
    assert [int(frame[0, 0, 0]) for frame in clip.frames] == list(range(11))
    assert clip.times.tolist() == [0.125 + 0.25 * i for i in range(11)]
    assert (clip.still, clip.codec, clip.frames[0].shape) == (False, "PNG", (4, 6, 3))


def test_a_short_folder_repeats_its_frames(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", ["img_00001.png", "img_00002.png"])
    clip = decoded_clip(tmp_path, listed(tmp_path, "clip", 30.0), centred(4), LIMITS)
    assert [int(frame[0, 0, 0]) for frame in clip.frames] == [0, 0, 1, 1]


def test_optical_flow_beside_the_frames_is_passed_over(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", ["flow_x_00001.png", "img_00001.png", "img_00002.png"])
    clip = decoded_clip(tmp_path, listed(tmp_path, "clip", 30.0), every_frame, LIMITS)
    assert [int(frame[0, 0, 0]) for frame in clip.frames] == [1, 2]


def test_frames_that_are_numbered_in_two_ways_are_refused(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", ["left_1.png", "right_1.png"])
    with pytest.raises(MediaError, match=r"clip: .*several ways \(left_NUMBER, right_NUMBER\)"):
        decoded_clip(tmp_path, listed(tmp_path, "clip", 30.0), every_frame, LIMITS)


def test_only_the_chosen_frames_are_read(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", ["1.png", "2.png", "3.png"])
    (tmp_path / "clip" / "3.png").write_bytes(b"damaged")
    listing = listed(tmp_path, "clip", 30.0)
    assert len(decoded_clip(tmp_path, listing, lambda _: [0, 1], LIMITS).frames) == 2
    with pytest.raises(MediaError, match=r"clip: Frame 3\.png: Not a file that is read"):
        decoded_clip(tmp_path, listing, every_frame, LIMITS)


def test_a_folder_without_frames_or_changed_or_gone_is_told(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", ["1.png"])
    clip = listed(tmp_path, "clip", 30.0)
    (tmp_path / "clip" / "1.png").rename(tmp_path / "clip" / "2.png")
    with pytest.raises(ValueError, match=r"clip: not the frames that manifest\.json lists"):
        decoded_clip(tmp_path, clip, every_frame, LIMITS)
    (tmp_path / "clip" / "2.png").rename(tmp_path / "clip" / "one.png")
    with pytest.raises(MediaError, match="holds no numbered pictures"):
        decoded_clip(tmp_path, listed(tmp_path, "clip", 30.0), every_frame, LIMITS)
    (tmp_path / "clip").rename(tmp_path / "gone")
    with pytest.raises(ValueError, match=r"clip: a folder of frames .* but missing"):
        decoded_clip(tmp_path, clip, every_frame, LIMITS)


def test_frames_that_were_seen_before_are_counted_and_not_all_read_again(tmp_path: Path) -> None:
    write_frames(tmp_path / "clip", ["1.png", "2.png"])
    clip = listed(tmp_path, "clip", 30.0).model_copy(update={"frames": 2})
    (tmp_path / "clip" / "2.png").write_bytes(b"nobody reads this one")
    again = decoded_clip(tmp_path, clip, lambda _: [0, 0], LIMITS, seen_before=True)
    assert len(again.frames) == 2
    with pytest.raises(ValueError, match=r"not the frames .* \(their sha256 differs\)"):
        decoded_clip(tmp_path, clip, lambda _: [0, 0], LIMITS)
    (tmp_path / "clip" / "2.png").unlink()
    with pytest.raises(ValueError, match=r"not the frames .* \(their number differs\)"):
        decoded_clip(tmp_path, clip, lambda _: [0, 0], LIMITS, seen_before=True)


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ({"max_frames": 2}, "max_frames"),
        ({"max_seconds": 0.05}, "max_seconds"),
        ({"max_pixels": 20}, "max_pixels"),
        ({"max_decoded_pixels": 50}, "max_decoded_pixels"),
        ({"max_bytes": 10}, "max_bytes"),
    ],
)
def test_limits_hold_for_folders_of_frames(
    tmp_path: Path, limit: dict[str, float], told: str
) -> None:
    write_frames(tmp_path / "clip", ["1.png", "2.png", "3.png"])
    clip = listed(tmp_path, "clip", 30.0)
    with pytest.raises(MediaError, match=told):
        decoded_clip(tmp_path, clip, every_frame, Limits.from_table(limit, "limits"))


def test_a_video_and_a_picture_are_decoded_as_they_are_served(
    tmp_path: Path, movie: Callable[..., bytes]
) -> None:
    (tmp_path / "a.mp4").write_bytes(movie(10))
    file = io.BytesIO()
    Image.new("RGB", (6, 4), (200, 100, 50)).save(file, "PNG")
    (tmp_path / "a.png").write_bytes(file.getvalue())
    video = decoded_clip(tmp_path, listed(tmp_path, "a.mp4"), centred(4), LIMITS)
    still = decoded_clip(tmp_path, listed(tmp_path, "a.png"), centred(4), LIMITS)
    assert (len(video.frames), video.still, video.codec) == (4, False, "h264")
    assert (len(still.frames), still.still, still.codec) == (1, True, "PNG")
    assert np.array_equal(still.frames[0], np.full((4, 6, 3), (200, 100, 50), np.uint8))


def test_a_damaged_video_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"no video")
    with pytest.raises(MediaError, match=r"a\.mp4: Not a file that is read here"):
        decoded_clip(tmp_path, listed(tmp_path, "a.mp4"), centred(4), LIMITS)
