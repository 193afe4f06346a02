"""Engines on a CPU: what they build runs as Triton would run it, and is described."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from builder import cpu
from builder.cpu import BF16_FLAGS, cpu_flags
from builder.engines import open_vino
from builder.engines.engine import (
    Array,
    Engine,
    EngineMissingError,
    EngineRefusedError,
    InParts,
    Tensors,
)
from builder.engines.onnx_runtime import OnnxRuntime
from builder.engines.open_vino import OpenVino
from builder.quantization import dynamic_int8_from_graph
from clip_har.contract import FRAME_EMBEDS, FRAMES, TEXT_ENCODER, VISION_ENCODER, ServedModel

Graphs = dict[ServedModel, Path]
ENGINES: tuple[Engine, ...] = (OnnxRuntime(), OpenVino())
by_engine = pytest.mark.parametrize("engine", ENGINES, ids=lambda engine: engine.name)


@by_engine
def test_a_built_file_answers_for_any_batch_and_number_of_frames(
    engine: Engine, graphs: Graphs, tmp_path: Path
) -> None:
    assert engine.missing() == ""
    file = tmp_path / engine.file
    engine.build(graphs[VISION_ENCODER], file, {})
    session, exact = engine.open(file, 2), OnnxRuntime().open(graphs[VISION_ENCODER], 1)
    random = np.random.default_rng(0)
    for batch, frames in ((1, 8), (3, 2), (8, 1)):
        pixels = random.integers(0, 256, (batch, frames, 32, 32, 3), dtype=np.uint8)
        told = session.run({FRAMES.name: pixels})[FRAME_EMBEDS.name]
        truth = exact.run({FRAMES.name: pixels})[FRAME_EMBEDS.name]
        assert told.shape == truth.shape == (batch, frames, 16)
        assert (told * truth).sum(axis=-1).min() > 0.995
    told = engine.describe(file)
    assert told.engine == engine.name
    assert told.version == engine.version()


@by_engine
def test_what_is_no_graph_is_refused_with_its_name(engine: Engine, tmp_path: Path) -> None:
    graph, file = tmp_path / "broken.onnx", tmp_path / "served.onnx"
    graph.write_bytes(b"not a graph")
    with pytest.raises(EngineRefusedError, match=r"broken\.onnx"):
        engine.build(graph, file, {})
    assert not file.exists()


@by_engine
def test_a_truncated_graph_is_refused(engine: Engine, graphs: Graphs, tmp_path: Path) -> None:
    graph = tmp_path / "half.onnx"
    whole = graphs[VISION_ENCODER].read_bytes()
    graph.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EngineRefusedError, match=r"half\.onnx"):
        engine.build(graph, tmp_path / "served.onnx", {})


def test_openvino_that_dies_takes_only_its_probe_with_it(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_vino, "PROBE", "import os; os.kill(os.getpid(), 8)")
    with pytest.raises(EngineRefusedError, match="signal 8"):
        OpenVino().build(graphs[VISION_ENCODER], tmp_path / "served.onnx", {})


def test_openvino_that_never_ends_is_refused(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(open_vino, "PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(open_vino, "PROBE_SECONDS", 0.5)
    with pytest.raises(EngineRefusedError, match=r"within 0\.5 s"):
        OpenVino().build(graphs[VISION_ENCODER], tmp_path / "served.onnx", {})


def test_openvino_that_is_not_installed_says_how_to_get_it(
    graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "openvino", None)
    with pytest.raises(EngineMissingError, match=r"pip install '\.\[builder\]'"):
        OpenVino().build(graphs[VISION_ENCODER], tmp_path / "served.onnx", {})


@dataclass
class Small:
    """Doubles at most three rows at once."""

    runs: list[int] = field(default_factory=list[int])

    def run(self, feeds: Tensors) -> dict[str, Array]:
        (rows,) = {len(array) for array in feeds.values()}
        if rows > 3:
            raise RuntimeError("more than the plan was made for")
        self.runs.append(rows)
        return {"Y": 2 * feeds["X"]}


@pytest.mark.parametrize(("rows", "runs"), [(1, [1]), (3, [3]), (7, [3, 3, 1])])
def test_more_rows_than_an_engine_takes_run_in_parts(rows: int, runs: list[int]) -> None:
    small, x = Small(), np.arange(2 * rows).reshape(rows, 2)
    told = InParts(small, 3).run({"X": x, "Z": x})
    assert np.array_equal(told["Y"], 2 * x)
    assert small.runs == runs


def test_onnx_runtime_fuses_what_transformers_repeat(graphs: Graphs, tmp_path: Path) -> None:
    """In each of the two blocks: the scaled product of attention, and QuickGELU."""
    options = ort.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "fused.onnx")
    for model in (VISION_ENCODER, TEXT_ENCODER):
        ort.InferenceSession(graphs[model], options, providers=["CPUExecutionProvider"])
        nodes = [node.op_type for node in onnx.load(tmp_path / "fused.onnx").graph.node]
        assert nodes.count("QuickGelu") == nodes.count("FusedMatMul") == 2, model.name
        assert "Sigmoid" not in nodes


@by_engine
def test_what_int8_was_proved_with_is_told(
    engine: Engine, graphs: Graphs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "cpu_flags", lambda: frozenset({"avx2", "avx512_vnni"}))
    int8 = tmp_path / "int8.onnx"
    dynamic_int8_from_graph(graphs[VISION_ENCODER], int8)
    assert engine.describe(int8).cpu_flags == ("avx512_vnni",)
    assert engine.describe(graphs[VISION_ENCODER]).cpu_flags == ()


def test_bf16_is_asked_for_where_the_cpu_has_it() -> None:
    has = not cpu_flags().isdisjoint(BF16_FLAGS)
    assert ("HINT_BF16" in OpenVino().parameters(2)) == has


@pytest.mark.parametrize(
    ("flags", "pointless"),
    [
        ("avx2", {"bf16", "int8"}),
        ("avx2 avx_vnni", {"bf16"}),
        ("avx512f avx512bw avx512_vnni", {"bf16"}),
        ("avx512f avx512bw avx512_bf16", set[str]()),
        ("amx_bf16 amx_int8", set[str]()),
    ],
)
def test_openvino_gains_nothing_from_numbers_that_the_cpu_does_not_multiply(
    flags: str, pointless: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu, "cpu_flags", lambda: frozenset(flags.split()))
    asked = ("fp32", "bf16", "int8")
    assert {one for one in asked if OpenVino().pointless(one)} == pointless
    assert not any(OnnxRuntime().pointless(one) for one in asked)
