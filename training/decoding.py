"""Decoded frames of a listed clip, whatever it is stored as: a video, a picture, or frames.

N frames of a folder, H and W of a frame.
"""

import re
from fractions import Fraction
from pathlib import Path

import numpy as np

from clip_har import media
from clip_har.dataset import MANIFEST_FILE, Clip, sample_bytes
from clip_har.limits import Limits, MediaError
from clip_har.preprocess import Pixels
from clip_har.product import tree_hash
from clip_har.sampling import Pick, Timeline

DECODING_CODE = (Path(__file__), Path(__file__).parent.parent / "clip_har")
"""What decoded frames depend on beside the media."""
_FRAME = re.compile(r"(?P<kind>.*?)(?P<number>\d+)\.(?:jpe?g|png|webp)", re.IGNORECASE)
_USUAL_KIND = "img_"
"""Folders of frames may hold optical flow beside these."""


def decoded_clip(
    data: Path, clip: Clip, pick: Pick, limits: Limits, *, seen_before: bool = False
) -> media.Clip:
    """The frames of a clip that `pick` chooses from its timeline; a picture has one.

    Raises ValueError that names the file where it is missing, changed or cannot be read. Of a
    folder of frames that was `seen_before` only the number of frames is compared: hashing it reads
    all of them.
    """
    path = data / clip.path
    try:
        if clip.fps is None:
            return media.clip_from_media(sample_bytes(data, clip), pick, limits)
        _check_folder(path, clip, whole=not seen_before)
        return clip_from_frames(path, clip.fps, pick, limits)
    except MediaError as error:
        raise MediaError(f"{path}: {error}") from error


def clip_from_frames(folder: Path, fps: float, pick: Pick, limits: Limits) -> media.Clip:
    """The frames that `pick` chooses from a folder of N pictures, shown for 1 / `fps` seconds each.

    Only those that are chosen are read. Raises MediaError like `media.clip_from_media`.
    """
    files = frame_files(folder)
    limits.check_frames(len(files))
    timeline = Timeline(range(len(files)), len(files), 1 / Fraction(fps))
    limits.check_seconds(timeline.seconds)
    picked = list(pick(timeline))
    shown: dict[int, Pixels] = {}
    codec = ""
    for index in sorted(set(picked)):
        picture = _picture(files[index], limits)
        shown[index], codec = picture.frames[0], picture.codec
        height, width = shown[index].shape[:2]  # (H, W, 3)
        limits.check_work(width, height, len(set(picked)))
    times = np.array(timeline.middles(picked), np.float32)
    return media.Clip([shown[index] for index in picked], times, still=False, codec=codec)


def frame_files(folder: Path) -> list[Path]:
    """The pictures of a folder of frames in the order of their numbers: `img_00001.jpg`, ...

    Raises MediaError where there is none, or where files are numbered in more than one way.
    """
    kinds: dict[str, list[tuple[int, Path]]] = {}
    for path in folder.iterdir():
        if match := _FRAME.fullmatch(path.name):
            kinds.setdefault(match["kind"], []).append((int(match["number"]), path))
    if not kinds:
        raise MediaError("The folder holds no numbered pictures, such as img_00001.jpg.")
    if len(kinds) > 1 and _USUAL_KIND not in kinds:
        found = ", ".join(f"{kind}NUMBER" for kind in sorted(kinds))
        raise MediaError(
            f"The folder's pictures are numbered in several ways ({found}): keep one, or name the "
            f"frames {_USUAL_KIND}NUMBER."
        )
    chosen = kinds.get(_USUAL_KIND) or next(iter(kinds.values()))
    return [path for _, path in sorted(chosen)]


def _picture(file: Path, limits: Limits) -> media.Clip:
    try:
        limits.check_bytes(file.stat().st_size)
        return media.clip_from_media(file.read_bytes(), lambda _: [0], limits)
    except MediaError as error:
        raise MediaError(f"Frame {file.name}: {error}") from error


def _check_folder(folder: Path, clip: Clip, *, whole: bool) -> None:
    if not folder.is_dir():
        raise ValueError(
            f"{folder}: a folder of frames that {MANIFEST_FILE} lists, but missing. "
            "Build the data set again."
        )
    found = tree_hash(folder) if whole else len(frame_files(folder))
    if found != (clip.sha256 if whole else clip.frames):
        what = "sha256" if whole else "number"
        raise ValueError(
            f"{folder}: not the frames that {MANIFEST_FILE} lists (their {what} differs). "
            "Build the data set, and what was made from it, again."
        )
