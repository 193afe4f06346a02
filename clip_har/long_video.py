"""A long video, read twice from its start to its end: once for its times, once for its frames.

Neither its packets nor its frames are held, so memory does not grow with its length.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

from clip_har.avi import AviDecoder
from clip_har.kinds import Kind
from clip_har.limits import Limits, MediaError
from clip_har.preprocess import Pixels
from clip_har.video import (
    explained,
    opened,
    packets_of,
    prepare,
    rgb_from_frame,
    time_of_frame,
    timeline_of,
    video_stream,
)

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream


class LongVideo:
    """The same frames as those of `Video`, for whoever wants many of them, in order."""

    still = False
    """A video of one frame is still a video: it has a duration."""

    def __init__(self, data: bytes, kind: Kind, limits: Limits, threads: int) -> None:
        """Reads all packets, keeps their times, and decodes none of them.

        Raises MediaError when it cannot be read or is over a limit.
        """
        self._data, self._kind, self._limits, self._threads = data, kind, limits, threads
        with explained(), self._read() as (stream, packets):
            limits.check_size(stream.width, stream.height)
            self.timeline = timeline_of(packets, stream)
            limits.check_seconds(self.timeline.seconds)
            limits.check_work(stream.width, stream.height, len(self.timeline.starts))

    def close(self) -> None:
        """Nothing to free: a file is open only while it is read."""

    def frames(self, indices: Sequence[int]) -> Iterator[Pixels]:
        """The frames at ascending indices, upright: RGB (H, W, 3)."""
        with closing(self._decoded()) as decoded:
            before = after = None
            for index in indices:
                time = self.timeline.starts[index]
                with explained():
                    while after is None or time_of_frame(after) < time:
                        before, after = after, next(decoded)
                    late = time_of_frame(after) > time and before
                    pixels = rgb_from_frame(late or after)
                yield pixels

    def _decoded(self) -> Generator[VideoFrame]:
        """Every frame in order; raises MediaError at the end, where no more should be asked for."""
        starts = self.timeline.starts
        given, frame = 0, None
        with self._read() as (stream, packets):
            decoder = stream.codec_context
            avi = AviDecoder(decoder, starts) if self._kind is Kind.AVI else None
            for packet in chain(packets, [None]):
                for frame in (avi or decoder).decode(packet):
                    self._limits.check_size(frame.width, frame.height)
                    given += 1
                    yield frame
            if frame and avi and avi.last_stays:
                frame.pts = starts[-1]
                yield frame
        raise MediaError(
            f"The video ends early: {given} of its {len(starts)} frames can be decoded. "
            "Send the file again, whole."
        )

    @contextmanager
    def _read(self) -> Generator[tuple[VideoStream, Iterator[Packet[Any]]]]:
        """The video stream, ready to be decoded, and its packets."""
        with opened(self._data, self._kind, self._limits) as container:
            stream = video_stream(container)
            prepare(stream, self._limits, self._threads)
            yield stream, packets_of(container, stream, len(self._data), self._limits)
