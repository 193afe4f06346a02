import gc
import io
import struct
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np
import pytest
from av.container import InputContainer
from PIL import Image

from clip_har.limits import Limits, MediaError
from clip_har.media import Clip, clip_from_media
from clip_har.sampling import every_frame

Movie = Callable[..., bytes]
CODINGS = [
    ("mp4", "libx264", {"bf": "3"}),
    ("mp4", "libx265", {"x265-params": "log-level=none"}),
    ("mp4", "mpeg4", {"bf": "2", "q:v": "2"}),
    ("mov", "mjpeg", {}),
    ("avi", "mjpeg", {}),
    ("avi", "mpeg4", {"bf": "0"}),
    ("avi", "libx264", {"bf": "3"}),
    ("webm", "libvpx", {"auto-alt-ref": "1", "lag-in-frames": "16"}),
    ("webm", "libvpx-vp9", {}),
    ("matroska", "libx264", {"bf": "3"}),
    ("matroska", "ffv1", {}),
]


def every(data: bytes, **limits: float) -> Clip:
    return clip_from_media(data, every_frame, Limits.model_validate(limits))


def levels(clip: Clip) -> list[int]:
    return [int(frame[-1, -1, 0]) for frame in clip.frames]


def motion_jpeg(pictures: list[bytes], container: str = "avi") -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format=container) as output:
        stream = output.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        output.start_encoding()
        for index, data in enumerate(pictures):
            packet = av.Packet(data)
            packet.stream, packet.pts, packet.dts, packet.duration = stream, index, index, 1
            packet.time_base = Fraction(1, 10)
            output.mux(packet)
    return file.getvalue()


def jpeg(width: int, height: int, claimed: tuple[int, int] | None = None) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (width, height), (99, 99, 99)).save(file, "JPEG")
    data = bytearray(file.getvalue())
    if claimed:
        at = data.index(b"\xff\xc0")
        data[at + 5 : at + 9] = struct.pack(">HH", claimed[1], claimed[0])
    return bytes(data)


@pytest.mark.parametrize(("container", "codec", "options"), CODINGS)
def test_every_frame_comes_in_order_with_its_colours_and_time(
    container: str, codec: str, options: dict[str, str], movie: Movie
) -> None:
    clip = every(movie(20, container=container, codec=codec, options=options))
    assert levels(clip) == pytest.approx([20 + 9 * index for index in range(20)], abs=4)
    for frame in clip.frames:
        assert frame.shape == (48, 64, 3)
        assert frame[5, 5].tolist() == pytest.approx([220, 30, 30], abs=8)
    assert clip.times.tolist() == pytest.approx([0.05 + 0.1 * i for i in range(20)], abs=0.001)


@pytest.mark.parametrize(("container", "codec", "options"), CODINGS)
def test_chosen_frames_equal_those_of_a_full_decode(
    container: str, codec: str, options: dict[str, str], movie: Movie
) -> None:
    """So leaping from key frame to key frame changes nothing."""
    data = movie(60, container=container, codec=codec, options={"g": "8", **options}, draw=moving)
    full = every(data)
    for picked in ([59], [0, 3, 30, 31, 58], [7, 8, 9], [15, 16, 24, 40]):
        clip = clip_from_media(data, lambda timeline, picked=picked: picked, Limits())
        for index, frame in zip(picked, clip.frames, strict=True):
            assert np.array_equal(frame, full.frames[index])


def moving(index: int, width: int, height: int) -> np.ndarray:
    frame = np.random.default_rng(7).integers(0, 255, (height, width, 3), np.uint8)
    return np.roll(frame, index, axis=1)


def test_only_what_is_needed_is_decoded(movie: Movie) -> None:
    data = movie(60, options={"g": "10", "bf": "0"}, draw=moving)
    one_frame = 64 * 48
    pick = lambda timeline: [5, 35]  # noqa: E731
    assert clip_from_media(data, pick, Limits(max_decoded_pixels=12 * one_frame))
    with pytest.raises(MediaError, match="12 frames of 64x48"):
        clip_from_media(data, pick, Limits(max_decoded_pixels=12 * one_frame - 1))


@pytest.mark.parametrize("container", ["mp4", "matroska"])
@pytest.mark.parametrize("start", [0, 500])
def test_a_variable_rate_is_sampled_by_time(container: str, start: int, movie: Movie) -> None:
    data = movie(5, container=container, times=[start + t for t in (0, 10, 50, 60, 100)])
    clip = every(data)
    assert clip.times[:4].tolist() == pytest.approx([0.05, 0.3, 0.55, 0.8], abs=0.001)
    assert levels(clip) == pytest.approx([20, 29, 38, 47, 56], abs=3)


@pytest.mark.parametrize("frames_between", ["0", "2"])
def test_what_an_edit_list_cuts_off_is_not_shown(frames_between: str, movie: Movie) -> None:
    data = movie(10, times=[10 * i - 40 for i in range(10)], options={"bf": frames_between})
    clip = every(data)
    assert levels(clip) == pytest.approx([20 + 9 * i for i in range(4, 10)], abs=3)
    assert clip.times[0] == pytest.approx(0.05, abs=0.01)


def corner(clip: Clip) -> tuple[bool, bool]:
    """Whether the red quarter is at the bottom, and whether it is at the right."""
    frame = clip.frames[0].astype(int)
    red = frame[..., 0] - frame[..., 1] > 100
    rows, columns = np.nonzero(red)
    return bool(rows.mean() > frame.shape[0] / 2), bool(columns.mean() > frame.shape[1] / 2)


@pytest.mark.parametrize("container", ["mp4", "matroska"])
@pytest.mark.parametrize("angle", [0, 90, 180, 270])
def test_a_turned_video_is_upright(angle: int, container: str, movie: Movie) -> None:
    clip = every(movie(2, container=container, turn=(angle, False, False)))
    assert clip.frames[0].shape == ((64, 48, 3) if angle % 180 else (48, 64, 3))
    # FFmpeg counts anticlockwise.
    expected = {0: (False, False), 90: (True, False), 180: (True, True), 270: (False, True)}
    assert corner(clip) == expected[angle]


def test_a_mirrored_video_is_mirrored_back(movie: Movie) -> None:
    assert corner(every(movie(2, turn=(0, True, False)))) == (False, True)
    assert corner(every(movie(2, turn=(0, False, True)))) == (True, False)


def test_a_phone_held_upright() -> None:
    """The matrix that phones write: the picture is shown a quarter turn clockwise."""
    file = io.BytesIO()
    with av.open(file, "w", format="mov") as output:
        stream = output.add_stream("mjpeg", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        one = 1 << 16
        stream.set_display_matrix([0, one, 0, -one, 0, 0, 48 * one, 0, 1 << 30])
        picture = np.zeros((48, 64, 3), np.uint8)
        picture[:24, :32] = (220, 30, 30)
        output.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        output.mux(stream.encode())
    clip = every(file.getvalue())
    assert clip.frames[0].shape == (64, 48, 3)
    assert corner(clip) == (False, True)


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"max_frames": 19}, "more than 19 frames"),
        ({"max_seconds": 1.9}, "lasts 2.0 seconds"),
        ({"max_pixels": 64 * 48 - 1}, "64x48 pixels, but the limit is 3071"),
        ({"max_decoded_pixels": 20 * 64 * 48 - 1}, "20 frames of 64x48"),
        ({"max_bytes": 1000}, "bytes, but the limit is 1000"),
    ],
)
def test_limits_hold_for_videos(limits: dict[str, float], message: str, movie: Movie) -> None:
    with pytest.raises(MediaError, match=message):
        every(movie(20), **limits)


def test_exactly_the_limit_is_allowed(movie: Movie) -> None:
    pixels = 64 * 48
    limits = {"max_frames": 20, "max_seconds": 2, "max_pixels": pixels}
    assert every(movie(20), max_decoded_pixels=20 * pixels, **limits)


@pytest.mark.parametrize("container", ["avi", "matroska"])
@pytest.mark.parametrize("first", [True, False])
def test_a_frame_that_outgrows_its_header_is_refused(container: str, first: bool) -> None:
    pictures = [jpeg(64, 48), jpeg(64, 48, claimed=(60_000, 60_000))]
    with pytest.raises(MediaError):
        every(motion_jpeg(pictures[::-1] if first else pictures, container))


def test_sound_alone_is_no_video(sound: bytes) -> None:
    with pytest.raises(MediaError, match="no video stream"):
        every(sound)


def test_a_video_without_frames_says_so() -> None:
    with pytest.raises(MediaError, match="no frames"):
        every(motion_jpeg([]))


def test_a_damaged_video_says_so(movie: Movie) -> None:
    data = bytearray(movie(20, container="avi", codec="mjpeg"))
    start = data.index(b"movi")
    data[start + 200 : -1000] = bytes(len(data) - 1200 - start)
    with pytest.raises(MediaError, match=r"damaged|ends early|no frames"):
        every(bytes(data))


def referring_movie(movie: bytes) -> bytes:
    """A MOV whose frames are said to lie in another file, by Apple's alias record."""
    name = b"secret.mov"
    alias = bytes(4 + 10 + 1 + 27 + 12) + b"\1" + b"x".ljust(63, b"\0") + bytes(16)
    alias += b"\0\1\0\1" + bytes(16) + struct.pack(">HH", 2, len(name)) + name + b"\xff\xff\0\0"
    entry = struct.pack(">I", 8 + len(alias) + 40) + b"alis" + alias + bytes(40)
    data = bytearray(movie)
    at = data.index(b"dref") + 12
    data[at : at + 12] = entry
    for box in (b"moov", b"trak", b"mdia", b"minf", b"dinf", b"dref"):
        at = data.index(box) - 4
        (length,) = struct.unpack(">I", data[at : at + 4])
        data[at : at + 4] = struct.pack(">I", length + len(entry) - 12)
    return bytes(data)


def test_a_reference_to_another_file_is_not_followed(movie: Movie) -> None:
    data = referring_movie(movie(5, container="mov", codec="mjpeg"))
    asked: list[str] = []

    def record(url: str, flags: int, options: object) -> None:
        asked.append(url)
        raise OSError

    # The file does ask for the other one where a reader lets it.
    with pytest.raises(OSError):  # noqa: PT011
        av.open(io.BytesIO(data), format="mov", io_open=record, options={"enable_drefs": "1"})
    assert asked == ["secret.mov"]
    with pytest.raises(MediaError, match="no frames"):
        every(data)


def test_a_title_in_an_old_encoding_is_no_reason_to_refuse(movie: Movie) -> None:
    data = movie(2, container="avi", codec="mjpeg", title="cafe")
    assert data.count(b"cafe") == 1
    assert len(every(data.replace(b"cafe", b"caf\xe9")).frames) == 2


def test_a_decoder_that_failed_is_freed_at_once(movie: Movie) -> None:
    """FFmpeg's objects hold each other: without help they would wait for the collector."""
    data = movie(20)
    gc.collect()
    gc.disable()
    try:
        for limits in ({"max_frames": 5}, {}):
            with suppress(MediaError):
                every(data, **limits)
            assert not [
                one
                for one in gc.get_objects()
                # Not isinstance: it asks every object for its class, and some of torch's complain.
                if issubclass(type(one), InputContainer) and one.input_was_opened
            ]
    finally:
        gc.enable()


def test_nothing_is_printed(movie: Movie, capfd: pytest.CaptureFixture[str]) -> None:
    data = movie(20)
    every(data)
    with pytest.raises(MediaError):
        every(data[:-100])
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def test_more_threads_decode_the_same_pixels(movie: Movie) -> None:
    data = movie(60, draw=moving)
    assert np.array_equal(
        every(data).frames, clip_from_media(data, every_frame, Limits(), threads=2).frames
    )
