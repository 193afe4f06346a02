"""Decoded frames of a listed clip, whatever it is stored as."""

from pathlib import Path

from clip_har import media
from clip_har.dataset import Clip, sample_bytes
from clip_har.limits import Limits
from clip_har.sampling import Pick


def decoded_clip(data: Path, clip: Clip, pick: Pick, limits: Limits) -> media.Clip:
    """The frames of a clip that `pick` chooses from its timeline; a picture has one.

    Raises ValueError that names the file where it is missing, changed or cannot be read.
    """
    return media.clip_from_media(sample_bytes(data, clip), pick, limits)
