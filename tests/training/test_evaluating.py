"""Checkpoints measured on a data set, theirs or another one."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from clip_har.dataset import MANIFEST_FILE, Clip, DataSet, data_set_from_folder
from training.evaluating import evaluate, subject_from_folder
from training.evaluation.metrics import METRICS_FILE, REPORT_FILE, Metrics

Change = Callable[..., Path]
pytestmark = pytest.mark.usefixtures("in_one_process")


@pytest.fixture(scope="module")
def evaluated(
    trained: Path, rendered: Path, tmp_path_factory: pytest.TempPathFactory, without_pools
) -> Path:
    """The figures of a run on its own data, order tests included."""
    out = tmp_path_factory.mktemp("evaluated") / "figures"
    with without_pools():
        evaluate(trained, rendered, out)
    return out


@pytest.fixture
def changed(data_set: DataSet, rendered: Path, tmp_path: Path) -> Change:
    """Makes a data set of the same files with another manifest."""

    def made(keep: Callable[[Clip], bool] = lambda _: True, **changes: object) -> Path:
        folder = tmp_path / "data"
        folder.mkdir()
        for path in rendered.iterdir():
            if path.is_dir():
                (folder / path.name).symlink_to(path)
        clips = tuple(clip for clip in data_set.clips if keep(clip))
        table = data_set.model_copy(update={"clips": clips, "pairs": (), "stills": (), **changes})
        (folder / MANIFEST_FILE).write_text(table.model_dump_json())
        return folder

    return made


def test_a_run_is_measured_as_it_was_when_it_was_trained(trained: Path, evaluated: Path) -> None:
    metrics = Metrics.from_json(evaluated / METRICS_FILE)
    then = Metrics.from_json(trained / METRICS_FILE)
    assert list(metrics.variants) == ["base", "temporal"]
    assert metrics.variant == "temporal"
    assert metrics.held_out_labels == tuple(sorted(then.held_out_labels))
    for name, held in metrics.variants.items():
        assert held.clips == 16
        assert held.top1 == pytest.approx(then.variants[name].top1)
        assert held.confusion == then.variants[name].confusion
        assert held.ece == pytest.approx(then.variants[name].ece, abs=1e-4)
    assert metrics.ensemble is not None
    assert then.ensemble is not None
    assert metrics.ensemble.test.confusion == then.ensemble.test.confusion
    assert metrics.ensemble.test.nll == pytest.approx(then.ensemble.test.nll, abs=1e-4)
    assert (metrics.ensemble.val_top1, metrics.ensemble.members[0].val_top1) == (None, None)
    assert metrics.cost["temporal"].parameters > metrics.cost["base"].parameters
    report = (evaluated / REPORT_FILE).read_text()
    assert "<html" in report
    assert 'src="http' not in report  # it needs nothing else


def test_what_was_trained_is_told_wherever_it_is_measured(trained: Path, evaluated: Path) -> None:
    metrics = Metrics.from_json(evaluated / METRICS_FILE)
    stages = Metrics.from_json(trained / METRICS_FILE).stages
    assert metrics.trained_parameters == {one.name: one.trained_parameters for one in stages}
    assert min(metrics.trained_parameters.values()) > 0
    told = f"{stages[0].trained_parameters:,} in stage frozen"
    for folder in (trained, evaluated):
        assert told in (folder / REPORT_FILE).read_text()


@pytest.mark.parametrize(
    ("main", "expected"), [("base", "base"), ("", "temporal"), (None, "temporal")]
)
def test_figures_are_about_the_variant_that_decided_in_training(
    trained: Path, tmp_path: Path, main: str | None, expected: str
) -> None:
    for name in ("base", "temporal"):
        shutil.copytree(trained / name, tmp_path / name)
        path = tmp_path / name / "run.json"
        record = json.loads(path.read_text())
        record["config"]["main"] = main
        path.unlink() if main is None else path.write_text(json.dumps(record))
    assert subject_from_folder(tmp_path).main == expected
    assert subject_from_folder(tmp_path / "base").main == "base"


def test_classes_that_were_not_trained_are_asked_for_by_name(evaluated: Path) -> None:
    metrics = Metrics.from_json(evaluated / METRICS_FILE)
    assert [(one.protocol, one.variant) for one in metrics.zero_shot] == [
        ("base-to-novel", "base"),
        ("base-to-novel", "temporal"),
    ]
    for one in metrics.zero_shot:
        assert (one.classes, one.clips, one.chance) == (3, 3, pytest.approx(1 / 3))
        assert one.retention == pytest.approx(one.accuracy - one.frozen)
        assert one.base is not None


def test_order_is_measured_in_four_tiers_and_a_bag_of_frames_knows_nothing(
    evaluated: Path,
) -> None:
    metrics = Metrics.from_json(evaluated / METRICS_FILE)
    tiers = ("reversal", "closed_loop", "rotation", "nuisance")
    for held in metrics.variants.values():
        assert held.order is not None
        assert set(held.order.tiers) == set(tiers)
        assert held.order.frame_bag["reversal"] == pytest.approx(0.5, abs=1e-6)
        assert held.order.still_max_probability_difference is not None
        assert held.order.still_max_probability_difference < 1e-4
        assert [getattr(held.order, tier) for tier in tiers] == [
            held.order.tiers[tier].accuracy for tier in tiers
        ]
    base = metrics.variants["base"].order
    assert base is not None
    assert base.reversal == pytest.approx(0.5, abs=1e-6)


def test_without_pairs_the_clips_of_classes_with_a_reversal_are_played_backwards(
    trained: Path, changed: Change, tmp_path: Path
) -> None:
    data = changed()
    reversals = data_set_from_folder(data).reversals
    held = evaluate(trained, data, tmp_path / "out").variants
    labels = subject_from_folder(trained).model.spec.labels
    clips = data_set_from_folder(data).split("test")
    known = [one for one in clips if one.label in labels and reversals.get(one.label) in labels]
    orders = [one.order for one in held.values()]
    for order in orders:
        assert order is not None
        assert set(order.tiers) == {"reversal"}
        assert order.tiers["reversal"].pairs == len(known) > 0
        assert order.frame_bag["reversal"] == pytest.approx(0.5, abs=1e-6)


def test_where_pairs_are_listed_no_others_are_made(
    trained: Path, changed: Change, data_set: DataSet, tmp_path: Path
) -> None:
    data = changed(pairs=data_set.pairs[:1])
    assert evaluate(trained, data, tmp_path / "out", split="val").test.order is None


def test_one_checkpoint_is_measured_by_itself(
    trained: Path, changed: Change, tmp_path: Path
) -> None:
    labels = ("jumping", "walking backwards", "walking forwards")
    data = changed(lambda clip: clip.label in labels, labels=labels, reversals={})
    metrics = evaluate(trained / "base", data, tmp_path / "out", split="val")
    assert list(metrics.variants) == ["base"]
    assert (metrics.split, metrics.test.clips, metrics.zero_shot) == ("val", 3, ())
    assert metrics.test.order is None
    assert Metrics.from_json(tmp_path / "out" / METRICS_FILE) == metrics


def test_a_clip_that_cannot_be_decoded_is_left_out_and_stated(
    trained: Path, rendered: Path, data_set: DataSet, broken_copy: Callable[..., Path],
    tmp_path: Path,
) -> None:  # fmt: skip
    test = data_set.split("test")
    one = next(clip for clip in test if clip.label == "jumping")
    unknown = next(clip for clip in test if clip.label == "kicking")
    pair = next(pair for pair in data_set.pairs if pair.tier == "rotation")
    data = broken_copy(rendered, one.path, unknown.path, pair.backward)
    metrics = evaluate(trained, data, tmp_path / "out")
    assert metrics.test.clips == 15
    assert {fault.split(": ")[0] for fault in metrics.skipped_clips} == {
        str(data / path) for path in (one.path, unknown.path, pair.backward)
    }
    assert {zero_shot.clips for zero_shot in metrics.zero_shot} == {2}
    assert metrics.test.order is not None
    pairs = sum(pair.tier == "rotation" for pair in data_set.pairs)
    assert metrics.test.order.tiers["rotation"].pairs == pairs - 1
    assert "3 clips could not be decoded" in (tmp_path / "out" / REPORT_FILE).read_text()


def test_views_are_stated_and_averaged(trained: Path, changed: Change, tmp_path: Path) -> None:
    data = changed(lambda clip: clip.label != "kicking")
    metrics = evaluate(trained, data, tmp_path / "out", clips=2, crops=3)
    assert (metrics.clips_per_video, metrics.crops, metrics.frames) == (2, 3, 4)
    assert metrics.cost["temporal"].views == 6
    assert "2 x 3" in (tmp_path / "out" / REPORT_FILE).read_text().replace("×", "x")
    with pytest.raises(ValueError, match="crops 1 or 3"):
        evaluate(trained, data, tmp_path / "out", crops=2)


@pytest.mark.parametrize(
    ("protocol", "called"), [("EP1", "trained-names"), ("half-class", "half-class")]
)
def test_all_classes_can_be_asked_for_by_name(
    trained: Path, changed: Change, tmp_path: Path, protocol: Any, called: str
) -> None:
    metrics = evaluate(trained, changed(), tmp_path / "out", protocol=protocol)
    assert metrics.answers_by == "names"
    assert len(metrics.labels) == 19
    assert [(one.protocol, one.trained) for one in metrics.zero_shot] == [(called, 16)] * 2
    report = (tmp_path / "out" / REPORT_FILE).read_text()
    assert "16 of these 19 names were trained" in report
    assert "ero-shot, " not in report
    assert "Zero-shot: classes" not in report
    classes = {"EP1": 19, "half-class": 9}[protocol]
    assert {one.classes for one in metrics.zero_shot} == {classes}
    assert metrics.test.clips == 19
    if protocol == "EP1":
        assert metrics.zero_shot[-1].accuracy == pytest.approx(metrics.test.top1)


def test_another_data_set_with_some_names_that_were_trained_is_ep1_and_says_how_many(
    trained: Path, changed: Change, tmp_path: Path
) -> None:
    names = ("kicking", "running", "jumping")
    data = changed(lambda clip: clip.label in names, labels=names, reversals={}, name="other")
    metrics = evaluate(trained, data, tmp_path / "out", protocol="EP1")
    assert [(one.protocol, one.trained) for one in metrics.zero_shot] == [("EP1", 1)] * 2
    assert "1 of these 3 names were trained" in (tmp_path / "out" / REPORT_FILE).read_text()


def test_a_data_set_of_unknown_classes_is_asked_by_name(
    trained: Path, changed: Change, tmp_path: Path
) -> None:
    names = ("kicking", "running")
    data = changed(lambda clip: clip.label in names, labels=names, reversals={})
    metrics = evaluate(trained / "temporal", data, tmp_path / "out")
    assert metrics.answers_by == "names"
    assert [(one.protocol, one.trained) for one in metrics.zero_shot] == [("EP1", 0)]
    report = (tmp_path / "out" / REPORT_FILE).read_text()
    assert "names were trained" not in report
    assert "zero-shot, EP1" in report


def test_a_split_without_known_classes_is_asked_by_name(
    trained: Path, changed: Change, tmp_path: Path
) -> None:
    """Even where the manifest names classes that the head knows: these can be answered, too."""
    data = changed(lambda clip: clip.label in ("kicking", "running"))
    metrics = evaluate(trained / "temporal", data, tmp_path / "out")
    assert metrics.answers_by == "names"
    assert [(one.protocol, one.trained) for one in metrics.zero_shot] == [("trained-names", 16)]


def test_a_split_without_clips_is_an_error_that_helps(
    trained: Path, changed: Change, tmp_path: Path
) -> None:
    data = changed(lambda clip: clip.split != "val")
    with pytest.raises(ValueError, match=r"no clip has the split 'val'"):
        evaluate(trained, data, tmp_path / "out", split="val")
    assert not (tmp_path / "out").exists()


def test_too_few_classes_to_halve_are_an_error_that_helps(
    trained: Path, changed: Change, tmp_path: Path
) -> None:
    data = changed(lambda clip: clip.label in ("kicking", "running"))
    with pytest.raises(ValueError, match=r"at least 4 classes.*Use the protocol EP1"):
        evaluate(trained, data, tmp_path / "out", protocol="half-class")


def test_a_folder_without_checkpoints_is_an_error_that_helps(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no checkpoint there.*python -m training train"):
        subject_from_folder(tmp_path)


def test_checkpoints_of_several_runs_are_not_measured_together(
    trained: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file, save_file

    for name in ("base", "temporal"):
        shutil.copytree(trained / name, tmp_path / name)
    file = tmp_path / "temporal" / "model.safetensors"
    weights = load_file(file)
    weights["clip.visual_projection.weight"][0, 0] += 1
    save_file(weights, file)
    with pytest.raises(ValueError, match=r"not of one run\. Evaluate them one at a time"):
        subject_from_folder(tmp_path)
