"""Batches of views: shared between processes, played backwards, decoded beside the training.

B clips, T frames, S side in pixels, K classes.
"""

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from clip_har.dataset import Clip, DataSet
from clip_har.product import file_hash
from training.augmentation import Augmentation
from training.batches import (
    MOST_SUBSTITUTES,
    Batch,
    Classes,
    ClipBatches,
    ClipSource,
    FeatureBatches,
    Item,
    Share,
    parts_of,
    played_backwards,
)
from training.features import FeatureSet
from training.objective import reversal_table
from training.settings import Stage, TrainConfig, Variant
from training.views import Schedule, View

LABELS = ("up", "down", "still")
CLASSES = Classes(3, reversal_table(LABELS, {"up": "down", "down": "up"}))
ALONE = Share(0, 1)
SIDE = 32


def schedule(clips: int, trains: str = "frozen", **stage: Any) -> Schedule:
    rates = {"learning_rate": 1e-3, "encoder_learning_rate": 1e-3, "blocks": 1}
    table = {"trains": trains, "epochs": 3, "batch": 4, **rates, **stage}
    config = TrainConfig(
        seed=1,
        backbone="none",
        frames=4,
        train_frames=(3, 5),
        prompts=("{}",),
        still_share=0.0,
        crop=0.75,
        reversed_share=0.5,
        variants={"base": Variant(temporal="mean")},
        stages={"only": Stage.model_validate(table)},
    )
    return Schedule(config, "only", clips)


def view(clip: int = 0, frames: int = 4, backwards: bool = False) -> View:
    return View(clip, np.linspace(0.1, 0.9, frames), backwards, (1, clip))


def same(one: Sequence[list[Batch]], other: Sequence[list[Batch]]) -> bool:
    pairs = zip(itertools.chain(*one), itertools.chain(*other), strict=True)
    return all(
        torch.equal(a.seen, b.seen)
        and torch.equal(a.times, b.times)
        and torch.equal(a.targets, b.targets)
        and (a.noise is b.noise is None or torch.equal(a.noise, b.noise))
        for a, b in pairs
    )


# --- sharing out -------------------------------------------------------------------------------


def test_two_processes_hold_each_part_of_a_batch_together() -> None:
    views = [view(clip) for clip in range(8)]
    shares = [parts_of(views, 2, Share(process, 2)) for process in range(2)]
    numbers = [[[one.clip for one in part] for part in share] for share in shares]
    assert numbers == [[[0, 1], [4, 5]], [[2, 3], [6, 7]]]
    alone = [[one.clip for one in part] for part in parts_of(views, 2, ALONE)]
    assert alone == [[0, 1, 2, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize(("count", "parts", "processes"), [(8, 1, 3), (8, 2, 8), (6, 4, 1)])
def test_a_batch_that_cannot_be_shared_equally_is_refused(
    count: int, parts: int, processes: int
) -> None:
    told = rf"batch = {count} .* {processes} processes in {parts} parts .*multiple of both"
    with pytest.raises(ValueError, match=told):
        parts_of([view()] * count, parts, Share(0, processes))


# --- played backwards --------------------------------------------------------------------------


def test_the_reversal_table_has_partners_and_minus_one() -> None:
    assert CLASSES.backwards.tolist() == [1, 0, -1]
    assert reversal_table(("up", "still"), {"up": "down", "down": "up"}).tolist() == [-1, -1]


def test_played_backwards_turns_only_classes_that_have_a_reversal() -> None:
    seen = torch.arange(9.0).reshape(3, 3, 1)
    times = torch.tensor([[0.5, 1.0, 3.0]]).repeat(3, 1)
    asked = torch.ones(3, dtype=torch.bool)
    turned, mirrored, labels = played_backwards(
        seen, times, torch.tensor([0, 1, 2]), asked, CLASSES.backwards
    )
    assert turned[..., 0].tolist() == [[2, 1, 0], [5, 4, 3], [6, 7, 8]]
    assert mirrored.tolist() == [[0.5, 2.5, 3.0], [0.5, 2.5, 3.0], [0.5, 1.0, 3.0]]
    assert labels.tolist() == [1, 0, 2]


def test_frames_are_played_backwards_like_embeddings() -> None:
    seen = torch.arange(2 * 3 * 2 * 2 * 3, dtype=torch.uint8).reshape(2, 3, 2, 2, 3)
    asked = torch.tensor([True, False])
    times = torch.arange(3.0).expand(2, -1)
    turned, _, labels = played_backwards(
        seen, times, torch.tensor([0, 0]), asked, CLASSES.backwards
    )
    assert torch.equal(turned[0], seen[0].flip(0))
    assert torch.equal(turned[1], seen[1])
    assert labels.tolist() == [1, 0]


@pytest.mark.parametrize("frames", [1, 3])
def test_a_picture_has_no_direction_and_keeps_its_class(frames: int) -> None:
    """One frame, or the same one repeated beside videos."""
    asked, labels = torch.ones(2, dtype=torch.bool), torch.tensor([0, 1])
    seen, times = torch.ones(2, frames, 1), torch.ones(2, frames)
    turned = played_backwards(seen, times, labels, asked, CLASSES.backwards)
    assert turned[2].tolist() == [0, 1]


def test_no_clip_is_played_backwards_where_none_is_asked_for() -> None:
    seen, times = torch.arange(6.0).reshape(2, 3, 1), torch.arange(3.0).expand(2, -1)
    asked, labels = torch.zeros(2, dtype=torch.bool), torch.tensor([0, 1])
    unchanged = played_backwards(seen, times, labels, asked, CLASSES.backwards)
    assert torch.equal(unchanged[0], seen)
    assert torch.equal(unchanged[1], times)
    assert unchanged[2].tolist() == [0, 1]


# --- of cached embeddings ----------------------------------------------------------------------


def feature_steps(features: FeatureSet, start: int = 0, **stage: Any) -> list[list[Batch]]:
    return list(FeatureBatches(features, schedule(2, **stage), CLASSES, ALONE).steps(start))


def test_a_feature_batch_holds_the_embeddings_of_its_views(by_hand: FeatureSet) -> None:
    plan = schedule(2)
    for step, (batch,) in enumerate(FeatureBatches(by_hand, plan, CLASSES, ALONE).steps(0)):
        views = plan.views(step)
        frames = len(views[0].places)
        assert batch.seen.shape == (4, frames, 1)
        assert (batch.times.diff(dim=1) >= 0).all()
        for row, one in enumerate(views):
            label = int(CLASSES.backwards[one.clip]) if one.backwards else one.clip
            assert batch.targets[row].tolist() == [float(k == label) for k in range(3)]
            places = torch.from_numpy(one.places).float()[None]
            shown, _ = by_hand.sampled(torch.tensor([one.clip]), places)
            expected = shown[0].flip(0) if one.backwards else shown[0]
            assert torch.equal(batch.seen[row], expected)


def test_noise_has_its_length_and_belongs_to_the_view() -> None:
    torch.manual_seed(0)
    features = FeatureSet(
        embeds=torch.nn.functional.normalize(torch.randn(2, 3, 16), dim=-1),
        ends=torch.tensor([[0.25, 0.5, 1.0]] * 2),
        seconds=torch.tensor([4.0, 1.0]),
        labels=torch.tensor([0, 1]),
    )
    plain, noisy, again = (feature_steps(features, noise=noise) for noise in (0, 0.1, 0.1))
    assert same(noisy, again)
    assert plain[0][0].noise is None
    batch = noisy[0][0]
    assert torch.equal(batch.seen, plain[0][0].seen)
    assert batch.noise is not None
    assert batch.noise.shape == batch.seen.shape
    lengths = batch.noise.norm(dim=-1)
    assert lengths.min() > 0.05
    assert lengths.max() < 0.2
    assert len(lengths.flatten().unique()) == lengths.numel()


def test_a_resumed_stage_sees_the_steps_that_are_left(by_hand: FeatureSet) -> None:
    whole = feature_steps(by_hand, noise=0.1, epochs=8)
    assert len(whole) == 4
    assert same(feature_steps(by_hand, 3, noise=0.1, epochs=8), whole[3:])
    assert feature_steps(by_hand, 4, noise=0.1, epochs=8) == []


def test_accumulated_parts_are_the_batch_cut_in_pieces(by_hand: FeatureSet) -> None:
    (whole,), parts = (feature_steps(by_hand, accumulate=n)[0] for n in (1, 2))
    assert [len(part.seen) for part in parts] == [2, 2]
    assert torch.equal(torch.cat([part.seen for part in parts]), whole.seen)


# --- of real clips -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clips(data_set: DataSet) -> list[Clip]:
    return [clip for clip in data_set.split("train") if clip.label in data_set.labels[:4]]


def source(data: Path, clips: Sequence[Clip], **changes: Any) -> ClipSource:
    labels = sorted({clip.label for clip in clips})
    return ClipSource(data, clips, labels, SIDE, Augmentation(**changes))


def test_batches_are_the_same_for_any_number_of_workers(rendered: Path, clips: list[Clip]) -> None:
    changes = {"crop_scale": (0.5, 1.0), "colour": 0.5, "noise": 0.05, "mixup": 0.4}
    plan = schedule(len(clips), "lora", accumulate=2, epochs=2, augmentation=changes)
    classes = Classes(len(clips), torch.full((len(clips),), -1))

    def steps(workers: int, start: int = 0) -> list[list[Batch]]:
        batches = ClipBatches(source(rendered, clips, **changes), plan, classes, ALONE, workers, 16)
        batches.workers = workers  # on a machine with one core as well
        return list(batches.steps(start))

    one, two, rest = steps(1), steps(2), steps(1, start=1)
    assert [len(parts) for parts in one] == [2, 2]
    assert same(one, two)
    assert same(rest, one[1:])
    for batch in itertools.chain(*one):
        frames = batch.times.shape[1]
        assert batch.seen.shape == (2, frames, SIDE, SIDE, 3)
        assert batch.seen.dtype == torch.uint8
        torch.testing.assert_close(batch.targets.sum(dim=1), torch.ones(2))
    mixed = torch.cat([batch.targets for batch in itertools.chain(*one)])
    assert ((mixed > 0).sum(dim=1) == 2).any()  # mixup has given some rows two classes


def test_a_view_shows_the_frames_that_are_on_screen_then(movie: Any, tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(movie(frames=10))  # frame i is grey(i) for 0.1 s
    item = source(tmp_path, [clip_of(tmp_path / "a.mp4")])[
        View(0, np.array([0.05, 0.31, 0.99]), False, (1,))
    ]
    assert item.frames.shape == (3, SIDE, SIDE, 3)
    levels = item.frames[:, -4:, -4:].float().mean(dim=(1, 2, 3))  # off the red quarter
    assert levels.tolist() == pytest.approx([20, 20 + 9 * 3, 20 + 9 * 9], abs=3)
    assert item.times.tolist() == pytest.approx([0.05, 0.35, 0.95], abs=1e-3)


def clip_of(path: Path, label: str = "a") -> Clip:
    sha256 = file_hash(path)
    return Clip(path=path.name, label=label, sha256=sha256, split="train", seconds=1, frames=10)


def test_a_picture_among_videos_stands_still(data_set: DataSet, rendered: Path) -> None:
    still = data_set.stills[0]
    table = {**still.model_dump(), "split": "train", "seconds": 0, "frames": 1}
    item = source(rendered, [Clip.model_validate(table)])[view(frames=4)]
    assert item.frames.shape == (4, SIDE, SIDE, 3)
    assert (item.frames == item.frames[:1]).all()
    assert item.times.tolist() == [0.0] * 4


def test_a_broken_file_is_replaced_by_another_clip_and_named(movie: Any, tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(movie()[:300])
    (tmp_path / "whole.mp4").write_bytes(movie())
    clips = [clip_of(tmp_path / "broken.mp4", "a"), clip_of(tmp_path / "whole.mp4", "b")]
    item = source(tmp_path, clips)[view(clip=0)]
    assert item.label == 1
    assert item.faults
    assert all("broken.mp4: " in fault for fault in item.faults)
    assert isinstance(item, Item)


def test_ten_broken_files_in_a_row_are_an_error_that_helps(tmp_path: Path) -> None:
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    only = source(tmp_path, [clip_of(tmp_path / "broken.mp4")])
    told = rf"{MOST_SUBSTITUTES} clips in a row .*broken\.mp4.*python -m training inspect"
    with pytest.raises(ValueError, match=told):
        only[view()]


def test_a_mirrored_clip_has_the_label_of_its_mirror_image(movie: Any, tmp_path: Path) -> None:
    for name in ("left", "right"):
        (tmp_path / f"{name}.mp4").write_bytes(movie(frames=4 + len(name)))
    clips = [clip_of(tmp_path / f"{name}.mp4", f"turning {name}") for name in ("left", "right")]
    both_ways = {"turning left": "turning right", "turning right": "turning left"}
    plain = source(tmp_path, clips)
    mirrored = source(tmp_path, clips, flip=1.0, flip_labels=both_ways)
    for number in (0, 1):
        one, other = plain[view(number)], mirrored[view(number)]
        assert (one.label, other.label) == (number, 1 - number)
        assert torch.equal(other.frames, one.frames.flip(2))
    with pytest.raises(ValueError, match="names a direction"):
        source(tmp_path, clips, flip=0.5)
