"""What the trained model says of held-out clips: the truth that candidates are compared with.

C clips, T frames, S side in pixels, D embedding, K classes, N texts, L tokens.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from builder.checkpoints import Variants
from builder.engines.engine import Session
from clip_har.contract import FRAME_EMBEDS, FRAMES
from clip_har.dataset import DataSet, Sample, SplitName, sample_bytes
from clip_har.limits import Limits
from clip_har.media import frames_from_media
from clip_har.nn.clip import class_embeds
from clip_har.nn.model import CLIPHARModel, Recognition
from clip_har.progress import progress_bar
from clip_har.spec import TemporalKind

FEW_CLIPS = 16
"""Tell trained weights from random ones; of more classes than that, one clip each."""
CHANCE_DEVIATIONS = 3
"""So many standard deviations above chance, an accuracy is not one of random weights."""


@dataclass(frozen=True)
class HeldOut:
    """Clips with the trained model's answers."""

    paths: tuple[str, ...]
    """Of the C clips in the data set."""
    frames: np.ndarray
    """Uint8, (C, T, S, S, 3)."""
    times: Tensor
    """Seconds, (C, T)."""
    truth: Tensor
    """Class of each clip, (C,)."""
    frame_embeds: Tensor
    """(C, T, D)."""
    recognised: dict[TemporalKind, Recognition]
    """Each variant's answers."""
    mixed: Tensor | None
    """The ensemble's class probabilities, (C, K), where there is one."""
    tokens: Tensor
    """Sentences of the classes as token ids, (N, L)."""
    text_embeds: Tensor
    """(N, D)."""

    def class_embeds(self) -> Tensor:
        """Unit text embeddings of the classes, (K, D)."""
        classes = next(iter(self.recognised.values())).logits.shape[1]
        return class_embeds(self.text_embeds.unflatten(0, (classes, -1)))

    def frame_embeds_of(self, path: str) -> Tensor | None:
        """The trained model's embeddings (1, T, D) of one of the clips; None of another one."""
        if path not in self.paths:
            return None
        at = self.paths.index(path)
        return self.frame_embeds[at : at + 1]

    def accuracy(self, kind: TemporalKind) -> float:
        """Share of clips that a variant names right."""
        return float((self.recognised[kind].logits.argmax(dim=1) == self.truth).double().mean())

    def seen_by(self, variants: Variants) -> "HeldOut":
        """The same clips, the variants asked again."""
        asked = {
            k: recognised(m, self.frame_embeds, self.times) for k, m in variants.models.items()
        }
        return replace(
            self, recognised=asked, mixed=_mixed(variants, self.frame_embeds, self.times)
        )

    def is_trained(self) -> bool:
        """False where the answers are no better than chance, as those of random weights are."""
        classes = next(iter(self.recognised.values())).logits.shape[1]
        chance = 1 / classes
        deviation = (chance * (1 - chance) / len(self.truth)) ** 0.5
        # Of few clips and classes the deviations alone would ask for more than all of them.
        bound = min(chance + CHANCE_DEVIATIONS * deviation, (chance + 1) / 2)
        return max(self.accuracy(kind) for kind in self.recognised) > bound


def clips_of_split(
    data_set: DataSet, split: SplitName, labels: Sequence[str], count: int
) -> Sequence[Sample]:
    """At least `count` clips where there are as many: the first of each of the labels.

    Raises ValueError where there is none.
    """
    clips, per_class = data_set.split(split), ceil(count / len(labels))
    chosen = [
        clip
        for label in labels
        for clip in [clip for clip in clips if clip.label == label][:per_class]
    ]
    if not chosen:
        raise ValueError(
            f"data set {data_set.name}: no {split} clip has a class of the checkpoints. They know "
            f"{', '.join(labels)}; the data have {', '.join(data_set.labels)}. Name the data set "
            "that they were trained on."
        )
    return chosen


def frames_of_clips(
    clips: Sequence[Sample], data: Path, frames: int, size: int
) -> tuple[np.ndarray, Tensor]:
    """What a server would see: (C, T, S, S, 3) uint8 and seconds (C, T)."""
    seen = [frames_from_media(sample_bytes(data, clip), frames, size, Limits()) for clip in clips]
    pixels, times = zip(*seen, strict=True)
    return np.stack(pixels), torch.from_numpy(np.stack(times))


def frame_embeds_of_clips(encoder: Session, frames: np.ndarray) -> Tensor:
    """An engine's embeddings (C, T, D) of clips (C, T, S, S, 3), one clip at a time."""
    rows = [encoder.run({FRAMES.name: clip[None]})[FRAME_EMBEDS.name] for clip in frames]
    return torch.from_numpy(np.concatenate(rows))


def held_out_of_data(variants: Variants, data_set: DataSet, data: Path, count: int) -> HeldOut:
    """At least `count` test clips, or few where the weights are not trained.

    Those have no accuracy that more clips would tell, and large ones take their time.
    """
    labels = variants.spec.labels
    few = min(max(len(labels), FEW_CLIPS), count)
    some = held_out_from_clips(variants, clips_of_split(data_set, "test", labels, few), data)
    if few == count or not some.is_trained():
        return some
    return held_out_from_clips(variants, clips_of_split(data_set, "test", labels, count), data)


@torch.inference_mode()
def held_out_from_clips(variants: Variants, clips: Sequence[Sample], data: Path) -> HeldOut:
    """Decodes the clips and asks the trained model."""
    spec = variants.spec
    frames, times = frames_of_clips(clips, data, spec.frames, spec.preprocessing.image_size)
    title = "ask the trained model"
    embeds = torch.cat(
        [
            variants.any_model.encode_frames(torch.from_numpy(frames[i : i + 1]))
            for i in progress_bar(range(len(frames)), title)
        ]
    )
    tokens = variants.class_tokens()
    return HeldOut(
        paths=tuple(clip.path for clip in clips),
        frames=frames,
        times=times,
        truth=torch.tensor([spec.labels.index(clip.label) for clip in clips]),
        frame_embeds=embeds,
        recognised={kind: recognised(m, embeds, times) for kind, m in variants.models.items()},
        mixed=_mixed(variants, embeds, times),
        tokens=tokens,
        text_embeds=variants.any_model.encode_texts(tokens),
    )


@torch.inference_mode()
def recognised(model: CLIPHARModel, frame_embeds: Tensor, times: Tensor) -> Recognition:
    """What a model's action parts say of frame embeddings (C, T, D) and times (C, T)."""
    return model.recognise(frame_embeds, times)


@torch.inference_mode()
def _mixed(variants: Variants, frame_embeds: Tensor, times: Tensor) -> Tensor | None:
    return variants.mixture(frame_embeds, times) if variants.mixture else None
