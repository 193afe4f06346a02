"""Frames of an AVI with their times: the file has times of packets, in the order of decoding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from av.packet import Packet
    from av.video.codeccontext import VideoCodecContext
    from av.video.frame import VideoFrame

_LARGEST_PLACEHOLDER = 19
"""Bytes of a packet that may hold nothing but a VOP that is not coded: FFmpeg's own bound."""


class AviDecoder:
    """Decodes all packets of an AVI in their order, and tells when each frame appears.

    FFmpeg's guesses of presentation times are right as a set, not frame by frame, so frames are
    counted. In MPEG-4 a packet may be a placeholder, a VOP that is not coded and gives no frame:
    the frame before it stays on screen.
    """

    def __init__(self, decoder: VideoCodecContext, starts: Sequence[int]) -> None:
        """`starts` are the times of all packets, ascending."""
        from av.video.frame import PictureType

        self._decoder = decoder
        self._starts = starts
        self._placeholders = decoder.name == "mpeg4"
        self._b_frame = PictureType.B.value
        self._sent = self._given = 0
        self._awaited: dict[int, None] = {}  # numbers of packets that must still give a frame

    def decode(self, packet: Packet[Any] | None) -> Iterator[VideoFrame]:
        """The frames that come next; None asks for those that are left."""
        if packet and self._placeholders:
            packet.pts = self._sent  # the decoder hands it on to the packet's frame
            if packet.size > _LARGEST_PLACEHOLDER:
                self._awaited[self._sent] = None
        self._sent += 1
        for frame in self._decoder.decode(packet):
            place = max(self._given, self._place(frame) if self._placeholders else 0)
            self._given = place + 1
            frame.pts = self._starts[min(place, len(self._starts) - 1)]
            yield frame

    @property
    def last_stays(self) -> bool:
        """Whether the last frame stays to the end: what gave no frame is small enough to be a
        placeholder. To be asked when no frames are left."""
        return self._placeholders and not self._awaited

    def _place(self, frame: VideoFrame) -> int:
        """The earliest place of a frame, by the packet that it came from.

        Frames come in the order of their packets, but a B-frame overtakes one on which it leans,
        and takes its place. A packet that should have given a frame and did not stays first in the
        queue: then the count alone places frames, and falls short at the end.
        """
        # For the last frame, FFmpeg names a placeholder at the end rather than the frame's packet.
        named = frame.pts or 0
        overtakes = frame.pict_type == self._b_frame
        queue = [*(number for number in islice(self._awaited, 2) if number < named), named]
        own = queue[min(overtakes, len(queue) - 1)]
        self._awaited.pop(own, None)
        return own - overtakes
