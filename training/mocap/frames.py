"""Single rendered frames with their attributes: what the small CLIP is pretrained on.

N frames, A attributes, S side in pixels.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from clip_har.dataset import SplitName
from clip_har.product import fingerprint, is_current, record_inputs, staged
from clip_har.progress import progress_bar
from training.mocap.actions import PRETRAINED_ACTIONS, Action
from training.mocap.captions import ATTRIBUTES, attributes_of
from training.mocap.ranges import SPLIT_RANGES
from training.mocap.scene import scene_of_process
from training.mocap.take import draw_take
from training.workers import worker_pool

TAKES_A_JOB = 64
FRAMES_A_TAKE = 8
CODE = Path(__file__).parent


@dataclass(frozen=True)
class FrameSet:
    """Rendered frames of one split."""

    pixels: np.ndarray
    """(N, S, S, 3) uint8 RGB, mapped from disk."""
    attributes: np.ndarray
    """(N, A) int8."""


def frame_set(
    folder: Path,
    split: SplitName,
    takes: int,
    side: int,
    rendered: int,
    seed: int,
    actions: Sequence[Action] = PRETRAINED_ACTIONS,
) -> FrameSet:
    """Renders the frames of `takes` takes of one split, or opens them where they are current.

    They are rendered at `rendered` pixels, as clips are, and resized to `side` as a server would.
    """
    settings = {
        "split": split, "takes": takes, "side": side, "rendered": rendered, "seed": seed,
        "actions": [action.label for action in actions],
    }  # fmt: skip
    made_from = fingerprint({**settings, "code": CODE})
    if not is_current(folder, made_from):
        with staged(folder) as staging:
            _render(staging, split, takes, side, rendered, seed, actions)
            (staging / "settings.json").write_text(json.dumps(settings))
            record_inputs(staging, made_from)
    return FrameSet(
        pixels=np.load(folder / "pixels.npy", mmap_mode="r"),
        attributes=np.load(folder / "attributes.npy"),
    )


def _render(
    folder: Path,
    split: SplitName,
    takes: int,
    side: int,
    rendered: int,
    seed: int,
    actions: Sequence[Action],
) -> None:
    count = takes * FRAMES_A_TAKE
    shape = (count, side, side, 3)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, shape)
    attributes = np.empty((count, len(ATTRIBUTES)), np.int8)
    jobs = [
        (split, start, min(TAKES_A_JOB, takes - start), side, rendered, seed, actions)
        for start in range(0, takes, TAKES_A_JOB)
    ]
    with worker_pool() as pool:
        results = pool.map(_render_job, jobs)
        for job, (some, theirs) in zip(
            jobs, progress_bar(results, f"render {split} frames", len(jobs)), strict=True
        ):
            at = slice(job[1] * FRAMES_A_TAKE, (job[1] + job[2]) * FRAMES_A_TAKE)
            pixels[at], attributes[at] = some, theirs
    pixels.flush()
    np.save(folder / "attributes.npy", attributes)


def _render_job(
    job: tuple[SplitName, int, int, int, int, int, Sequence[Action]],
) -> tuple[np.ndarray, np.ndarray]:
    split, start, count, side, rendered, seed, actions = job
    pixels, attributes = [], []
    for number in range(start, start + count):
        rng = np.random.default_rng([seed, number])
        action = actions[number % len(actions)]
        take = draw_take(action, SPLIT_RANGES[split], rng)
        times = rng.choice(take.times(fps=20), FRAMES_A_TAKE)
        pictures = scene_of_process().pictures(take, times, rendered)
        pixels.extend(_resized(picture, side) for picture in pictures)
        attributes.append(attributes_of(take, times))
    return np.stack(pixels), np.concatenate(attributes)


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))
