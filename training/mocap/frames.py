"""Single rendered frames with their attributes: what the small CLIP is pretrained on.

N frames, A attributes, S side in pixels.
"""

import json
from dataclasses import asdict, dataclass
from functools import partial
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
class FrameOrder:
    """Which frames are rendered, and how."""

    split: SplitName
    """Whose cameras, colours and tempos."""
    takes: int
    """Takes; each gives eight frames."""
    side: int
    """S: frames are resized to it, as a server would."""
    rendered: int
    """Side in pixels at which they are rendered, as clips are."""
    seed: int
    """Fixes all that is drawn for them."""
    actions: tuple[Action, ...] = PRETRAINED_ACTIONS
    """What they show, in turn."""


@dataclass(frozen=True)
class FrameSet:
    """Rendered frames of one split."""

    pixels: np.ndarray
    """(N, S, S, 3) uint8 RGB, mapped from disk."""
    attributes: np.ndarray
    """(N, A) int8."""


def frame_set(folder: Path, order: FrameOrder) -> FrameSet:
    """Renders the frames, or opens them where they are current."""
    settings = asdict(order)
    made_from = fingerprint({**settings, "code": CODE})
    if not is_current(folder, made_from):
        with staged(folder) as staging:
            _render(staging, order)
            (staging / "settings.json").write_text(json.dumps(settings))
            record_inputs(staging, made_from)
    return FrameSet(
        pixels=np.load(folder / "pixels.npy", mmap_mode="r"),
        attributes=np.load(folder / "attributes.npy"),
    )


def _render(folder: Path, order: FrameOrder) -> None:
    count = order.takes * FRAMES_A_TAKE
    shape = (count, order.side, order.side, 3)
    pixels = np.lib.format.open_memmap(folder / "pixels.npy", "w+", np.uint8, shape)
    attributes = np.empty((count, len(ATTRIBUTES)), np.int8)
    starts = range(0, order.takes, TAKES_A_JOB)
    jobs = [range(start, min(start + TAKES_A_JOB, order.takes)) for start in starts]
    with worker_pool() as pool:
        results = pool.map(partial(_render_job, order), jobs)
        for job, (some, theirs) in zip(
            jobs, progress_bar(results, f"render {order.split} frames", len(jobs)), strict=True
        ):
            at = slice(job.start * FRAMES_A_TAKE, job.stop * FRAMES_A_TAKE)
            pixels[at], attributes[at] = some, theirs
    pixels.flush()
    np.save(folder / "attributes.npy", attributes)


def _render_job(order: FrameOrder, numbers: range) -> tuple[np.ndarray, np.ndarray]:
    """The frames of takes by their numbers."""
    pixels, attributes = [], []
    for number in numbers:
        rng = np.random.default_rng([order.seed, number])
        action = order.actions[number % len(order.actions)]
        take = draw_take(action, SPLIT_RANGES[order.split], rng)
        times = rng.choice(take.times(fps=20), FRAMES_A_TAKE)
        pictures = scene_of_process().pictures(take, times, order.rendered)
        pixels.extend(_resized(picture, order.side) for picture in pictures)
        attributes.append(attributes_of(take, times))
    return np.stack(pixels), np.concatenate(attributes)


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))
