import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException

from server.environment import VENV, read_environment
from server.installation import CONSTRAINTS

pytestmark = pytest.mark.triton

BACKEND = Path(__file__).parents[3] / "server" / "backends" / "openvino"
RNG = np.random.default_rng(0)
ONE_THREAD = 'parameters { key: "INFERENCE_NUM_THREADS" value: { string_value: "1" } }\n'
PADDED = 'parameters { key: "ENABLE_BATCH_PADDING" value: { string_value: "YES" } }\n'
ONNX_FILE = 'default_model_filename: "model.onnx"\n'
DELAYED = """
instance_group [{ kind: KIND_CPU count: 1 }]
dynamic_batching { max_queue_delay_microseconds: 500000 }
"""
PROJECTION_SETTINGS = f"""
{ONNX_FILE}{ONE_THREAD}
parameters {{ key: "NUM_STREAMS" value: {{ string_value: "1" }} }}
parameters {{ key: "PERFORMANCE_HINT" value: {{ string_value: "LATENCY" }} }}
"""


def regrouped(graph) -> onnx.ModelProto:
    """Y = X in rows of max(N) on the way: fails while it runs where 4 B / max(N) is broken."""
    arrays = {"any": np.array([-1], np.int64), "rows": np.array([-1, 4], np.int64)}
    return graph(
        [
            helper.make_node("ReduceMax", ["N"], ["M"], keepdims=0),
            helper.make_node("Reshape", ["M", "any"], ["width"]),
            helper.make_node("Concat", ["any", "width"], ["shape"], axis=0),
            helper.make_node("Reshape", ["X", "shape"], ["Z"]),
            helper.make_node("Reshape", ["Z", "rows"], ["Y"]),
        ],
        [("X", TensorProto.FLOAT, ["B", 4]), ("N", TensorProto.INT64, ["B", 1])],
        [("Y", TensorProto.FLOAT, ["B", 4])],
        initializers=[numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )


@pytest.fixture(scope="module")
def openvino():
    """The library, which reports its import unless it is a CI's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CI", "true")
        import openvino
    return openvino


@pytest.fixture(scope="module")
def bare(openvino) -> Callable[..., dict[str, np.ndarray]]:
    """Runs a file in OpenVINO without Triton: outputs by name."""

    def run(file: Path, feeds: dict[str, np.ndarray], **properties: str) -> dict[str, np.ndarray]:
        settings = {"INFERENCE_NUM_THREADS": "1", **properties}
        compiled = openvino.Core().compile_model(str(file), "CPU", settings)
        return {output.get_any_name(): array for output, array in compiled(feeds).items()}

    return run


@pytest.fixture(scope="module")
def repository(tmp_path_factory, write_openvino, graph, projection, tensors, openvino) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    write, doubling = write_openvino, tensors.doubled + ONNX_FILE
    projected = tensors.projection + PROJECTION_SETTINGS
    write(folder, "float", projected + PADDED, projection())
    write(folder, "int8", projected + PADDED, projection(quantized=True))
    write(folder, "single", projected.replace("size: 8", "size: 1"), projection(quantized=True))
    bf16 = 'parameters { key: "HINT_BF16" value: { string_value: "yes" } }\n'
    write(folder, "bf16", projected + PADDED + bf16, projection())
    write(folder, "batched", doubling + PADDED + DELAYED)
    write(folder, "unpadded", doubling)
    fixed = 'parameters { key: "SKIP_OV_DYNAMIC_BATCHSIZE" value: { string_value: "YES" } }\n'
    write(folder, "fixed", projected + PADDED + fixed, projection())
    widths = 'input [{ name: "N" data_type: TYPE_INT64 dims: [1] }]\n'
    write(folder, "regrouped", doubling + PADDED + DELAYED + widths, regrouped(graph))
    write(folder, "half", doubling.replace("FP32", "FP16") + PADDED)
    write(folder, "unbatched", doubling.replace("size: 8", "size: 0").replace("[4]", "[-1, 4]"))
    file = write(folder, "xml", tensors.doubled + PADDED)
    openvino.save_model(openvino.Core().read_model(file), file.with_name("model.xml"))
    file.unlink()
    reshapes = 'parameters { key: "RESHAPE_IO_LAYERS" value: { string_value: "YES" } }\n'
    add = [helper.make_node("Add", ["X", "X"], ["Y"])]
    one = graph(add, [("X", TensorProto.FLOAT, [1, 4])], [("Y", TensorProto.FLOAT, [1, 4])])
    write(folder, "fixed_graph", doubling + PADDED, one)
    any_size = graph(
        add, [("X", TensorProto.FLOAT, ["B", "T"])], [("Y", TensorProto.FLOAT, ["B", "T"])]
    )
    write(folder, "reshaped", doubling + PADDED + reshapes, any_size)
    return folder


@pytest.mark.parametrize(
    ("model", "rows", "frames"),
    [*product(["float", "int8"], [1, 3, 8], [1, 5]), ("single", 1, 1), ("single", 1, 5)],
)
def test_answers_equal_a_bare_session_to_the_last_bit(infer, repository, bare, model, rows, frames):
    sent = RNG.normal(size=(rows, frames, 16)).astype(np.float32)
    answer = infer(model, X=sent)
    for name, expected in bare(repository / model / "1/model.onnx", {"X": sent}).items():
        np.testing.assert_array_equal(answer.as_numpy(name), expected)


def test_the_hint_of_bfloat16_is_followed(infer, repository, bare):
    sent = RNG.normal(size=(8, 2, 16)).astype(np.float32)
    file = repository / "bf16/1/model.onnx"
    expected = bare(file, {"X": sent}, INFERENCE_PRECISION_HINT="bf16")["P"]
    np.testing.assert_array_equal(infer("bf16", X=sent).as_numpy("P"), expected)


def test_concurrent_requests_run_as_one_batch_and_get_their_own_rows(infer, together, executions):
    infer("batched", X=np.zeros((1, 4), np.float32))
    before = executions("batched")
    sent = [np.full((1, 4), index, np.float32) for index in range(8)]
    results = together([lambda array=array: infer("batched", X=array) for array in sent])
    after = executions("batched")
    for array, result in zip(sent, results, strict=True):
        np.testing.assert_array_equal(result.as_numpy("Y"), 2 * array)
    assert after[0] - before[0] == 8
    assert after[1] - before[1] < 8


def test_what_is_not_a_number_stays_in_its_own_row(infer, together):
    sent = [np.full((1, 4), value, np.float32) for value in (1, np.nan, 3, np.inf)]
    results = together([lambda array=array: infer("batched", X=array) for array in sent])
    for array, result in zip(sent, results, strict=True):
        np.testing.assert_array_equal(result.as_numpy("Y"), 2 * array)


def test_a_bad_request_fails_alone_in_its_batch_with_one_line(infer, together, executions):
    before = executions("regrouped")
    x = np.arange(4, dtype=np.float32)[None]
    widths = (1, 2, 7, 4)
    calls = [lambda n=n: infer("regrouped", X=n * x, N=np.array([[n]])) for n in widths]
    results = together(calls)
    for n, result in zip(widths, results, strict=True):
        if n != 7:
            np.testing.assert_array_equal(result.as_numpy("Y"), n * x)
    assert isinstance(results[2], InferenceServerException)
    message = results[2].message()
    assert message.startswith("openvino error: ")
    assert "\n" not in message
    assert not any(place in message for place in ("src/", ".cpp", "model.py"))
    assert executions("regrouped")[1] - before[1] < 4


def test_without_padding_only_full_batches_are_answered(infer):
    full = RNG.normal(size=(8, 4)).astype(np.float32)
    np.testing.assert_array_equal(infer("unpadded", X=full).as_numpy("Y"), 2 * full)
    with pytest.raises(InferenceServerException, match="expected requests with batch size '8', go"):
        infer("unpadded", X=full[:3])


def test_a_graph_of_fixed_batch_answers_smaller_ones(infer, repository, bare):
    sent = RNG.normal(size=(3, 2, 16)).astype(np.float32)
    padded = np.concatenate([sent, np.zeros((5, 2, 16), np.float32)])
    expected = bare(repository / "fixed/1/model.onnx", {"X": padded})
    answer = infer("fixed", X=sent)
    for name in ("P", "S"):
        np.testing.assert_array_equal(answer.as_numpy(name), expected[name][:3])


@pytest.mark.parametrize("model", ["xml", "fixed_graph", "reshaped", "unbatched"])
def test_a_model_of_another_form_is_served(infer, model):
    sent = RNG.normal(size=(3, 4)).astype(np.float32)
    np.testing.assert_array_equal(infer(model, X=sent).as_numpy("Y"), 2 * sent)


def test_the_config_chooses_the_element_type(infer):
    sent = np.array([[1, 2, 3, 4.5]], np.float16)
    answer = infer("half", X=sent).as_numpy("Y")
    assert answer.dtype == np.float16
    np.testing.assert_array_equal(answer, 2 * sent)


def test_the_log_names_the_models_that_the_other_backend_serves_wrongly(server):
    lines = server.log_path.read_text().splitlines()
    warned = [line for line in lines if "loses answers where it pads batches" in line]
    for name in ("float", "batched", "fixed"):
        assert any(f"model '{name}': " in line for line in warned)
    for name in ("single", "unpadded", "unbatched"):
        assert not any(f"model '{name}': " in line for line in warned)


def test_serving_writes_nothing_into_the_repository(server, repository):
    names = {path.name for path in repository.rglob("*") if path.is_file()}
    assert names == {"config.pbtxt", "model.onnx", "model.xml", "model.bin"}


@pytest.mark.parametrize(
    ("parameters", "property_name", "expected"),
    [
        ({"INFERENCE_NUM_THREADS": "1"}, "INFERENCE_NUM_THREADS", 1),
        ({"NUM_STREAMS": "1"}, "NUM_STREAMS", 1),
        ({"PERFORMANCE_HINT": "Throughput"}, "PERFORMANCE_HINT", "THROUGHPUT"),
        ({"NUM_STREAMS": "auto"}, "PERFORMANCE_HINT", "THROUGHPUT"),
        ({"OTHER": "1", "HINT_BF16": ""}, "PERFORMANCE_HINT", "LATENCY"),
    ],
)
def test_a_parameter_reaches_the_device(
    openvino, repository, monkeypatch, parameters, property_name, expected
):
    monkeypatch.syspath_prepend(str(BACKEND))
    from device import properties_of

    core = openvino.Core()
    core.set_property("CPU", properties_of(parameters))
    compiled = core.compile_model(repository / "batched/1/model.onnx", "CPU")
    found = compiled.get_property(property_name)
    assert getattr(found, "name", found) == expected
    del sys.modules["device"]


def test_the_serving_environment_holds_the_version_that_the_constraints_pin(installed):
    assert f"openvino=={read_environment(VENV).openvino}" in CONSTRAINTS.read_text()
