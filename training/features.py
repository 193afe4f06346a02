"""Frame embeddings of training clips under a frozen CLIP, computed once and kept on disk.

C clips, N frames of the longest clip, T sampled frames, S side in pixels, D embedding.
"""

import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import CLIPModel

from clip_har.dataset import Clip
from clip_har.limits import Limits, MediaError
from clip_har.nn.clip import encode_frames, pixels_from_frames
from clip_har.preprocess import pixels_from_image
from clip_har.product import fingerprint, is_current, record_inputs, tree_hash
from clip_har.progress import progress_bar
from clip_har.sampling import Timeline, centre_frames, every_frame
from clip_har.spec import Preprocessing
from training.decoding import DECODING_CODE, decoded_clip
from training.workers import in_order, worker_pool

CODE = (Path(__file__), *DECODING_CODE)
PAST_THE_END = 2.0  # where a padded frame ends; places in a clip go from 0 to 1
CLIPS_A_SHARD = 512


@dataclass(frozen=True)
class FeatureSet:
    """Frames of C clips as embeddings, ready to be sampled in any way."""

    embeds: Tensor
    """Unit frame embeddings, zero after a clip's end, (C, N, D)."""
    ends: Tensor
    """When each frame goes off screen, as a share of its clip, (C, N)."""
    seconds: Tensor
    """Length of each clip, (C,)."""
    labels: Tensor
    """Class of each clip, (C,)."""
    faults: tuple[str, ...] = ()
    """Why each clip that could not be decoded was left out."""

    def __len__(self) -> int:
        return len(self.labels)

    def sampled(self, clips: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """The frames on screen at given places of given clips.

        clips (B,), places (B, T) in [0, 1) -> embeddings (B, T, D), seconds (B, T).
        """
        ends = self.ends[clips]  # (B, N)
        index = torch.searchsorted(ends, places.contiguous(), right=True)  # (B, T)
        starts = torch.cat([torch.zeros_like(ends[:, :1]), ends[:, :-1]], dim=1)
        middles = (starts.gather(1, index) + ends.gather(1, index)) / 2
        return self.embeds[clips[:, None], index], middles * self.seconds[clips][:, None]


class FrozenEncoder:
    """A CLIP's vision tower that is not trained."""

    def __init__(self, clip: CLIPModel, preprocessing: Preprocessing, identity: str) -> None:
        self.clip = clip.eval()
        self.preprocessing = preprocessing
        self.identity = identity

    def __call__(self, frames: np.ndarray) -> Tensor:
        """Uint8 frames (N, S, S, 3), perhaps none -> unit frame embeddings (N, D), on the CPU."""
        if not len(frames):
            return torch.zeros(0, self.clip.visual_projection.out_features)
        return self.embeds(torch.from_numpy(frames)[None].to(self.clip.device))[0].cpu()

    @torch.no_grad()
    def embeds(self, frames: Tensor) -> Tensor:
        """Uint8 frames (B, T, S, S, 3) on the CLIP's device -> embeddings (B, T, D)."""
        return encode_frames(self.clip, pixels_from_frames(frames, self.preprocessing))


def features_from_clips(
    clips: Sequence[Clip],
    labels: Sequence[str],
    data: Path,
    encoder: FrozenEncoder,
    most_frames: int,
    cache: Path,
) -> FeatureSet:
    """Encodes up to `most_frames` frames of each clip, or opens `cache` where it holds the same.

    The cache is written in shards: interrupted, it goes on with the next one. A clip that cannot be
    decoded is left out and named. Raises ValueError where that is every clip, and where a file is
    missing or is not the one that is listed.
    """
    made_from = fingerprint(
        {
            "clips": [clip.sha256 for clip in clips],
            "frames": most_frames,
            "clip": encoder.identity,
            "code": [tree_hash(part) for part in CODE],
        }
    )
    if not is_current(cache, made_from):
        shutil.rmtree(cache, ignore_errors=True)
        cache.mkdir(parents=True)
        record_inputs(cache, made_from)
    shards = {
        cache / f"{start // CLIPS_A_SHARD:05d}.safetensors": clips[start : start + CLIPS_A_SHARD]
        for start in range(0, len(clips), CLIPS_A_SHARD)
    }
    missing = {path: some for path, some in shards.items() if not path.exists()}
    if missing:
        _write_shards(missing, data, encoder, most_frames, len(clips))
    truth = torch.tensor([labels.index(clip.label) for clip in clips])
    return _joined(list(shards), truth)


@dataclass(frozen=True)
class _Seen:
    """One clip: pixels (N, S, S, 3) or embeddings (N, D), ends (N,), seconds. N is 0 where it
    cannot be decoded."""

    frames: np.ndarray
    ends: list[float]
    seconds: float
    fault: str = ""


def _write_shards(
    shards: dict[Path, Sequence[Clip]], data: Path, encoder: FrozenEncoder, most: int, total: int
) -> None:
    clips = [clip for some in shards.values() for clip in some]
    # On a CPU every core encodes what it decodes; a GPU waits for the decoders.
    in_workers = encoder.clip.device.type == "cpu"
    with worker_pool(_Worker.begin, encoder if in_workers else None, data, most,
                     encoder.preprocessing.image_size) as pool:  # fmt: skip
        results = in_order(pool, _Worker.see, clips)
        seen = iter(progress_bar(results, "encode clips", total, total - len(clips)))
        for path, some in shards.items():
            _write_shard(path, _embedded(seen, len(some), None if in_workers else encoder))
        next(seen, None)  # or the bar would stop one clip short of its end


def _embedded(seen: Iterator[_Seen], count: int, encoder: FrozenEncoder | None) -> Iterable[_Seen]:
    for _ in range(count):
        one = next(seen)
        embeds = encoder(one.frames).numpy() if encoder else one.frames
        yield replace(one, frames=embeds)


def _write_shard(path: Path, seen: Iterable[_Seen]) -> None:
    clips = list(seen)
    partial = path.with_suffix(".partial")
    tensors = {
        "embeds": torch.from_numpy(np.concatenate([clip.frames for clip in clips])),
        "ends": torch.tensor([end for clip in clips for end in clip.ends]),
        "counts": torch.tensor([len(clip.ends) for clip in clips]),
        "seconds": torch.tensor([clip.seconds for clip in clips]),
    }
    faults = [clip.fault for clip in clips if clip.fault]
    save_file(tensors, partial, metadata={"faults": json.dumps(faults)})
    partial.rename(path)


def _joined(paths: Sequence[Path], truth: Tensor) -> FeatureSet:
    """The shards as one, read one after the other: all at once would take the memory twice."""
    counts = torch.cat([_read(path, "counts") for path in paths])
    faults = tuple(fault for path in paths for fault in _faults(path))
    whole = counts > 0  # (C,), of all clips that were listed
    if not whole.any():
        raise ValueError(
            f"None of the {len(truth)} clips can be decoded (train clips): {faults[0]} "
            "Look at the data with: python -m training inspect DATA"
        )
    there = torch.arange(int(counts.max())) < counts[whole, None]  # (C, N)
    embeds = torch.zeros(*there.shape, _read(paths[0], "embeds").shape[1])
    ends = torch.full(there.shape, PAST_THE_END)
    row = 0
    for path in paths:
        rows = slice(row, row + int((_read(path, "counts") > 0).sum()))
        embeds[rows][there[rows]] = _read(path, "embeds")
        ends[rows][there[rows]] = _read(path, "ends")
        row = rows.stop
    seconds = torch.cat([_read(path, "seconds") for path in paths])
    return FeatureSet(embeds, ends, seconds[whole], truth[whole], faults)


def _read(path: Path, name: str) -> Tensor:
    """A tensor of a shard, which holds some clips one after the other: a broken one counts 0."""
    with safe_open(path, "pt") as file:
        return file.get_tensor(name)


def _faults(path: Path) -> list[str]:
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()["faults"])


class _Worker:
    """Decodes, and where it can encodes, clips in a process of its own."""

    encoder: FrozenEncoder | None
    data: Path
    most: int
    size: int

    @classmethod
    def begin(cls, encoder: FrozenEncoder | None, data: Path, most: int, size: int) -> None:
        """Takes what all clips of this process need; one core, one thread."""
        torch.set_num_threads(1)
        cls.encoder, cls.data, cls.most, cls.size = encoder, data, most, size

    @classmethod
    def see(cls, clip: Clip) -> _Seen:
        """Frames of a clip, encoded if this process has the encoder, and when they are shown."""
        ends: list[float] = [1.0]  # of a picture

        def keep(timeline: Timeline) -> Sequence[int]:
            picked, ends[:] = _picked(timeline, cls.most)
            return picked

        try:
            decoded, fault = decoded_clip(cls.data, clip, keep, Limits()).frames, ""
        except MediaError as error:
            decoded, ends, fault = [], [], str(error)
        pixels = [pixels_from_image(frame, cls.size) for frame in decoded]
        frames = np.array(pixels, np.uint8).reshape(-1, cls.size, cls.size, 3)
        embeds = cls.encoder(frames).numpy() if cls.encoder else frames
        return _Seen(embeds, ends, clip.seconds, fault)


def _picked(timeline: Timeline, most: int) -> tuple[Sequence[int], list[float]]:
    """All frames, or as many as are kept of a long clip; and the share of it when each ends."""
    start, whole = timeline.starts[0], timeline.end - timeline.starts[0]
    if len(timeline.starts) > most:
        picked = centre_frames(timeline.starts, timeline.end, most)
        return picked, [(number + 1) / most for number in range(most)]
    ends = (*timeline.starts[1:], timeline.end)
    return every_frame(timeline), [(end - start) / whole for end in ends]
