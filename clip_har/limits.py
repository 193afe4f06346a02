"""How much of a machine one piece of media may take, and what is said when it asks for more."""

from pydantic import Field

from clip_har.config import Config


class MediaError(ValueError):
    """Media that cannot be read or are not allowed. The message is meant for the sender."""


class SizeLimits(Config):
    """How large a picture may be."""

    max_pixels: int = Field(default=50_000_000, gt=0)
    """Most pixels (width times height) of a picture or of one frame of a video."""
    max_aspect: int = Field(default=500, gt=0)
    """Most times that the longer side of a picture may be its shorter side."""

    def check_size(self, width: int, height: int) -> None:
        """Raises MediaError when a picture of this size is too large or too narrow."""
        if width < 1 or height < 1:
            raise MediaError(f"The picture is empty: {width}x{height} pixels.")
        if width * height > self.max_pixels:
            raise MediaError(
                f"The picture has {width}x{height} pixels, but the limit is {self.max_pixels} "
                "pixels (max_pixels): send it smaller."
            )
        if max(width, height) > self.max_aspect * min(width, height):
            raise MediaError(
                f"The picture is too narrow: {width}x{height} pixels, but the longer side may be "
                f"{self.max_aspect} times the shorter one (max_aspect): crop it."
            )


class Limits(SizeLimits):
    """What one piece of media may cost. Each is checked before the work they bound."""

    max_bytes: int = Field(default=64 * 2**20, gt=0)
    """Largest file in bytes."""
    max_seconds: float = Field(default=300.0, gt=0)
    """Longest video in seconds."""
    max_frames: int = Field(default=18_000, gt=0)
    """Most frames in a video, before any are chosen."""
    max_decoded_pixels: int = Field(default=10_000_000_000, gt=0)
    """Most pixels to decode for one video: pixels of a frame times the frames to decode."""

    def check_bytes(self, count: int) -> None:
        """Raises MediaError when a file of `count` bytes is too large."""
        if count > self.max_bytes:
            raise MediaError(
                f"The file has {count} bytes, but the limit is {self.max_bytes} (max_bytes): "
                "send a smaller or a more compressed one."
            )

    def check_frames(self, count: int) -> None:
        """Raises MediaError when a video has too many frames."""
        if count > self.max_frames:
            raise MediaError(
                f"The video has more than {self.max_frames} frames, the limit (max_frames): "
                "send a shorter one."
            )

    def check_seconds(self, seconds: float) -> None:
        """Raises MediaError when a video is too long."""
        if seconds > self.max_seconds:
            raise MediaError(
                f"The video lasts {seconds:.1f} seconds, but the limit is {self.max_seconds:g} "
                "(max_seconds): send a shorter one."
            )

    def check_work(self, width: int, height: int, frames: int) -> None:
        """Raises MediaError when decoding `frames` frames of this size is too much work."""
        if width * height * frames > self.max_decoded_pixels:
            raise MediaError(
                f"{frames} frames of {width}x{height} pixels would have to be decoded, but the "
                f"limit is {self.max_decoded_pixels} pixels (max_decoded_pixels): send a shorter "
                "or a smaller video."
            )


class MediaSettings(Limits):
    """All that the server's preprocessing can be told: the parameters of its config.pbtxt."""

    frames: int = Field(gt=0)
    """T, frames sampled from a video."""
    image_size: int = Field(gt=0)
    """S, side of the model's input in pixels."""
    threads: int = Field(default=1, gt=0)
    """Threads that decode one video."""
    scaled_jpeg: bool = False
    """Whether a JPEG is decoded at 1/2, 1/4 or 1/8 where twice `image_size` is left: not exact."""
