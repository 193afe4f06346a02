"""Renders the mocap data set: MP4 clips by class, JPEG stills, pairs in tiers, a manifest."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np
from pydantic import Field

from clip_har.config import Config
from clip_har.dataset import MANIFEST_FILE, SPLITS, Clip, DataSet, Pair, Sample, SplitName, Tier
from clip_har.product import file_hash, fingerprint, is_current, record_inputs, staged
from training.mocap.actions import ACTION_OF_LABEL, LABELS, REVERSAL_OF_LABEL
from training.mocap.haze import through_haze
from training.mocap.pairs import PairPlace, pair_places, render_pair, write_pair
from training.mocap.ranges import SPLIT_RANGES
from training.mocap.scene import scene_of_process
from training.mocap.take import draw_take
from training.mocap.video import jpeg_from_picture, write_mp4
from training.workers import worker_pool

CODE = Path(__file__).parent
SOURCE = (
    "Synthetic video of real motion: motion-capture recordings of the PyPI package pybullet, "
    "rendered by its software renderer."
)
Item = TypeVar("Item")


class Progress(Protocol):
    """Goes through finished work while telling somebody, under a title, how much of it is done."""

    def __call__(self, items: Iterable[Item], title: str, total: int, /) -> Iterable[Item]: ...


class MocapConfig(Config):
    """Settings of the mocap data set."""

    seed: int
    """Fixes every clip."""
    side: int = Field(ge=32, multiple_of=2)
    """Side of the square pictures in pixels."""
    fps: int = Field(ge=5)
    """Pictures a second."""
    train_clips: int = Field(ge=1)
    """Training clips a class."""
    val_clips: int = Field(ge=1)
    """Validation clips a class."""
    test_clips: int = Field(ge=1)
    """Test clips a class."""
    stills: int = Field(ge=0)
    """JPEG stills a class, each from another test clip."""
    closed_loop: int = Field(ge=0)
    """Pairs a class of walking on the spot that end where they begin."""
    rotation: int = Field(ge=0)
    """Pairs a class of one whole turn on the spot."""
    nuisance: int = Field(ge=0)
    """Pairs a class that has a reversal, in bodies, scenes and tempos that no split has."""
    haze: float = Field(0.0, ge=0, le=1)
    """Share of each class's clips, the last ones, that are seen through haze. Pairs are clear."""

    def clips_of(self, split: SplitName) -> int:
        """Clips a class in a split."""
        return {"train": self.train_clips, "val": self.val_clips, "test": self.test_clips}[split]

    def pairs(self) -> dict[Tier, int]:
        """Pairs a class in the tiers beside `reversal`, whose pairs are test scenes."""
        return {
            "closed_loop": self.closed_loop,
            "rotation": self.rotation,
            "nuisance": self.nuisance,
        }


@dataclass(frozen=True)
class ClipJob:
    """One clip to render."""

    folder: Path
    config: MocapConfig
    split: SplitName
    label: str
    number: int

    @property
    def path(self) -> str:
        """Where the clip goes, relative to the data set."""
        return f"{self.split}/{self.label}/{self.number:04d}.mp4"

    @property
    def hazy(self) -> bool:
        """Whether the clip is seen through haze."""
        return self.number >= round(self.config.clips_of(self.split) * (1 - self.config.haze))


@dataclass(frozen=True)
class Rendered:
    """What one job wrote."""

    clip: Clip
    still: Sample | None
    pair: Pair | None


def render_mocap(config: MocapConfig, folder: Path, progress: Progress) -> bool:
    """Writes the data set, whole or not at all; returns False where it was there and up to date."""
    made_from = fingerprint({"config": config.model_dump(), "code": CODE})
    if is_current(folder, made_from):
        return False
    with staged(folder) as staging:
        jobs, places = _jobs(config, staging), pair_places(staging, config.pairs())
        in_pair = partial(render_pair, seed=config.seed, side=config.side, fps=config.fps)
        with worker_pool() as pool:
            clips = pool.map(_render, jobs, chunksize=4)
            rendered = list(progress(clips, "render clips", len(jobs)))
            pairs = list(progress(pool.map(in_pair, places), "render pairs", len(places)))
        data_set = DataSet(
            name="mocap-haze" if config.haze else "mocap",
            source=SOURCE,
            labels=LABELS,
            reversals=REVERSAL_OF_LABEL,
            clips=tuple(one.clip for one in rendered),
            stills=tuple(one.still for one in rendered if one.still),
            pairs=(*(one.pair for one in rendered if one.pair), *pairs),
        )
        (staging / MANIFEST_FILE).write_text(json.dumps(data_set.model_dump(), indent=1) + "\n")
        record_inputs(staging, made_from)
    return True


def _jobs(config: MocapConfig, folder: Path) -> list[ClipJob]:
    return [
        ClipJob(folder, config, split, label, number)
        for split in SPLITS
        for label in LABELS
        for number in range(config.clips_of(split))
    ]


def _render(job: ClipJob) -> Rendered:
    config = job.config
    key = [config.seed, SPLITS.index(job.split), LABELS.index(job.label), job.number]
    rng = np.random.default_rng(key)
    take = draw_take(ACTION_OF_LABEL[job.label], SPLIT_RANGES[job.split], rng)
    times = take.times(config.fps)
    pictures = scene_of_process().pictures(take, times, config.side)  # (N, S, S, 3)
    seen = through_haze(pictures, rng.spawn(1)[0]) if job.hazy else pictures
    target, held_out = job.folder / job.path, job.split == "test"
    write_mp4(target, seen, config.fps)
    clip = Clip(
        path=job.path,
        label=job.label,
        sha256=file_hash(target),
        split=job.split,
        seconds=round(len(pictures) / config.fps, 3),
        frames=len(pictures),
    )
    still = _still(job, seen, rng) if held_out and job.number < config.stills else None
    paired = held_out and job.label in REVERSAL_OF_LABEL
    place = PairPlace(job.folder, "reversal", job.label, job.number)
    return Rendered(clip, still, write_pair(place, pictures, config.fps) if paired else None)


def _still(job: ClipJob, pictures: np.ndarray, rng: np.random.Generator) -> Sample:
    path = f"stills/{job.label}/{job.number:04d}.jpg"
    target = job.folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    middle = len(pictures) // 2 + int(rng.integers(-len(pictures) // 5, len(pictures) // 5 + 1))
    target.write_bytes(jpeg_from_picture(pictures[middle]))
    return Sample(path=path, label=job.label, sha256=file_hash(target))
