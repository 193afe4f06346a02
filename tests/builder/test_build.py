"""Builds: whole or not at all, and again only when something changed."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from builder.build import Build
from builder.candidates import Candidate, Made, made_candidate
from builder.engines.engine import Array, Engine, EngineRefusedError, Tensors
from builder.engines.onnx_runtime import _OnnxSession
from builder.profile import Budget
from builder.proof import parity_samples
from clip_har.contract import CLIP_EMBED, FRAME_EMBEDS, FRAMES, TOKENS, VISION_ENCODER
from clip_har.dataset import data_set_from_folder
from clip_har.product import tree_hash
from clip_har.reference import Reference

BuildBase = Callable[..., Build]
LENIENT = Budget(
    min_cosine=0.9, max_probability_error=0.5, min_top1_agreement=0.5, max_accuracy_drop=50
)
"""Where OpenVINO's bf16 passes on every CPU: some compute it in fp32, and some really in bf16."""


@pytest.fixture(scope="module")
def base_product(build_base: BuildBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A product of the base checkpoint alone; tests leave it as it is."""
    out = tmp_path_factory.mktemp("base") / "product"
    assert build_base(out).fresh
    return out


def stamps(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_second_build_does_nothing(base_product: Path, build_base: BuildBase) -> None:
    before = stamps(base_product)
    again = build_base(base_product)
    assert not again.fresh
    assert again.left_out == 0
    assert set(again.report.end_to_end) == {"har_base"}
    assert stamps(base_product) == before


def test_a_changed_profile_builds_again(base_product: Path, build_base: BuildBase) -> None:
    before = tree_hash(base_product)
    assert build_base(base_product, threads=(1,)).fresh
    config = base_product / "model_repository" / "vision_encoder" / "config.pbtxt"
    assert 'key: "intra_op_thread_count"\n  value {\n    string_value: "1"' in config.read_text()
    frames = r'key: "frames_per_run"\n  value \{\n    string_value: "(\d+)"'
    (found,) = re.findall(frames, config.read_text())
    assert int(found) in (8, 16, 32)  # one clip, two or four
    assert tree_hash(base_product) != before
    assert build_base(base_product).fresh


def test_a_profile_for_throughput_has_the_encoder_run_side_by_side(
    base_product: Path, build_base: BuildBase
) -> None:
    config = base_product / "model_repository" / "vision_encoder" / "config.pbtxt"
    lanes = 'key: "lanes"\n  value {\n    string_value: "2"'
    assert "lanes" not in config.read_text()  # its profile wants an early answer
    build_base(base_product, goal="throughput", threads=(2,))
    assert lanes in config.read_text()
    build_base(base_product, goal="throughput", threads=(1,))
    assert "lanes" not in config.read_text()


def test_a_lost_manifest_of_inputs_builds_again(base_product: Path, build_base: BuildBase) -> None:
    (base_product / "inputs.json").unlink()
    assert build_base(base_product).fresh


@pytest.mark.parametrize("stage", ["builder.trials.made_candidate", "builder.build.write_report"])
@pytest.mark.parametrize("error", [RuntimeError("disk full"), KeyboardInterrupt()], ids=type)
def test_an_interrupted_build_leaves_no_half_product(
    base_product: Path,
    build_base: BuildBase,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    stage: str,
    error: BaseException,
) -> None:
    def stop(*_: object) -> None:
        raise error

    monkeypatch.setattr(stage, stop)
    with pytest.raises(type(error)):
        build_base(tmp_path / "new")
    assert {path.name for path in tmp_path.iterdir()} <= {"new.work"}

    before = tree_hash(base_product)
    with pytest.raises(type(error)):
        build_base(base_product, threads=(1,))
    assert tree_hash(base_product) == before


def test_an_interrupted_build_goes_on_from_what_it_made(
    build_base: BuildBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr("builder.build.write_report", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            build_base(tmp_path / "new")
    monkeypatch.setattr("builder.graph_store.onnx_from_graph", lambda *_: pytest.fail("again"))
    assert build_base(tmp_path / "new").fresh


def test_the_base_checkpoint_alone_gives_the_base_line(base_product: Path) -> None:
    served = {folder.name for folder in (base_product / "model_repository").iterdir()}
    assert served == {
        "preprocess",
        "vision_encoder",
        "text_encoder",
        "mean_pool",
        "classifier_base",
        "har_base",
    }
    reference = Reference.from_json(base_product / "reference.json")
    assert all(set(one.models) == {"har_base"} for one in reference.clips)


def test_a_changed_clip_is_refused(build_base: BuildBase, mocap: Path, tmp_path: Path) -> None:
    victim = next((mocap / "test").rglob("*.mp4"))
    good = victim.read_bytes()
    victim.write_bytes(good + b"\0")
    try:
        with pytest.raises(ValueError, match="sha256 differs"):
            build_base(tmp_path / "product")
    finally:
        victim.write_bytes(good)
    assert not (tmp_path / "product").exists()


def test_clips_of_classes_that_the_checkpoint_does_not_know_are_left_out_and_counted(
    build_base: BuildBase, mocap: Path, tmp_path: Path
) -> None:
    manifest = mocap / "manifest.json"
    good = manifest.read_text()
    told = json.loads(good)
    told["labels"].append("sawing")
    stranger = next(clip for clip in told["clips"] if clip["split"] == "test")
    stranger["label"] = "sawing"
    manifest.write_text(json.dumps(told))
    try:
        assert build_base(tmp_path / "product").left_out == 1
    finally:
        manifest.write_text(good)
    reference = Reference.from_json(tmp_path / "product" / "reference.json")
    assert stranger["path"] not in {clip.path for clip in reference.clips}


def test_a_checkpoint_of_other_classes_alone_is_refused(mocap: Path) -> None:
    with pytest.raises(ValueError, match="They know sawing, sewing; the data have crawling"):
        parity_samples(data_set_from_folder(mocap), ("sawing", "sewing"), 1)


def test_what_can_gain_nothing_on_this_machine_is_not_tried_and_said_so(
    build_base: BuildBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.engines.open_vino.has_bf16", lambda: False)
    monkeypatch.setattr(
        "builder.engines.open_vino.OpenVino.build", lambda *_: pytest.fail("it was tried")
    )
    done = build_base(tmp_path / "product", encoders=("openvino:bf16", "onnxruntime:fp32"))
    left_out, served = done.report.by_graph["vision_encoder"]
    assert (left_out.state, served.state) == ("left out", "served")
    assert "does not multiply bf16" in left_out.verdict
    assert served.speedup_vs_onnxruntime_fp32 == 1


def test_what_gains_nothing_is_tried_where_nothing_else_passes(
    build_base: BuildBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(candidate: Candidate, *rest: Any) -> Made:
        if candidate.model is VISION_ENCODER and candidate.engine == "onnxruntime":
            return Made(candidate, Path(), 0.0, "refused by this test")
        return made_candidate(candidate, *rest)

    monkeypatch.setattr("builder.engines.open_vino.has_bf16", lambda: False)
    monkeypatch.setattr("builder.trials.made_candidate", made)
    names = ("onnxruntime:fp32", "openvino:bf16")
    done = build_base(tmp_path / "product", encoders=names, budget=LENIENT)
    assert [row.state for row in done.report.by_graph["vision_encoder"]] == ["refused", "served"]
    assert [row.state for row in done.report.by_graph["text_encoder"]] == ["served", "left out"]
    # Told as times of ONNX Runtime's speed, which is no candidate any more.
    assert done.report.chosen["vision_encoder"].speedup_vs_onnxruntime_fp32 != 1


def test_no_engine_is_given_more_rows_than_it_serves(
    build_base: BuildBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _OnnxSession.run
    most = {FRAMES.name: 8, FRAME_EMBEDS.name: 8, CLIP_EMBED.name: 8, TOKENS.name: 64}

    def bounded(session: _OnnxSession, feeds: Tensors) -> dict[str, Array]:
        name, rows = next((name, len(array)) for name, array in feeds.items())
        if rows > most[name]:
            raise RuntimeError(f"{rows} rows, as a plan for {most[name]} would refuse them")
        return run(session, feeds)

    monkeypatch.setattr(_OnnxSession, "run", bounded)
    done = build_base(tmp_path / "product", encoders=("onnxruntime:fp32",))
    assert done.report.held_out_clips > 8
    assert all(row.state == "served" for row in done.report.candidates)


class Fickle:
    """An engine that copies the graph, once it has what it lacks, for a GPU that may change."""

    name, file = "tensorrt_rtx", "copy"

    def __init__(self) -> None:
        self.builds, self.lacks, self.gpu = 0, True, "8.6"

    def version(self) -> str:
        return "fickle 1"

    def settings(self) -> dict[str, str]:
        return {"gpu": self.gpu}

    def build(self, graph: Path, file: Path, ranges: object) -> None:
        self.builds += 1
        if self.lacks:
            raise EngineRefusedError("no memory just now")
        file.write_bytes(graph.read_bytes())


class OneGraph:
    """A store of one graph."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def path(self, *_: object) -> Path:
        return self._path


def test_a_refusal_is_not_kept_and_another_gpu_builds_again(tmp_path: Path) -> None:
    graph, engine = tmp_path / "model.onnx", Fickle()
    graph.write_bytes(b"graph")
    candidate = Candidate(VISION_ENCODER, "tensorrt_rtx", "fp32")
    store: Any = OneGraph(graph)

    def make() -> Made:
        return made_candidate(candidate, cast(Engine, engine), store, {}, tmp_path / "engines")

    assert make().fault == "no memory just now"
    engine.lacks = False
    made = make()
    assert (made.fault, made.file.read_bytes()) == ("", b"graph")
    make()
    assert engine.builds == 2
    engine.gpu = "12.0"
    make()
    assert engine.builds == 3


def test_a_small_file_is_a_gain_on_any_machine(
    build_base: BuildBase, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("builder.engines.open_vino.has_bf16", lambda: False)
    names = ("onnxruntime:fp32", "openvino:bf16")
    done = build_base(tmp_path / "product", encoders=names, goal="size", budget=LENIENT)
    assert {row.state for row in done.report.by_graph["vision_encoder"]} == {"passed", "served"}


def test_the_report_has_what_is_promised(base_product: Path) -> None:
    report = json.loads((base_product / "report.json").read_text())
    promised = {
        "model", "engine", "precision", "speedup_vs_onnxruntime_fp32", "share_of_int8_limit",
        "min_cosine", "top1_agreement", "verdict", "chosen",
    }  # fmt: skip
    assert all(promised <= row.keys() for row in report["candidates"])
    chosen = {row["model"]: row for row in report["candidates"] if row["chosen"]}
    assert chosen.keys() == {"vision_encoder", "text_encoder", "mean_pool", "classifier_base"}
    assert 0 < chosen["vision_encoder"]["share_of_int8_limit"] < 1
    assert report["clip_speed"]["clip_ms"] > 0
    page = (base_product / "report.html").read_text()
    assert "One clip through the encoder and all models behind it" in page
    assert "served: the only one that passed" in page
    assert "<svg" in page
    assert not re.search(r'(src|href)="(?!#)', page)  # needs no other file


def test_the_product_holds_what_is_documented_and_nothing_else(base_product: Path) -> None:
    assert {path.name for path in base_product.iterdir()} == {
        "model_repository",
        "manifest.json",
        "reference.json",
        "report.json",
        "report.html",
        "inputs.json",
    }
