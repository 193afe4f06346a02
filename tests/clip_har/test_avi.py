"""AVIs as XviD and DivX write them: MPEG-4, some packets of which hold no frame."""

import io
import re
from collections.abc import Callable, Sequence
from fractions import Fraction

import av
import numpy as np
import pytest

from clip_har.kinds import Kind
from clip_har.limits import Limits, MediaError
from clip_har.long_video import LongVideo
from clip_har.media import Clip, clip_from_media
from clip_har.sampling import every_frame

Movie = Callable[..., bytes]
VOP = b"\0\0\1\xb6"
# Two bits of type, P. No second passed, a marker, 4 bits of time (10 a second), a marker, not
# coded, stuffing.
NOT_CODED = VOP + bytes([0b01_0_1_0000, 0b1_0_011111])


def drawn(index: int, width: int, height: int) -> np.ndarray:
    """Noise, so that no packet is small, over the level that tells the frame."""
    frame = np.random.default_rng(index).integers(0, 255, (height, width, 3), np.uint8)
    frame[height // 2 :] = 20 + 9 * index
    return frame


def coded(movie: Movie, **options: str) -> tuple[bytes, list[bytes]]:
    """An AVI of 10 frames, and its packets."""
    data = movie(10, container="avi", codec="mpeg4", options=options, draw=drawn)
    with av.open(io.BytesIO(data)) as file:
        return data, [bytes(packet) for packet in file.demux(video=0) if packet.size]


def remuxed(data: bytes, packets: Sequence[bytes], container: str = "avi") -> bytes:
    """The same file with other packets."""
    result = io.BytesIO()
    with av.open(io.BytesIO(data)) as file, av.open(result, "w", format=container) as output:
        stream = output.add_stream_from_template(file.streams.video[0])
        for index, content in enumerate(packets):
            packet = av.Packet(content)
            packet.stream, packet.dts, packet.duration = stream, index, 1
            packet.pts = None if container == "avi" else index
            packet.time_base = Fraction(1, 10)
            output.mux(packet)
    return result.getvalue()


def is_b(packet: bytes) -> bool:
    return packet[packet.rindex(VOP) + 4] >> 6 == 2


def packed(packets: Sequence[bytes]) -> list[bytes]:
    """Each B-frame in the packet of the frame before it, and a placeholder where it was."""
    result: list[bytes] = []
    for packet in packets:
        result.append(NOT_CODED if is_b(packet) else packet)
        if is_b(packet):
            result[-2] += packet
    # FFmpeg looks for a second frame in a packet where DivX says so.
    return [re.sub(b"Lavc[0-9.]+", b"DivX503b1393p", packet) for packet in result]


def every(data: bytes, threads: int = 1) -> Clip:
    return clip_from_media(data, every_frame, Limits(), threads)


def shown(clip: Clip) -> list[int]:
    """The drawn frame that is on screen in each place."""
    return [round((int(frame[-1, -1, 0]) - 20) / 9) for frame in clip.frames]


@pytest.mark.parametrize("container", ["avi", "matroska"])
@pytest.mark.parametrize("dropped", [[0], [4], [4, 5], [2, 7], [9], [8, 9], range(1, 10)])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_dropped_frame_repeats_the_one_before_and_moves_no_other(
    dropped: Sequence[int], threads: int, container: str, movie: Movie
) -> None:
    data, packets = coded(movie, bf="0", g="1")
    kept = [i for i in range(10) if i not in dropped]
    data = remuxed(data, [packets[i] if i in kept else NOT_CODED for i in range(10)], container)
    clip = every(data, threads)
    assert shown(clip) == [max((k for k in kept if k <= i), default=kept[0]) for i in range(10)]
    assert clip.times.tolist() == pytest.approx([0.05 + 0.1 * i for i in range(10)], abs=0.001)


@pytest.mark.parametrize("threads", [1, 2])
def test_packed_b_frames_come_in_order(threads: int, movie: Movie) -> None:
    data, packets = coded(movie, bf="1")
    packets = packed(packets)
    assert packets.count(NOT_CODED) == 4
    assert shown(every(remuxed(data, packets), threads)) == list(range(10))


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (0, [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (1, [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        (10, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]),
    ],
)
@pytest.mark.parametrize("pack", [packed, list])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_placeholder_without_its_b_frame_repeats_the_frame_before(
    threads: int,
    pack: Callable[[list[bytes]], list[bytes]],
    at: int,
    expected: list[int],
    movie: Movie,
) -> None:
    data, packets = coded(movie, bf="1")
    packets = pack(packets)
    packets.insert(at, NOT_CODED)
    assert shown(every(remuxed(data, packets), threads)) == expected


def test_a_b_frame_that_is_dropped_moves_no_other(movie: Movie) -> None:
    data, packets = coded(movie, bf="2")
    assert [is_b(packet) for packet in packets[:4]] == [False, False, True, True]
    packets[2] = packets[2][: len(VOP) + 1] + NOT_CODED[-1:]  # at its own time
    assert shown(every(remuxed(data, packets))) == [0, 0, *range(2, 10)]


def test_chosen_frames_equal_those_of_a_full_decode(movie: Movie) -> None:
    data, packets = coded(movie, bf="1")
    data = remuxed(data, [packets[0], NOT_CODED, *packets[1:], NOT_CODED, NOT_CODED])
    full = every(data)
    for picked in ([12], [11], [10, 12], [1], [0, 2, 7]):
        clip = clip_from_media(data, lambda _, picked=picked: picked, Limits())
        long = LongVideo(data, Kind.AVI, Limits(), threads=1).frames(picked)
        for index, frame, of_long in zip(picked, clip.frames, long, strict=True):
            assert np.array_equal(frame, full.frames[index])
            assert np.array_equal(of_long, full.frames[index])


@pytest.mark.parametrize("dropped", [[], [0], [11]])
@pytest.mark.parametrize("threads", [1, 2])
def test_a_b_frame_that_cannot_be_decoded_is_no_dropped_one(
    dropped: list[int], threads: int, movie: Movie
) -> None:
    data, packets = coded(movie, bf="1")
    packets.insert(0, packets[2])  # before all that it leans on: FFmpeg passes it over
    for at in dropped:
        packets.insert(at, NOT_CODED)
    with pytest.raises(MediaError, match=f"not all of its {len(packets)} frames"):
        every(remuxed(data, packets), threads)


def test_dropped_frames_alone_are_no_video(movie: Movie) -> None:
    data, _ = coded(movie)
    with pytest.raises(MediaError, match="not all of its 3 frames"):
        every(remuxed(data, [NOT_CODED] * 3))


def test_what_breaks_off_after_a_dropped_frame_is_refused(movie: Movie) -> None:
    data, packets = coded(movie, bf="0", g="1")
    data = remuxed(data, [packets[0], NOT_CODED, *packets[2:]])
    with pytest.raises(MediaError, match=r"damaged|ends early"):
        every(data[: data.rindex(b"00dc", 0, data.rindex(b"idx1")) + 100])
