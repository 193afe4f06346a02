"""Batches of training views: from cached embeddings, or decoded anew.

B clips of a batch on this process, T frames, S side in pixels, D embedding, K classes.
"""

import math
import os
import signal
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from clip_har.dataset import Clip
from clip_har.limits import Limits
from clip_har.sampling import Timeline
from training.augmentation import Augmentation, clip_view, flip_table
from training.decoding import decoded_clip
from training.mixing import mixed
from training.views import Schedule, View

if TYPE_CHECKING:  # it loads transformers, which processes that decode can do without
    from training.features import FeatureSet

MOST_SUBSTITUTES = 10


@dataclass(frozen=True)
class Share:
    """Which part of the work this process does."""

    process: int
    """Its number."""
    processes: int
    """How many there are."""

    def of_batch(self, batch: int, parts: int) -> int:
        """Clips of this process in each part of a batch; raises ValueError for unequal shares."""
        mine = batch // (parts * self.processes)
        if mine * parts * self.processes != batch:
            raise ValueError(
                f"batch = {batch} cannot be shared equally by {self.processes} processes in "
                f"{parts} parts (accumulate). Choose a batch that is a multiple of both together."
            )
        return mine


@dataclass(frozen=True)
class Batch:
    """What the model sees at once on one process."""

    seen: Tensor
    """Frames (B, T, S, S, 3) or frame embeddings (B, T, D)."""
    times: Tensor
    """Seconds, (B, T)."""
    targets: Tensor
    """Class probabilities, (B, K)."""
    noise: Tensor | None = None
    """What is added to the frame embeddings, (B, T, D)."""
    faults: tuple[str, ...] = ()
    """Clips that could not be decoded, and were replaced by others."""


class Batches(Protocol):
    """The batches of a stage."""

    def steps(self, start: int) -> Iterator[list[Batch]]:
        """For every step from `start` on, the parts that its batch is computed in."""
        ...


@dataclass(frozen=True)
class Classes:
    """What becomes of a class when a clip is turned."""

    count: int
    """K."""
    backwards: Tensor
    """The class that each becomes when played backwards, -1 for none, (K,)."""


def parts_of(views: Sequence[View], parts: int, share: Share) -> list[list[View]]:
    """This process's views of a step, by the parts in which the step is computed."""
    whole = len(views) // parts
    mine = share.of_batch(len(views), parts)
    starts = [part * whole + share.process * mine for part in range(parts)]
    return [list(views[start : start + mine]) for start in starts]


def played_backwards(
    seen: Tensor, times: Tensor, labels: Tensor, asked: Tensor, backwards: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Reverses the asked clips whose reversal is a class, and labels them with that class.

    Anything (B, T, ...), seconds (B, T), classes (B,), asked (B,) bool, the class that each class
    becomes (K,). A picture, one frame or the same repeated, has no direction and keeps its class.
    """
    partner = backwards[labels]  # (B,)
    turned = asked & (partner >= 0) & (times.amax(dim=1) > times.amin(dim=1))
    mirrored = times.amax(dim=1, keepdim=True) + times.amin(dim=1, keepdim=True) - times.flip(1)
    whole = turned.view(-1, *(1 for _ in seen.shape[1:]))
    return (
        torch.where(whole, seen.flip(1), seen),
        torch.where(turned[:, None], mirrored, times),
        torch.where(turned, partner, labels),
    )


class FeatureBatches:
    """Batches of cached frame embeddings."""

    def __init__(
        self, features: "FeatureSet", schedule: Schedule, classes: Classes, share: Share
    ) -> None:
        self.features, self.schedule, self.classes, self.share = features, schedule, classes, share

    def steps(self, start: int) -> Iterator[list[Batch]]:
        """See Batches."""
        accumulate = self.schedule.settings.accumulate
        for step in range(start, self.schedule.steps):
            parts = parts_of(self.schedule.views(step), accumulate, self.share)
            yield [self._batch(part) for part in parts]

    def _batch(self, views: Sequence[View]) -> Batch:
        clips = torch.tensor([view.clip for view in views])
        places = torch.from_numpy(np.stack([view.places for view in views])).float()  # (B, T)
        asked = torch.tensor([view.backwards for view in views])
        embeds, times = self.features.sampled(clips, places)
        labels = self.features.labels[clips]
        embeds, times, labels = played_backwards(
            embeds, times, labels, asked, self.classes.backwards
        )
        noise = _noise(views, self.schedule.settings.noise, embeds.shape[-1])
        return Batch(embeds, times, F.one_hot(labels, self.classes.count).float(), noise)


class ClipBatches:
    """Batches of clips that are decoded and augmented in processes beside this one."""

    def __init__(
        self,
        source: "ClipSource",
        schedule: Schedule,
        classes: Classes,
        share: Share,
        workers: int,
        dim: int,
    ) -> None:
        """`dim` is that of the embeddings which the frames will become."""
        self.source, self.schedule, self.classes, self.share = source, schedule, classes, share
        self.dim = dim
        self.workers = min(workers, len(os.sched_getaffinity(0)))

    def steps(self, start: int) -> Iterator[list[Batch]]:
        """See Batches."""
        accumulate = self.schedule.settings.accumulate
        requests = (
            part
            for step in range(start, self.schedule.steps)
            for part in parts_of(self.schedule.views(step), accumulate, self.share)
        )
        loader: DataLoader[Any] = DataLoader(
            self.source,
            batch_sampler=requests,  # pyright: ignore[reportArgumentType]
            num_workers=self.workers,
            collate_fn=self._batch,
            # A fork would share the state of the thread pools of torch and FFmpeg.
            multiprocessing_context="spawn",
            worker_init_fn=_begin_worker,
        )
        parts = iter(loader)
        for _ in range(start, self.schedule.steps):
            yield [next(parts) for _ in range(accumulate)]

    def _batch(self, items: Sequence["Item"]) -> Batch:
        seen = torch.stack([item.frames for item in items])  # (B, T, S, S, 3)
        times = torch.stack([item.times for item in items])  # (B, T)
        labels = torch.tensor([item.label for item in items])
        asked = torch.tensor([item.view.backwards for item in items])
        seen, times, labels = played_backwards(seen, times, labels, asked, self.classes.backwards)
        targets = F.one_hot(labels, self.classes.count).float()
        rng = np.random.default_rng((*items[0].view.seed, 5))
        seen, targets = mixed(seen, targets, self.schedule.settings.augmentation, rng)
        noise = _noise([item.view for item in items], self.schedule.settings.noise, self.dim)
        faults = tuple(fault for item in items for fault in item.faults)
        return Batch(seen, times, targets, noise, faults)


@dataclass(frozen=True)
class Item:
    """One decoded view."""

    view: View
    frames: Tensor
    """(T, S, S, 3) uint8."""
    times: Tensor
    """(T,) seconds."""
    label: int
    faults: tuple[str, ...]


class ClipSource(Dataset[Item]):
    """Decodes and augments the training clips, one view at a time."""

    def __init__(
        self,
        data: Path,
        clips: Sequence[Clip],
        labels: Sequence[str],
        size: int,
        augmentation: Augmentation,
    ) -> None:
        """`labels` are the classes; raises ValueError where they forbid the augmentation."""
        self.data, self.clips, self.size = data, clips, size
        self.labels = [labels.index(clip.label) for clip in clips]
        self.augmentation = augmentation
        self.flipped = flip_table(labels, augmentation)

    def __len__(self) -> int:
        return len(self.clips)

    def __getitem__(self, view: View) -> Item:  # pyright: ignore[reportIncompatibleMethodOverride]
        """A view; a clip that cannot be decoded is replaced by another, and named."""
        rng = np.random.default_rng((*view.seed, 4))
        number, faults = view.clip, []
        for _ in range(MOST_SUBSTITUTES):
            try:
                frames, times, flipped = self._decoded(number, view, rng)
            except ValueError as error:
                faults.append(str(error))
                number = int(rng.integers(len(self.clips)))
                continue
            label = int(self.flipped[self.labels[number]]) if flipped else self.labels[number]
            return Item(view, frames, times, label, tuple(faults))
        raise ValueError(
            f"{MOST_SUBSTITUTES} clips in a row cannot be decoded: {faults[0]} "
            "Look at the data with: python -m training inspect DATA"
        )

    def _decoded(
        self, number: int, view: View, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor, bool]:
        def pick(timeline: Timeline) -> list[int]:
            starts = np.array(timeline.starts, dtype=np.float64)
            whole = timeline.end - timeline.starts[0]
            moments = timeline.starts[0] + view.places * whole
            return (np.searchsorted(starts, moments, side="right") - 1).tolist()

        # Features were computed from this very clip.
        decoded = decoded_clip(self.data, self.clips[number], pick, Limits(), seen_before=True)
        # A picture among videos stands still.
        repeats = len(view.places) // len(decoded.frames)
        seen = clip_view(decoded.frames * repeats, self.size, self.augmentation, rng)
        times = torch.from_numpy(np.repeat(decoded.times, repeats))
        return seen.frames, times, seen.flipped


def _noise(views: Sequence[View], length: float, dim: int) -> Tensor | None:
    """A random vector of about that length for every frame of every view, (B, T, D)."""
    if not length:
        return None
    drawn = [
        np.random.default_rng((*view.seed, 4)).standard_normal((len(view.places), dim), np.float32)
        for view in views
    ]
    return torch.from_numpy(np.stack(drawn)) * (length / math.sqrt(dim))


def _begin_worker(_number: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to answer
