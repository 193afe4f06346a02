"""Plans that TensorRT for RTX really builds, without a GPU, by the code that TensorRT takes too."""

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from builder.build import SOURCES, Build, most_rows
from builder.candidates import ranges_of
from builder.checkpoints import Variants
from builder.doctor import examine
from builder.engines.engine import EngineMissingError, EngineRefusedError, Range
from builder.engines.gpu import gpus
from builder.engines.plan import PlanOptions, plan_from_onnx
from builder.engines.plan_file import NOTE_FILE, Machine, misfit, note_of_plan
from builder.engines.tensorrt import TensorRT, TensorRTForRTX
from builder.machine import Machine as AnyMachine
from builder.machine import TritonFacts
from builder.precision import half_from_graph
from builder.profile import BuildProfile
from builder.triton_config import CONFIG_FILE, config_from_file
from clip_har.contract import GRAPHS, TEXT_ENCODER, TOKENS, VISION_ENCODER, ServedModel

RTX = TensorRTForRTX()
PROFILES = Path(__file__).parents[2] / "configs" / "profiles"
pytestmark = pytest.mark.skipif(bool(RTX.unbuildable()), reason=RTX.unbuildable())
LIBRARY = "tensorrt_rtx_bindings"
RANGE = {"x": Range((1, 16), (4, 16), (8, 16))}


def write_graph(path: Path, nodes: Sequence[onnx.NodeProto], weights=(), dtype=TensorProto.FLOAT):
    """A graph from x (B, 16) to y."""
    x = helper.make_tensor_value_info("x", dtype, ["batch", 16])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "small", [x], [y], weights)
    opset = [helper.make_opsetid("", 20), helper.make_opsetid("home.made", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=10), path)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """y = x W."""
    path = tmp_path / "small.onnx"
    weight = numpy_helper.from_array(np.eye(16, dtype=np.float32), "w")
    write_graph(path, [helper.make_node("MatMul", ["x", "w"], ["y"])], [weight])
    return path


@pytest.fixture(scope="module")
def shapes(variants: Variants) -> dict[ServedModel, dict[str, Range]]:
    """What a build asks for, of each graph."""
    spec, most = variants.spec, most_rows(variants)
    return {model: ranges_of(model, spec, most[model]) for model in most}


def test_texts_are_no_longer_than_the_clip_reads(variants: Variants) -> None:
    tower = variants.spec.clip["text_config"]
    assert isinstance(tower, dict)
    clip = {**variants.spec.clip, "text_config": {**tower, "max_position_embeddings": 9}}
    short = variants.spec.model_copy(update={"clip": clip})
    assert ranges_of(TEXT_ENCODER, short, 64) == {TOKENS.name: Range((1, 2), (64, 9), (64, 9))}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("model", GRAPHS, ids=lambda model: model.name)
def test_every_graph_is_built_for_three_architectures_without_a_gpu(
    model: ServedModel,
    precision: str,
    graphs: dict[ServedModel, Path],
    shapes: dict[ServedModel, dict[str, Range]],
    tmp_path: Path,
) -> None:
    graph, file = graphs[model], tmp_path / "1" / RTX.file
    if precision == "fp16":
        onnx.save(half_from_graph(onnx.load(graph), "fp16"), tmp_path / "half.onnx")
        graph = tmp_path / "half.onnx"
    RTX.build(graph, file, shapes[model])
    assert {path.name for path in file.parent.iterdir()} == {RTX.file, NOTE_FILE}
    assert RTX.describe(file).architecture == "8.6, 8.9, 12.0"
    ranges = note_of_plan(file, "tensorrt_rtx").ranges
    assert ranges == shapes[model]
    most = config_from_file(SOURCES / model.name / CONFIG_FILE).max_batch_size
    assert {wanted.most[0] for wanted in ranges.values()} == {most}


def test_the_edge_profile_builds_a_whole_repository(
    build_base: Callable[..., Build], tmp_path: Path
) -> None:
    edge = BuildProfile.from_toml(PROFILES / "edge.toml")
    wanted = ("name", "goal", "encoders", "others", "capabilities", "budget")
    done = build_base(tmp_path / "edge", **{name: getattr(edge, name) for name in wanted})
    assert done.report.clip_speed is None, "no plan runs here"
    encoder = done.report.chosen["vision_encoder"]
    assert (encoder.engine, encoder.precision) == ("tensorrt_rtx", "fp16")
    assert "bytes of tensorrt_rtx:fp32, the next" in encoder.reason
    assert "judged in ONNX Runtime" in encoder.note
    repository = done.folder / "model_repository"
    assert {path.parents[1].name for path in repository.rglob(RTX.file)} == set(done.report.chosen)
    findings = examine(done.folder, AnyMachine(), TritonFacts(tmp_path, (2, 60, 0)))
    assert any("No Triton comes with it" in one.remedy for one in findings)


def test_fp16_plans_are_smaller(
    graphs: dict[ServedModel, Path],
    shapes: dict[ServedModel, dict[str, Range]],
    tmp_path: Path,
) -> None:
    graph, ranges = graphs[VISION_ENCODER], shapes[VISION_ENCODER]
    half = tmp_path / "half.onnx"
    onnx.save(half_from_graph(onnx.load(graph), "fp16"), half)
    options = PlanOptions(capabilities=("8.9",))
    full = len(plan_from_onnx(LIBRARY, graph, ranges, options))
    assert len(plan_from_onnx(LIBRARY, half, ranges, options)) < 0.9 * full


def test_a_plan_for_other_architectures_does_not_fit(small: Path, tmp_path: Path) -> None:
    file = tmp_path / "1" / RTX.file
    ada = TensorRTForRTX(("8.9",))
    ada.build(small, file, RANGE)
    description = ada.describe(file)
    assert ada.version() == f"tensorrt_rtx {description.version}"
    assert misfit(description, Machine(("8.9",), description.version)) == ""
    assert "this machine has 8.6" in misfit(description, Machine(("8.6",), description.version))
    file.write_bytes(file.read_bytes()[:-1000])
    with pytest.raises(EngineRefusedError, match="truncated"):
        ada.describe(file)


@pytest.mark.parametrize("name", ["9.0", "ada"])
def test_an_unknown_capability_is_refused_with_those_on_offer(
    name: str, small: Path, tmp_path: Path
) -> None:
    with pytest.raises(EngineRefusedError, match=f"capability {name}: .* 8.6, 8.9, 12.0") as error:
        TensorRTForRTX(("8.9", name)).build(small, tmp_path / "1" / RTX.file, RANGE)
    assert "profile's capabilities" in str(error.value)
    assert not (tmp_path / "1").exists()


def test_no_capability_at_all_is_refused() -> None:
    with pytest.raises(ValueError, match="capabilities is empty"):
        TensorRTForRTX(())


def test_what_the_parser_does_not_take_is_told_whole(tmp_path: Path) -> None:
    graph, file = tmp_path / "strange.onnx", tmp_path / "1" / RTX.file
    nodes = [
        helper.make_node("Twirl", ["x"], ["a"], "first_twirl", domain="home.made"),
        helper.make_node("Swirl", ["a"], ["y"], "second_swirl", domain="home.made"),
    ]
    write_graph(graph, nodes)
    with pytest.raises(EngineRefusedError) as refused:
        RTX.build(graph, file, RANGE)
    told = str(refused.value)
    assert told.startswith(f"{graph}: the parser of {LIBRARY}")
    assert "node first_twirl (Twirl): " in told
    assert "node second_swirl (Swirl): " in told
    assert not file.parent.exists()


def test_a_reshape_of_bytes_is_refused_with_the_parsers_reason(tmp_path: Path) -> None:
    graph = tmp_path / "bytes.onnx"
    shape = numpy_helper.from_array(np.array([-1, 4, 4], np.int64), "shape")
    nodes = [
        helper.make_node("Reshape", ["x", "shape"], ["r"], "reshaped"),
        helper.make_node("Cast", ["r"], ["y"], to=TensorProto.FLOAT),
    ]
    write_graph(graph, nodes, [shape], TensorProto.UINT8)
    with pytest.raises(EngineRefusedError, match="must have type Float, Half"):
        RTX.build(graph, tmp_path / RTX.file, RANGE)


@pytest.mark.parametrize("content", [b"no graph", None], ids=["junk", "missing"])
def test_a_file_that_is_no_graph_is_refused(content: bytes | None, tmp_path: Path) -> None:
    graph = tmp_path / "graph.onnx"
    if content:
        graph.write_bytes(content)
    with pytest.raises(EngineRefusedError, match=r"graph\.onnx: the parser of .* does not take it"):
        RTX.build(graph, tmp_path / RTX.file, RANGE)


def test_a_build_that_fails_says_why_and_leaves_the_older_plan(small: Path, tmp_path: Path) -> None:
    file = tmp_path / "1" / RTX.file
    RTX.build(small, file, RANGE)
    before = file.read_bytes()
    with pytest.raises(EngineRefusedError, match=r"small\.onnx: x: axis 1 is 16 in the graph"):
        RTX.build(small, file, {"x": Range((1, 15), (4, 15), (8, 15))})
    assert file.read_bytes() == before
    assert RTX.describe(file).engine == "tensorrt_rtx"


def test_what_the_library_logs_is_a_part_of_the_error(small: Path) -> None:
    # The package for RTX lacks the runtime that a version compatible plan brings along.
    options = PlanOptions(capabilities=("8.9",), version_compatible=True)
    with pytest.raises(EngineRefusedError, match=r"could not build a plan.\n.*libnvinfer_lean"):
        plan_from_onnx(LIBRARY, small, RANGE, options)


def test_the_library_logs_to_pythons_logging(small: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    options = PlanOptions(capabilities=("8.9",), workspace_mib=64, hardware="ampere_plus")
    plan_from_onnx(LIBRARY, small, RANGE, options)
    told = {record.levelname for record in caplog.records if record.name == "builder.engines.plan"}
    assert {"INFO", "WARNING"} <= told
    assert "setHardwareCompatibilityLevel() is unsupported" in caplog.text


def test_a_timing_cache_is_read_and_written_whole(small: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache" / "timing"
    options = PlanOptions(capabilities=("8.9",), timing_cache=cache)
    for content in (None, b"", b"of something else"):
        if content is not None:
            cache.write_bytes(content)
        plan_from_onnx(LIBRARY, small, RANGE, options)
        assert cache.read_bytes().startswith(b"ptrtd")
        assert [path.name for path in cache.parent.iterdir()] == ["timing"]


def test_a_timing_cache_that_cannot_be_written_is_an_error_of_its_own(small: Path) -> None:
    options = PlanOptions(capabilities=("8.9",), timing_cache=small / "timing")
    with pytest.raises(OSError, match=r"small\.onnx"):
        plan_from_onnx(LIBRARY, small, RANGE, options)


BUILD = """
import logging, sys
from pathlib import Path
from builder.engines.engine import Range
from builder.engines.tensorrt import TensorRTForRTX
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout, format="%(message)s")
ranges = {"x": Range((1, 16), (4, 16), (8, 16))}
TensorRTForRTX().build(Path(sys.argv[1]), Path(sys.argv[2]), ranges)
"""


def test_ctrl_c_stops_a_build_and_leaves_nothing(tmp_path: Path) -> None:
    graph, file = tmp_path / "deep.onnx", tmp_path / "1" / RTX.file
    weight = numpy_helper.from_array(np.eye(16, dtype=np.float32), "w")
    nodes, last = [], "x"
    for index in range(200):
        nodes += [
            helper.make_node("MatMul", [last, "w"], [f"m{index}"]),
            helper.make_node("Softmax", [f"m{index}"], [f"s{index}"]),
        ]
        last = f"s{index}"
    write_graph(graph, [*nodes, helper.make_node("Identity", [last], ["y"])], [weight])
    command = [sys.executable, "-c", BUILD, str(graph), str(file)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) as child:
        assert child.stdout is not None
        for line in child.stdout:
            if line == f"{graph}: building\n":
                child.send_signal(signal.SIGINT)
                break
        _, error = child.communicate()
    assert "KeyboardInterrupt" in error
    assert not file.parent.exists()


def test_a_library_that_crashes_is_a_refusal_and_takes_nothing_with_it(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = "import os\n__version__ = '0.1'\nclass ILogger: pass\nBuilder = lambda log: os.abort()"
    (tmp_path / "crashing.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(EngineRefusedError, match=r"crashing 0\.1 ended with exit code -6"):
        plan_from_onnx("crashing", small, RANGE, PlanOptions())


@pytest.mark.skipif(bool(gpus()), reason="there is a GPU")
def test_what_is_built_here_does_not_run_here(small: Path, tmp_path: Path) -> None:
    file = tmp_path / RTX.file
    RTX.build(small, file, RANGE)
    with pytest.raises(EngineMissingError, match="tensorrt_rtx runs plans only where"):
        RTX.open(file, 1)


@pytest.mark.gpu
@pytest.mark.parametrize("engine", [TensorRT(), RTX], ids=lambda engine: engine.name)
def test_a_plan_runs_like_its_graph(engine, small: Path, tmp_path: Path) -> None:
    if reason := engine.missing():
        pytest.skip(reason)
    file = tmp_path / "1" / engine.file
    if engine.name == "tensorrt_rtx":
        engine = TensorRTForRTX((gpus()[0].architecture,))
    engine.build(small, file, RANGE)
    x = np.random.default_rng(0).normal(size=(3, 16)).astype(np.float32)
    assert json.loads((file.parent / NOTE_FILE).read_text())["engine"] == engine.name
    np.testing.assert_allclose(engine.open(file, 1).run({"x": x})["y"], x, atol=1e-2)
