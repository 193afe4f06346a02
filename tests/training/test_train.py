"""A whole run: what it writes, when it is up to date, and what it refuses."""

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate.state import AcceleratorState
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from clip_har.checkpoint import model_from_checkpoint, tokenizer_from_checkpoint
from clip_har.dataset import MANIFEST_FILE, DataSet
from clip_har.ensemble import ensemble_of
from clip_har.nn.clip import encode_frames
from training.batches import Share
from training.evaluation.metrics import METRICS_FILE, REPORT_FILE, Metrics
from training.run import Run
from training.settings import TrainConfig
from training.train import train

Settings = Callable[..., TrainConfig]


def weights(out: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(out / name / "model.safetensors")


def test_every_variant_is_a_checkpoint_of_one_clip(trained: Path) -> None:
    base, temporal = (model_from_checkpoint(trained / name) for name in ("base", "temporal"))
    assert (base.spec.temporal, temporal.spec.temporal) == ("mean", "attention_motion")
    ours, theirs = base.clip.state_dict(), temporal.clip.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert temporal.temporal.fusion[-1].weight.abs().max() > 0  # it has learned something
    record = json.loads((trained / "base" / "run.json").read_text())
    assert record["command"] == "python -m training train"
    assert record["skipped_clips"] == []
    assert len(tokenizer_from_checkpoint(trained / "base", base)) > 0
    assert (trained / "base" / "README.md").read_text().startswith("---")


def test_the_figures_tell_of_stages_sweep_ensemble_and_held_out_classes(trained: Path) -> None:
    metrics = Metrics.from_json(trained / METRICS_FILE)
    assert [stage.name for stage in metrics.stages] == ["frozen", "lora", "unfrozen"]
    assert sum(mix.shipped for mix in metrics.interpolation) == 1
    assert metrics.ensemble is not None
    members = [(member.val_top1, member.weight) for member in metrics.ensemble.members]
    alone = [share for share, _ in members if share is not None]
    assert metrics.ensemble.val_top1 is not None
    assert metrics.ensemble.val_top1 >= max(alone)
    assert sum(weight for _, weight in members) == pytest.approx(1)
    written = ensemble_of(trained, metrics.variants)
    assert written is not None
    assert len(written.members) == len(members)
    assert {one.protocol for one in metrics.zero_shot} == {"base-to-novel"}
    assert metrics.variants["base"].order is not None
    assert metrics.variants["base"].order.reversal == 0.5
    assert not set(metrics.labels) & set(metrics.held_out_labels)
    assert "<html" in (trained / REPORT_FILE).read_text()


def test_a_second_run_is_up_to_date_and_a_changed_one_is_not(
    settings_of: Settings, lean: Path, trained: Path, tmp_path: Path, in_one_process: None
) -> None:
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    written = (out / METRICS_FILE).stat().st_mtime_ns
    assert train(settings_of(), lean, out, "")[1] is False
    assert (out / METRICS_FILE).stat().st_mtime_ns == written
    (out / "temporal" / "inputs.json").unlink()  # as an interrupted run leaves it
    assert train(settings_of(), lean, out, "")[1] is True
    for name in ("base", "temporal"):
        once, again = weights(trained, name), weights(out, name)
        assert not [key for key in once if not torch.equal(once[key], again[key])]


@pytest.mark.parametrize(("alpha", "stage"), [(0.0, "1-frozen"), (1.0, "3-unfrozen")])
def test_the_ends_of_the_line_are_the_frozen_stage_and_the_last_one(
    settings_of: Settings,
    lean: Path,
    trained: Path,
    tmp_path: Path,
    in_one_process: None,
    alpha: float,
    stage: str,
) -> None:
    out = tmp_path / "run"
    shutil.copytree(trained, out)
    metrics, _ = train(settings_of(alpha=alpha), lean, out, "")
    left = load_file(out / "stages" / stage / "model.safetensors")
    shipped = weights(out, "temporal")
    parts = {"temporal.": "temporal.temporal.", "head.": "heads.temporal.", "clip.": "clip."}
    for part, theirs in parts.items():
        for name in (name for name in shipped if name.startswith(part)):
            assert torch.equal(shipped[name], left[theirs + name.removeprefix(part)]), name
    assert metrics.gain is not None
    assert alpha == 1 or (metrics.gain.won, metrics.gain.lost) == (0, 0)
    at = {one.name: one.top1 for one in metrics.stages}[stage.split("-")[1]]
    assert metrics.test.top1 == at


def test_without_a_frozen_stage_the_pretrained_clip_bears_what_was_tuned(
    settings_of: Settings, lean: Path, small_clip: Path, tmp_path: Path, in_one_process: None
) -> None:
    lora = {name: stage for name, stage in settings_of().stages.items() if name == "lora"}
    train(settings_of(alpha=0.0, stages=lora), lean, tmp_path / "run", "")
    shipped, pretrained = (
        weights(tmp_path / "run", "temporal"),
        load_file(small_clip / "model.safetensors"),
    )
    assert all(torch.equal(shipped[f"clip.{name}"], pretrained[name]) for name in pretrained)
    tuned = load_file(tmp_path / "run" / "stages" / "1-lora" / "model.safetensors")
    assert torch.equal(shipped["head.1.weight"], tuned["heads.temporal.1.weight"])


def test_clips_that_cannot_be_decoded_are_left_out_and_stated(
    settings_of: Settings, lean: Path, data_set: DataSet, broken_copy: Callable[..., Path],
    tmp_path: Path, in_one_process: None,
) -> None:  # fmt: skip
    known = [clip for clip in data_set.clips if clip.label == "jumping"]
    paths = [clip.path for clip in known]
    assert [clip.split for clip in known] == ["train", "val", "test"]
    data = broken_copy(lean, *paths)
    stages = {"frozen": {**settings_of().model_dump()["stages"]["frozen"], "epochs": 0.5}}
    metrics, _ = train(settings_of(alpha=1.0, stages=stages), data, tmp_path / "run", "")
    assert metrics.test.clips == 15
    told = json.loads((tmp_path / "run" / "base" / "run.json").read_text())["skipped_clips"]
    assert [fault.split(": ")[0] for fault in told] == sorted(str(data / path) for path in paths)
    assert "3 clips could not be decoded" in (tmp_path / "run" / REPORT_FILE).read_text()


def test_towers_run_in_bf16_and_curves_go_to_tensorboard(
    settings_of: Settings, lean: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    in_one_process: None,
) -> None:  # fmt: skip
    monkeypatch.setattr(AcceleratorState, "_shared_state", {})  # one process, one precision
    kinds: set[torch.dtype] = set()

    def spied(clip: Any, pixels: torch.Tensor) -> torch.Tensor:
        kinds.add(clip.get_image_features(pixel_values=pixels.flatten(0, 1)).pooler_output.dtype)
        return encode_frames(clip, pixels)

    monkeypatch.setattr("training.action_model.encode_frames", spied)
    tables = settings_of().model_dump()["stages"]
    stages = {"frozen": {**tables["frozen"], "patience": 0}, "lora": tables["lora"]}
    stages["frozen"]["batch"] = 2  # more than 10 steps, of which each tenth is logged
    config = settings_of(alpha=1.0, mixed_precision="bf16", tracker="tensorboard", stages=stages)
    metrics, _ = train(config, lean, tmp_path / "run", "")
    assert torch.bfloat16 in kinds
    shipped = weights(tmp_path / "run", "temporal")
    assert {value.dtype for value in shipped.values()} == {torch.float32}
    assert math.isfinite(metrics.test.nll)
    told = EventAccumulator(str(tmp_path / "run" / "logs" / "run")).Reload()
    assert [event.step for event in told.Scalars("frozen/loss")] == [10, 20]
    assert all(math.isfinite(event.value) for event in told.Scalars("frozen/loss"))
    (table,) = (tmp_path / "run" / "logs").rglob("hparams.yml")
    assert yaml.safe_load(table.read_text())["stages.lora.learning_rate"] == "0.01"
    assert "frozen/rate" in told.Tags()["scalars"]


def test_a_backbone_that_is_not_there_is_a_user_error(
    settings_of: Settings, lean: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        train(settings_of(backbone=str(tmp_path / "nowhere")), lean, tmp_path / "run", "")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"augmentation": {"flip": 0.5}}, r"would keep a label that names a direction"),
        ({"blocks": 3}, r"blocks = 3, but the vision tower has 2"),
        ({"batch": 9}, r"batch = 9 cannot be shared equally by 2 processes"),
    ],
)
def test_settings_of_the_last_stage_are_refused_before_the_first(
    settings_of: Settings, lean: Path, tmp_path: Path, changes: dict[str, Any], told: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(Run, "share", Share(0, 2))
    stages = settings_of().model_dump()["stages"]
    stages["unfrozen"].update(changes)
    with pytest.raises(ValueError, match=told):
        train(settings_of(stages=stages), lean, tmp_path / "run", "")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("lacking", "of_held_out", "told"),
    [
        ("val", False, r"the split 'val' has no clip of these classes: .*jumping"),
        ("test", False, r"the split 'test' has no clip of these classes: .*jumping"),
        ("test", True, r"the split 'test' has no clip of these classes: kicking, running"),
    ],
)
def test_a_split_without_clips_is_refused_before_the_first_stage(
    settings_of: Settings, lean: Path, data_set: DataSet, tmp_path: Path,
    lacking: str, of_held_out: bool, told: str,
) -> None:  # fmt: skip
    config = settings_of()
    clips = tuple(
        clip
        for clip in data_set.clips
        if clip.split != lacking or (clip.label in config.held_out_labels) != of_held_out
    )
    (tmp_path / "data").mkdir()
    table = data_set.model_copy(update={"clips": clips})
    (tmp_path / "data" / MANIFEST_FILE).write_text(table.model_dump_json())
    with pytest.raises(ValueError, match=told):
        train(config, tmp_path / "data", tmp_path / "run", "")
    assert not (tmp_path / "run").exists()


def test_an_unknown_held_out_label_is_a_user_error(
    settings_of: Settings, lean: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"flying.*does not have"):
        train(settings_of(held_out_labels=["flying"]), lean, tmp_path / "run", "")


def test_clips_played_backwards_need_classes_that_are_reversals(
    settings_of: Settings, lean: Path, data_set: DataSet, tmp_path: Path
) -> None:
    (tmp_path / "data").mkdir()
    table = data_set.model_copy(update={"reversals": {}})
    (tmp_path / "data" / MANIFEST_FILE).write_text(table.model_dump_json())
    with pytest.raises(ValueError, match=r'reversed_share = 0\.5, but .* under "reversals" in'):
        train(settings_of(reversed_share=0.5), tmp_path / "data", tmp_path / "run", "")
