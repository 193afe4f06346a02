"""Videos, read by FFmpeg through PyAV from memory. Nothing but the bytes at hand can be opened."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NoReturn, cast

import numpy as np

from clip_har.avi import AviDecoder
from clip_har.kinds import Kind
from clip_har.limits import Limits, MediaError
from clip_har.preprocess import Pixels
from clip_har.sampling import Timeline

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

_SKIPPING = ("h264", "hevc")
"""Decoders that can leave out frames on which no other frame leans."""
_DECODERS = (
    "av1", "dnxhd", "ffv1", "h263", "h264", "hevc", "libdav1d", "mjpeg", "mpeg1video",
    "mpeg2video", "mpeg4", "msmpeg4", "msmpeg4v2", "prores", "rawvideo", "theora", "vp8", "vp9",
)  # fmt: skip
"""FFmpeg's names of the decoders that may see a sender's bytes."""


class Video:
    """A video file: the frames of its first video stream."""

    still = False
    """A video of one frame is still a video: it has a duration."""

    def __init__(self, data: bytes, kind: Kind, limits: Limits, threads: int) -> None:
        """Reads all packets, and decodes none of them.

        Raises MediaError when it cannot be read or is over a limit.
        """
        self._limits = limits
        self._counts = kind is Kind.AVI
        with explained(), ExitStack() as on_failure:
            self._container = on_failure.enter_context(opened(data, kind, limits))
            self._stream = video_stream(self._container)
            self.codec = self._stream.codec.canonical_name
            prepare(self._stream, limits, threads)
            self._packets = list(packets_of(self._container, self._stream, len(data), limits))
            limits.check_size(self._stream.width, self._stream.height)
            self.timeline = timeline_of(self._packets, self._stream)
            limits.check_seconds(self.timeline.seconds)
            on_failure.pop_all()

    def close(self) -> None:
        """Frees the decoder. FFmpeg's objects hold each other, so nothing else would soon."""
        self._packets.clear()
        self._container.close()

    def frames(self, indices: Sequence[int]) -> Iterator[Pixels]:
        """The frames at ascending indices, upright: RGB (H, W, 3).

        Decodes from the last key frame before each, and no further than the last of them.
        """
        wanted = [self.timeline.starts[index] for index in indices]
        reader = _Reader(self._stream, self._packets, self.timeline.starts, self._counts, wanted)
        self._limits.check_work(self._stream.width, self._stream.height, reader.cost(wanted))
        for time in wanted:
            with explained():
                frame = reader.frame_at(time)
                self._limits.check_size(frame.width, frame.height)
                pixels = rgb_from_frame(frame)
            yield pixels


class _Reader:
    """Decodes forwards, and leaps to a later key frame where that saves work.

    What nobody wants and no other frame leans on is not decoded, where the decoder can tell.
    """

    def __init__(
        self,
        stream: VideoStream,
        packets: list[Packet[Any]],
        starts: Sequence[int],
        counts: bool,
        wanted: Sequence[int],
    ) -> None:
        self._decoder: Any = stream.codec_context
        self._skips = stream.codec.canonical_name in _SKIPPING and not counts
        self._wanted = frozenset(wanted)
        self._packets = packets
        self._starts = starts
        self._avi = AviDecoder(self._decoder, starts) if counts else None
        self._next = 0
        self._decoded: deque[VideoFrame] = deque()
        self._shown: VideoFrame | None = None
        self._place = {_time(packet): i for i, packet in reversed(list(enumerate(packets)))}
        self._keys = [i for i, packet in enumerate(packets) if packet.is_keyframe]

    def cost(self, wanted: Sequence[int]) -> int:
        """Packets to decode for the frames that appear at these ascending times."""
        count = position = 0
        for time in wanted:
            position = max(position, self._entry(time))
            reached = max(position, self._place[time] + 1)
            count, position = count + reached - position, reached
        return count

    def frame_at(self, time: int) -> VideoFrame:
        """The frame on screen at `time`, which may not lie before that of an earlier call."""
        self._leap(self._entry(time))
        while True:
            while self._decoded:
                if time_of_frame(self._decoded[0]) > time:
                    return self._shown or self._decoded[0]
                self._shown = self._decoded.popleft()
                if time_of_frame(self._shown) == time:
                    return self._shown
            if self._next > len(self._packets):
                return self._last()
            self._decode_next()

    def _entry(self, time: int) -> int:
        """The last key packet from which the frame at `time` can be decoded."""
        if self._avi:
            return 0
        last = bisect_right(self._keys, self._place[time])
        for key in reversed(self._keys[:last]):
            # Frames that are sent after a key frame but shown before it lean on what came earlier.
            if _time(self._packets[key]) <= time:
                return key
        return 0

    def _leap(self, entry: int) -> None:
        if entry > self._next:
            self._decoder.flush_buffers()
            self._decoded.clear()
            self._shown = None
            self._next = entry

    def _decode_next(self) -> None:
        packet = self._packets[self._next] if self._next < len(self._packets) else None
        self._next += 1
        if self._skips and packet:
            self._decoder.skip_frame = "DEFAULT" if _time(packet) in self._wanted else "NONREF"
        self._decoded.extend((self._avi or self._decoder).decode(packet))

    def _last(self) -> VideoFrame:
        if self._shown and self._avi and self._avi.last_stays:
            return self._shown
        raise MediaError(
            f"The video ends early: not all of its {len(self._starts)} frames can be decoded. "
            "Send the file again, whole."
        )


def opened(data: bytes, kind: Kind, limits: Limits) -> InputContainer:
    """A file's container, which can open nothing else."""
    import av

    # Titles come in any encoding, and nobody reads them; PyAV 19 needs no telling.
    old = int(av.__version__.split(".")[0]) < 19
    titles: dict[str, Any] = {"metadata_errors": "replace"} if old else {}
    return av.open(
        io.BytesIO(data),
        "r",
        format=kind.value,
        io_open=_refuse,
        **titles,
        options={
            "codec_whitelist": ",".join(_DECODERS),
            "threads": "1",
            **_decoder_options(limits),
        },
    )


def _decoder_options(limits: Limits) -> dict[str, str]:
    """Bounds a frame before its memory is taken; coded in whole blocks it is a little larger."""
    return {"max_pixels": str(2 * limits.max_pixels)}


def _refuse(url: str, flags: int, options: object) -> NoReturn:
    """FFmpeg calls this for whatever else a file asks it to open."""
    raise MediaError(f"The file refers to another one, {url!r}, which is not allowed.")


def video_stream(container: InputContainer) -> VideoStream:
    """The first video stream; raises MediaError where there is none that is read here."""
    from av.stream import Disposition

    for stream in container.streams.video:
        if Disposition.attached_pic in stream.disposition:  # the cover of a piece of music
            continue
        decoder = cast("VideoCodecContext | None", stream.codec_context)
        if decoder is None or decoder.name not in _DECODERS:
            raise MediaError(
                f"The video is coded as {decoder.name if decoder else 'unknown'}, which is not "
                "read here: "
                "send H.264, HEVC, VP8, VP9, AV1, MPEG-4 or MJPEG."
            )
        return stream
    raise MediaError("The file has no video stream. Send a video, or a picture.")


def prepare(stream: VideoStream, limits: Limits, threads: int) -> None:
    """Sets how a stream is decoded, before its first packet is."""
    stream.codec_context.options = _decoder_options(limits)
    stream.thread_count = threads
    stream.thread_type = "AUTO"


def packets_of(
    container: InputContainer, stream: VideoStream, length: int, limits: Limits
) -> Iterator[Packet[Any]]:
    """All packets in the order of decoding, of a file of `length` bytes.

    Raises MediaError where they are damaged, too many, or none.
    """
    count = size = 0
    for packet in container.demux(stream):
        if not packet.size:
            continue
        size += packet.size
        # An index may name the same bytes again and again.
        if packet.is_corrupt or size > length:
            raise MediaError(
                "The video ends early: its index promises more than the file holds. "
                "Send the file again, whole."
            )
        count += 1
        limits.check_frames(count)
        yield packet
    if not count:
        raise MediaError("The video has no frames.")


def timeline_of(packets: Iterable[Packet[Any]], stream: VideoStream) -> Timeline:
    """When the frames in these packets are on screen; raises MediaError where none is."""
    shown = {_time(packet): packet.duration for packet in packets if not packet.is_discard}
    if not shown:
        raise MediaError("The video has no frames: its edit list leaves none to show.")
    starts = sorted(shown)
    gap = starts[-1] - starts[-2] if len(starts) > 1 else 1
    end = starts[-1] + max(shown[starts[-1]] or gap, 1)
    return Timeline(starts, end, stream.time_base or Fraction(1))


def _time(packet: Packet[Any]) -> int:
    time = packet.dts if packet.pts is None else packet.pts
    if time is None:
        raise MediaError("The video is damaged: a frame has no time.")
    return time


def time_of_frame(frame: VideoFrame) -> int:
    """When a decoded frame appears, in units of its stream."""
    if frame.pts is None:
        raise MediaError("The video is damaged: a frame has no time.")
    return frame.pts


def rgb_from_frame(frame: VideoFrame) -> Pixels:
    """RGB (H, W, 3), turned by the display matrix."""
    pixels = cast(Pixels, frame.reformat(format="rgb24", threads=1).to_ndarray())  # (H, W, 3)
    matrix: Any = cast(Any, frame.side_data).get("DISPLAYMATRIX")
    if matrix is not None:
        pixels = _turned(pixels, np.frombuffer(matrix, np.int32).tolist())
    return np.ascontiguousarray(pixels)


def _turned(pixels: Pixels, matrix: Sequence[int]) -> Pixels:
    """Quarter turns and mirrors: (x, y) goes to (a x + c y, b x + d y)."""
    a, b, _, c, d = matrix[:5]
    if abs(a) < abs(b):
        pixels, a, d = pixels.transpose(1, 0, 2), c, b
    return pixels[:: -1 if d < 0 else 1, :: -1 if a < 0 else 1]


@contextmanager
def explained() -> Generator[None]:
    """Turns what FFmpeg says of bad bytes into a MediaError."""
    try:
        yield
    except MediaError:
        raise
    except Exception as error:
        raise MediaError(
            "The video is damaged, ends early, or is not what its first bytes say: "
            f"{getattr(error, 'strerror', None) or error or type(error).__name__}."
        ) from error
