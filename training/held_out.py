"""What a server would see of held-out clips, decoded once and kept on disk.

C clips, V views of a clip (times clips along time, crops across), T frames, S side in pixels.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clip_har.dataset import Clip, Pair
from clip_har.limits import Limits, MediaError
from clip_har.preprocess import Pixels, pixels_from_image, rgb_from_image
from clip_har.product import file_hash, fingerprint, is_current, record_inputs, staged, tree_hash
from clip_har.progress import progress_bar
from clip_har.sampling import Timeline, centre_frames
from training.decoding import DECODING_CODE, decoded_clip
from training.workers import in_order, worker_pool

CODE = (Path(__file__), *DECODING_CODE)
CROPS = (1, 3)
CLIPS_AT_ONCE = 64
BROKEN_FILE = "broken.json"
_Seen = tuple[Pixels, NDArray[np.float32]]
"""All views of a clip, (V, T, S, S, 3), and seconds, (V, T)."""


@dataclass(frozen=True)
class Views:
    """How a clip is looked at; the answers of all views are averaged."""

    frames: int
    """T, frames of a view."""
    size: int
    """S, side in pixels."""
    clips: int = 1
    """Views along time. 1: T frames over the whole clip, as a server samples. More: the clip is
    sampled that many times more finely, and view i takes every frame i, i + clips, ..."""
    crops: int = 1
    """Views across a frame: 1 is the centre; 3 are both ends and the centre of its longer side."""

    def __post_init__(self) -> None:
        if self.clips < 1 or self.crops not in CROPS:
            raise ValueError(
                f"{self.clips} clips x {self.crops} crops: clips must be 1 or more, crops 1 or 3."
            )

    @property
    def count(self) -> int:
        """V."""
        return self.clips * self.crops


@dataclass(frozen=True)
class ViewSet:
    """The views of C clips."""

    frames: NDArray[np.uint8]
    """Mapped from disk, (C, V, T, S, S, 3)."""
    times: Tensor
    """Seconds, (C, V, T)."""
    broken: Mapping[str, str] = field(default_factory=dict[str, str])
    """Clips that could not be decoded and were left out, by path: why."""

    def __len__(self) -> int:
        return len(self.times)

    def picture(self, clip: int) -> Pixels:
        """The middle frame of a clip's first view, (S, S, 3)."""
        return self.frames[clip, 0, self.frames.shape[2] // 2]


def views_from_clips(
    clips: Sequence[Clip], data: Path, views: Views, cache: Path, title: str
) -> ViewSet:
    """Decodes the views of the clips, or opens `cache` where it holds the same.

    Raises ValueError like `decoded_views`.
    """
    made_from = fingerprint(
        {
            "clips": [(clip.path, clip.sha256) for clip in clips],
            "views": (views.frames, views.size, views.clips, views.crops),
            "code": [tree_hash(part) for part in CODE],
        }
    )
    if not is_current(cache, made_from):
        with staged(cache) as staging:
            _write(staging, clips, data, views, title)
            record_inputs(staging, made_from)
    times = np.load(cache / "times.npy")
    return ViewSet(
        frames=np.load(cache / "frames.npy", mmap_mode="c")[: len(times)],
        times=torch.from_numpy(times),
        broken=json.loads((cache / BROKEN_FILE).read_text()),
    )


def decoded_views(
    clips: Sequence[Clip], data: Path, views: Views, title: str, broken: dict[str, str]
) -> Iterator[ViewSet]:
    """The views of the clips, some clips at a time, and nothing kept on disk.

    Clips that cannot be decoded are left out, and added to `broken` by path: why. Raises ValueError
    where that is all of them, and where a file is missing or is not the one that is listed.
    """
    told = 0
    with worker_pool(_Worker.begin, data, views) as pool:
        seen = in_order(pool, _Worker.see, clips)
        results = progress_bar(seen, f"decode {title}", len(clips))
        whole = _whole(clips, results, broken)
        while some := list(islice(whole, CLIPS_AT_ONCE)):
            frames, times = zip(*some, strict=True)
            yield ViewSet(np.stack(frames), torch.from_numpy(np.stack(times)))
            told += len(some)
    if clips and not told:
        raise ValueError(
            f"None of the {len(clips)} clips can be decoded ({title}): {broken[clips[0].path]} "
            "Look at the data with: python -m training inspect DATA"
        )


def clips_of_pairs(pairs: Sequence[Pair], data: Path) -> tuple[list[Clip], list[Clip]]:
    """The forward and the backward files of pairs, as clips; seconds and frames are not read."""

    def clip(path: str, label: str) -> Clip:
        file = data / path
        if not file.is_file():
            raise ValueError(f"{file}: a pair of the data set, but missing. Build the data again.")
        sha256 = file_hash(file)
        return Clip(path=path, label=label, sha256=sha256, split="test", seconds=0, frames=0)

    return (
        [clip(pair.forward, pair.label) for pair in pairs],
        [clip(pair.backward, pair.reversed_label) for pair in pairs],
    )


def _write(folder: Path, clips: Sequence[Clip], data: Path, views: Views, title: str) -> None:
    shape = (len(clips), views.count, views.frames, views.size, views.size, 3)
    frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.uint8, shape)
    times = np.zeros(shape[:3], np.float32)
    row = 0
    broken: dict[str, str] = {}
    for some in decoded_views(clips, data, views, title, broken):
        rows = slice(row, row := row + len(some))
        frames[rows], times[rows] = some.frames, some.times.numpy()
    frames.flush()
    np.save(folder / "times.npy", times[:row])
    (folder / BROKEN_FILE).write_text(json.dumps(broken, indent=1) + "\n")


def _whole(
    clips: Sequence[Clip], results: Iterable[_Seen | MediaError], broken: dict[str, str]
) -> Iterator[_Seen]:
    for clip, result in zip(clips, results, strict=True):
        if isinstance(result, MediaError):
            broken[clip.path] = str(result)
        else:
            yield result


class _Worker:
    """Decodes clips in a process of its own."""

    data: Path
    views: Views

    @classmethod
    def begin(cls, data: Path, views: Views) -> None:
        """Takes what all clips of this process need."""
        cls.data, cls.views = data, views

    @classmethod
    def see(cls, clip: Clip) -> _Seen | MediaError:
        """What can be seen of a clip, or why it cannot be decoded."""
        views = cls.views

        def pick(timeline: Timeline) -> Sequence[int]:
            return centre_frames(timeline.starts, timeline.end, views.frames * views.clips)

        try:
            decoded = decoded_clip(cls.data, clip, pick, Limits())
        except MediaError as error:
            return error
        fine = views.frames * views.clips
        repeats = fine // len(decoded.frames)  # a picture stands still
        shots = [
            np.stack([_cropped(frame, views.size, crop, views.crops) for frame in decoded.frames])
            for crop in range(views.crops)
        ]
        frames, times = [], []
        for first in range(views.clips):
            for shot in shots:
                frames.append(np.repeat(shot, repeats, axis=0)[first :: views.clips])
                times.append(np.repeat(decoded.times, repeats)[first :: views.clips])
        return np.stack(frames), np.stack(times)


def _cropped(frame: Pixels, size: int, crop: int, crops: int) -> Pixels:
    """One of the crops along a frame's longer side, (S, S, 3)."""
    if crops == 1:
        return pixels_from_image(frame, size)
    picture = rgb_from_image(frame)
    width, height = picture.size
    side = min(width, height)
    left = (width - side) * crop // (crops - 1)
    top = (height - side) * crop // (crops - 1)
    return pixels_from_image(picture.crop((left, top, left + side, top + side)), size)
