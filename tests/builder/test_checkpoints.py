"""Folders of checkpoints that one repository can serve, and those that it cannot."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from builder.checkpoints import variants_from_folder


@pytest.fixture
def run(checkpoints: Path, tmp_path: Path) -> Path:
    """A copy of the run's checkpoints that a test may change."""
    folder = tmp_path / "run"
    shutil.copytree(
        checkpoints, folder, ignore=shutil.ignore_patterns("features", "views", "stages")
    )
    return folder


def change_spec(checkpoint: Path, change: Callable[[dict[str, Any]], None]) -> None:
    path = checkpoint / "config.json"
    spec = json.loads(path.read_text())
    change(spec)
    path.write_text(json.dumps(spec))


def change_weights(checkpoint: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    path = checkpoint / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def test_a_runs_folder_gives_all_its_variants(run: Path) -> None:
    variants = variants_from_folder(run)
    assert variants.folders == {"mean": run / "base", "attention_motion": run / "temporal"}


def test_a_checkpoint_can_be_named_itself(run: Path) -> None:
    assert list(variants_from_folder(run / "temporal").models) == ["attention_motion"]


def test_a_folder_without_checkpoints_says_how_to_get_one(tmp_path: Path) -> None:
    for folder in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ValueError, match=r"no checkpoint there.*python -m training train"):
            variants_from_folder(folder)


def test_two_checkpoints_of_a_variant_are_both_named(run: Path) -> None:
    shutil.copytree(run / "base", run / "other")
    with pytest.raises(ValueError, match=r"other and .*base are both of the variant 'mean'"):
        variants_from_folder(run)


def test_different_clip_weights_cannot_share_an_encoder(run: Path) -> None:
    def nudge(weights: dict[str, torch.Tensor]) -> None:
        weights["clip.visual_projection.weight"][0, 0] += 1e-3

    change_weights(run / "temporal", nudge)
    with pytest.raises(ValueError, match=r"different CLIP weights.*build them apart"):
        variants_from_folder(run)


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("labels", lambda spec: spec["labels"].reverse()),
        ("frames", lambda spec: spec.update(frames=4)),
        ("preprocessing", lambda spec: spec["preprocessing"].update(mean=[0.5, 0.5, 0.5])),
    ],
)
def test_checkpoints_that_differ_in_what_they_share_are_refused(
    run: Path, what: str, change: Callable[[dict[str, Any]], None]
) -> None:
    change_spec(run / "temporal", change)
    with pytest.raises(ValueError, match=f"differ in their {what}.*Build them apart"):
        variants_from_folder(run)


def test_a_missing_weight_is_named(run: Path) -> None:
    change_weights(run / "base", lambda weights: weights.pop("head.3.bias"))
    with pytest.raises(ValueError, match=r"(?s)model.safetensors: .*head\.3\.bias"):
        variants_from_folder(run)


def test_a_weight_of_another_shape_is_named(run: Path) -> None:
    change_weights(run / "base", lambda weights: weights.update({"head.3.bias": torch.zeros(3)}))
    with pytest.raises(ValueError, match=r"(?s)model.safetensors: .*head\.3\.bias"):
        variants_from_folder(run)


@pytest.mark.parametrize("left", [b"", b"\0" * 100], ids=["empty", "zeros"])
def test_a_damaged_weights_file_is_named(run: Path, left: bytes) -> None:
    (run / "base" / "model.safetensors").write_bytes(left)
    with pytest.raises(ValueError, match=r"base/model.safetensors"):
        variants_from_folder(run)


def test_a_missing_weights_file_is_named(run: Path) -> None:
    (run / "base" / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"base/model.safetensors"):
        variants_from_folder(run)


def test_an_unknown_key_in_the_description_is_named(run: Path) -> None:
    change_spec(run / "base", lambda spec: spec.update(colour="red"))
    with pytest.raises(ValueError, match=r"base/config.json: unknown key 'colour'"):
        variants_from_folder(run)
