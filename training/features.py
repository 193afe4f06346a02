"""Frame embeddings of whole clips under a frozen CLIP, computed once and kept on disk.

C clips, N frames of the longest clip, T sampled frames, S side in pixels, D embedding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPModel

from clip_har.dataset import Clip, sample_bytes
from clip_har.limits import Limits
from clip_har.media import clip_from_media
from clip_har.nn.clip import encode_frames, pixels_from_frames
from clip_har.preprocess import pixels_from_image
from clip_har.product import fingerprint, is_current, record_inputs, staged, tree_hash
from clip_har.progress import progress_bar
from clip_har.sampling import Timeline, centre_frames, every_frame
from clip_har.spec import Preprocessing
from training.workers import worker_pool

CODE = (Path(__file__), Path(__file__).parent.parent / "clip_har")
PAST_THE_END = 2.0  # where a padded frame ends; places in a clip go from 0 to 1


@dataclass(frozen=True)
class FeatureSet:
    """All frames of C clips as embeddings, ready to be sampled in any way."""

    embeds: Tensor
    """Unit frame embeddings, zero after a clip's end, (C, N, D)."""
    ends: Tensor
    """When each frame goes off screen, as a share of its clip, (C, N)."""
    seconds: Tensor
    """Length of each clip, (C,)."""
    centres: Tensor
    """The frames that a server would sample, (C, T)."""
    labels: Tensor
    """Class of each clip, (C,)."""

    def sampled(self, clips: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
        """The frames on screen at given places of given clips.

        clips (B,), places (B, T) in [0, 1) -> embeddings (B, T, D), seconds (B, T).
        """
        index = torch.searchsorted(self.ends[clips], places.contiguous(), right=True)  # (B, T)
        return self.picked(clips, index)

    def picked(self, clips: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        """Given frames of given clips: clips (B,), index (B, T) -> (B, T, D), seconds (B, T)."""
        ends = self.ends[clips]
        starts = torch.cat([torch.zeros_like(ends[:, :1]), ends[:, :-1]], dim=1)
        middles = (starts.gather(1, index) + ends.gather(1, index)) / 2
        return self.embeds[clips[:, None], index], middles * self.seconds[clips][:, None]

    def as_served(self) -> tuple[Tensor, Tensor]:
        """What a server would see of every clip: (C, T, D), seconds (C, T)."""
        return self.picked(torch.arange(len(self.labels)), self.centres)


def features_from_clips(
    clips: Sequence[Clip],
    labels: Sequence[str],
    data: Path,
    encoder: "FrozenEncoder",
    frames: int,
    cache: Path,
) -> FeatureSet:
    """Encodes every frame of the clips, or opens `cache` where it was made from the same."""
    made_from = fingerprint(
        {
            "clips": [clip.sha256 for clip in clips],
            "frames": frames,
            "clip": encoder.identity,
            "code": [tree_hash(part) for part in CODE],
        }
    )
    if not is_current(cache, made_from):
        with staged(cache) as staging:
            save_file(_encoded(clips, data, encoder, frames), staging / "features.safetensors")
            record_inputs(staging, made_from)
    tensors = load_file(cache / "features.safetensors")
    truth = torch.tensor([labels.index(clip.label) for clip in clips])
    return FeatureSet(labels=truth, **tensors)


class FrozenEncoder:
    """A CLIP's vision tower that is not trained."""

    def __init__(self, clip: CLIPModel, preprocessing: Preprocessing, identity: str) -> None:
        self.clip = clip.eval()
        self.preprocessing = preprocessing
        self.identity = identity

    @torch.inference_mode()
    def __call__(self, frames: np.ndarray) -> Tensor:
        """Uint8 frames (N, S, S, 3) -> unit frame embeddings (N, D)."""
        pixels = pixels_from_frames(torch.from_numpy(frames)[None], self.preprocessing)
        return encode_frames(self.clip, pixels)[0]


def _encoded(
    clips: Sequence[Clip], data: Path, encoder: FrozenEncoder, frames: int
) -> dict[str, Tensor]:
    with worker_pool(_Worker.begin, encoder, data) as pool:
        results = pool.map(_Worker.encode, clips, chunksize=2)
        done = list(progress_bar(results, "encode clips", len(clips)))
    embeds = [torch.from_numpy(one) for one, _ in done]
    timelines = [timeline for _, timeline in done]
    longest = max(len(one) for one in embeds)
    padded = torch.zeros(len(clips), longest, embeds[0].shape[1])
    ends = torch.full((len(clips), longest), PAST_THE_END)
    for row, (one, timeline) in enumerate(zip(embeds, timelines, strict=True)):
        padded[row, : len(one)] = one
        ends[row, : len(one)] = torch.tensor(_ends(timeline))
    picks = [centre_frames(line.starts, line.end, frames) for line in timelines]
    return {
        "embeds": padded,
        "ends": ends,
        "seconds": torch.tensor([line.seconds for line in timelines]),
        "centres": torch.tensor(picks),
    }


class _Worker:
    """Decodes and encodes clips in a process of its own."""

    encoder: FrozenEncoder
    data: Path

    @classmethod
    def begin(cls, encoder: FrozenEncoder, data: Path) -> None:
        """Takes what all clips of this process need; one core, one thread."""
        torch.set_num_threads(1)
        cls.encoder, cls.data = encoder, data

    @classmethod
    def encode(cls, clip: Clip) -> tuple[np.ndarray, Timeline]:
        """All frames of a clip as embeddings (N, D), and when they are shown."""
        timeline, pixels = _pixels_of(cls.data, clip, cls.encoder.preprocessing.image_size)
        return cls.encoder(pixels).numpy(), timeline


def _pixels_of(data: Path, clip: Clip, size: int) -> tuple[Timeline, np.ndarray]:
    """When a clip's frames are shown, and all of them as the model's input (N, S, S, 3)."""
    seen: list[Timeline] = []

    def keep(timeline: Timeline) -> Sequence[int]:
        seen.append(timeline)
        return every_frame(timeline)

    decoded = clip_from_media(sample_bytes(data, clip), keep, Limits())
    pixels = np.stack([pixels_from_image(frame, size) for frame in decoded.frames])
    return seen[0], pixels


def _ends(timeline: Timeline) -> list[float]:
    start, whole = timeline.starts[0], timeline.end - timeline.starts[0]
    return [(end - start) / whole for end in (*timeline.starts[1:], timeline.end)]
