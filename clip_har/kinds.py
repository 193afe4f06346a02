"""The kinds of files that are read, and how they are told of: nothing but names."""

from enum import Enum


class Kind(Enum):
    """The files that we read; everything else is refused. The value is the decoder's name of it."""

    JPEG = "JPEG"
    PNG = "PNG"
    WEBP = "WEBP"
    GIF = "GIF"
    MP4 = "mov"
    AVI = "avi"
    MATROSKA = "matroska"


PICTURES = (Kind.JPEG, Kind.PNG, Kind.WEBP, Kind.GIF)
"""Kinds that Pillow decodes. The others go to FFmpeg."""

ACCEPTED = "JPEG, PNG, WebP, GIF, MP4, MOV, AVI, WebM or MKV"
PICTURE_SUFFIXES = frozenset({".gif", ".jpeg", ".jpg", ".png", ".webp"})
VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
"""How their names usually end."""
