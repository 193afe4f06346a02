from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from clients.playback import frames_of_file, frames_of_source, in_real_time, is_live, length_of_file
from clip_har.limits import Limits
from clip_har.media import clip_from_media
from clip_har.sampling import every_frame

Movie = Callable[..., bytes]


@pytest.mark.parametrize(
    "turn", [None, (90, False, False), (180, False, False), (-90, False, False)]
)
def test_frames_are_those_that_the_server_sees(
    movie: Movie, tmp_path: Path, turn: tuple[float, bool, bool] | None
) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(movie(6, turn=turn))
    expected = clip_from_media(path.read_bytes(), every_frame, Limits()).frames
    frames = list(frames_of_file(path))
    assert [frame.time for frame in frames] == pytest.approx([i / 10 for i in range(6)])
    for frame, pixels in zip(frames, expected, strict=True):
        assert frame.pixels.shape == pixels.shape
        assert np.abs(frame.pixels.astype(int) - pixels).mean() < 3
    assert length_of_file(path) == pytest.approx(0.6)


def test_a_picture_is_shown_for_a_while(tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    Image.new("RGBA", (8, 6), (255, 0, 0, 255)).save(path)
    first, last = frames_of_file(path)
    assert first.time == 0 < last.time
    assert first.pixels.shape == (6, 8, 3)


def test_real_time_keeps_every_frame_in_order(movie: Movie, tmp_path: Path) -> None:
    path = tmp_path / "clip.mp4"
    path.write_bytes(movie(3))
    played = [frame.time for frame in in_real_time(frames_of_source(str(path)))]
    assert played == pytest.approx([0, 0.1, 0.2])


def test_what_is_live() -> None:
    assert is_live("/dev/video0")
    assert is_live("rtsp://camera.local/stream")
    assert not is_live("clip.mp4")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("missing.mp4", "no such file, camera or rtsp:// address"),
        ("http://example.com/a.mp4", "no such file, camera or rtsp:// address"),
        ("junk.mp4", "cannot be read"),
        ("sound.mp4", "it has no video"),
        ("/dev/video987", "cannot be read"),
    ],
)
def test_what_cannot_be_played(
    tmp_path: Path, sound: bytes, source: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("junk.mp4").write_bytes(b"junk")
    Path("sound.mp4").write_bytes(sound)
    with pytest.raises(ValueError, match=said):
        next(frames_of_source(source))
