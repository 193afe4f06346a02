"""Checkpoints measured on a data set, and the tables that tell of it."""

from pathlib import Path

import pytest
from rich.console import Console

from training.evaluating import evaluate
from training.evaluation.metrics import METRICS_FILE, REPORT_FILE, Metrics
from training.summary import tables

HELD_OUT = 3  # classes that tests/training/conftest.py keeps out of training


def test_a_run_is_measured_with_all_its_variants(
    trained: Path, lean: Path, tmp_path: Path, in_one_process: None
) -> None:
    metrics = evaluate(trained, lean, tmp_path)
    told = Metrics.from_json(trained / METRICS_FILE)
    assert list(metrics.variants) == ["base", "temporal"]
    assert metrics.variant == "temporal"
    assert metrics.answers_by == "head"
    assert metrics.test.top1 == told.test.top1
    assert metrics.test.confusion == told.test.confusion
    assert [one.protocol for one in metrics.zero_shot] == ["base-to-novel"] * 2
    assert {one.classes for one in metrics.zero_shot} == {HELD_OUT}
    assert {one.accuracy for one in metrics.zero_shot} == {o.accuracy for o in told.zero_shot}
    assert Metrics.from_json(tmp_path / METRICS_FILE) == metrics
    assert (tmp_path / REPORT_FILE).exists()


def test_one_checkpoint_has_the_mean_frame_as_its_control(
    trained: Path, lean: Path, tmp_path: Path, in_one_process: None
) -> None:
    metrics = evaluate(trained / "temporal", lean, tmp_path)
    assert list(metrics.variants) == ["temporal"]
    assert metrics.test.order is not None
    assert metrics.test.order.frame_bag == {"reversal": 0.5}
    assert metrics.test.order.tiers["reversal"].frame_bag_max_logit_difference < 1e-4


def test_more_views_are_averaged_and_stated(
    trained: Path, lean: Path, tmp_path: Path, in_one_process: None
) -> None:
    metrics = evaluate(trained / "base", lean, tmp_path, clips=2, crops=3)
    assert (metrics.clips_per_video, metrics.crops) == (2, 3)
    assert metrics.cost["base"].views == 6


@pytest.mark.parametrize("protocol", ["EP1", "half-class"])
def test_all_classes_are_recognised_by_their_names_alone(
    trained: Path, lean: Path, tmp_path: Path, in_one_process: None, protocol: str
) -> None:
    metrics = evaluate(trained / "base", lean, tmp_path, protocol=protocol)  # type: ignore[arg-type]
    assert metrics.answers_by == "names"
    assert [one.protocol for one in metrics.zero_shot] == [protocol]
    assert len(metrics.labels) == 19
    if protocol == "EP1":
        assert metrics.zero_shot[0].accuracy == metrics.test.top1


def test_a_folder_without_a_checkpoint_is_a_user_error(lean: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no checkpoint there"):
        evaluate(tmp_path, lean, tmp_path / "out")


def test_the_tables_name_variants_stages_and_protocols(trained: Path) -> None:
    console = Console(width=120, record=True, quiet=True, file=None)
    shown = tables(Metrics.from_json(trained / METRICS_FILE))
    with console.capture() as captured:
        console.quiet = False
        for table in shown:
            console.print(table)
    text = captured.get()
    for word in ("base", "temporal", "frozen", "lora", "unfrozen", "kept: alpha", "base-to-novel"):
        assert word in text
