import json
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException

import server.process as process_module
from server.address import ANY_FREE
from server.environment import VENV, read_environment
from server.errors import ServerError
from server.installation import CONSTRAINTS
from server.process import running

pytestmark = pytest.mark.triton

BACKEND = Path(__file__).parents[2] / "server" / "backends" / "openvino"
RNG = np.random.default_rng(0)
ONE_THREAD = 'parameters { key: "INFERENCE_NUM_THREADS" value: { string_value: "1" } }\n'
PADDED = 'parameters { key: "ENABLE_BATCH_PADDING" value: { string_value: "YES" } }\n'
ONNX_FILE = 'default_model_filename: "model.onnx"\n'
DELAYED = """
instance_group [{ kind: KIND_CPU count: 1 }]
dynamic_batching { max_queue_delay_microseconds: 500000 }
"""
IO = f"""
max_batch_size: 8
input [{{ name: "X" data_type: TYPE_FP32 dims: [4] }}]
output [{{ name: "Y" data_type: TYPE_FP32 dims: [4] }}]
{ONNX_FILE}
"""
PROJECTION_IO = f"""
max_batch_size: 8
input [{{ name: "X" data_type: TYPE_FP32 dims: [-1, 16] }}]
output [{{ name: "P" data_type: TYPE_FP32 dims: [-1, 32] }},
        {{ name: "S" data_type: TYPE_FP32 dims: [32] }}]
{ONNX_FILE}{ONE_THREAD}
parameters {{ key: "NUM_STREAMS" value: {{ string_value: "1" }} }}
parameters {{ key: "PERFORMANCE_HINT" value: {{ string_value: "LATENCY" }} }}
"""


def projection(graph, quantized: bool = False) -> onnx.ModelProto:
    """softmax(X W): (B, T, 16) -> (B, T, 32), and the sum over T: (B, 32); in int8 if quantized."""
    weights = RNG.normal(size=(16, 32)).astype(np.float32)
    arrays = {"axes": np.array([1], np.int64), "W": weights}
    nodes = []
    if quantized:
        arrays |= {"XS": np.float32(0.03), "WS": np.float32(0.02), "Z0": np.int8(0)}
        arrays["W"] = np.clip(np.round(weights / 0.02), -128, 127).astype(np.int8)
        nodes = [
            helper.make_node("QuantizeLinear", ["X", "XS", "Z0"], ["XQ"]),
            helper.make_node("DequantizeLinear", ["XQ", "XS", "Z0"], ["XD"]),
            helper.make_node("DequantizeLinear", ["W", "WS", "Z0"], ["WD"]),
        ]
    nodes += [
        helper.make_node("MatMul", ["XD", "WD"] if quantized else ["X", "W"], ["Z"]),
        helper.make_node("Softmax", ["Z"], ["P"]),
        helper.make_node("ReduceSum", ["P", "axes"], ["S"], keepdims=0),
    ]
    return graph(
        nodes,
        [("X", TensorProto.FLOAT, ["B", "T", 16])],
        [("P", TensorProto.FLOAT, ["B", "T", 32]), ("S", TensorProto.FLOAT, ["B", 32])],
        initializers=[numpy_helper.from_array(np.asarray(a), name) for name, a in arrays.items()],
    )


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


def two_by_two(graph) -> onnx.ModelProto:
    """D = A - B and C = A + B, so that a swap of inputs or outputs is seen."""
    pair = [("A", TensorProto.FLOAT, ["B", 2]), ("B", TensorProto.FLOAT, ["B", 2])]
    return graph(
        [helper.make_node("Sub", ["A", "B"], ["D"]), helper.make_node("Add", ["A", "B"], ["C"])],
        pair,
        [("D", TensorProto.FLOAT, ["B", 2]), ("C", TensorProto.FLOAT, ["B", 2])],
    )


@pytest.fixture(scope="module")
def write(write_model) -> Callable[..., Path]:
    """As `write_model`, for the backend openvino."""

    def write(repository: Path, name: str, body: str, *model: object) -> Path:
        file = write_model(repository, name, body, *model)
        (repository / name / "config.pbtxt").write_text(f'backend: "openvino"\n{body}')
        return file

    return write


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
def repository(tmp_path_factory, write, graph, openvino) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    padded_projection = PROJECTION_IO + PADDED
    write(folder, "float", padded_projection, projection(graph))
    write(folder, "int8", padded_projection, projection(graph, quantized=True))
    write(folder, "single", PROJECTION_IO.replace("size: 8", "size: 1"), projection(graph, True))
    bf16 = 'parameters { key: "HINT_BF16" value: { string_value: "yes" } }\n'
    write(folder, "bf16", padded_projection + bf16, projection(graph))
    write(folder, "batched", IO + PADDED + DELAYED)
    write(folder, "unpadded", IO)
    fixed = 'parameters { key: "SKIP_OV_DYNAMIC_BATCHSIZE" value: { string_value: "YES" } }\n'
    write(folder, "fixed", PROJECTION_IO + PADDED + fixed, projection(graph))
    regrouped_io = IO + PADDED + DELAYED + 'input [{ name: "N" data_type: TYPE_INT64 dims: [1] }]\n'
    write(folder, "regrouped", regrouped_io, regrouped(graph))
    swapped_io = f"""
    max_batch_size: 8
    input [{{ name: "B" data_type: TYPE_FP32 dims: [2] }},
           {{ name: "A" data_type: TYPE_FP32 dims: [2] }}]
    output [{{ name: "C" data_type: TYPE_FP32 dims: [2] }},
            {{ name: "D" data_type: TYPE_FP32 dims: [2] }}]
    {ONNX_FILE}{PADDED}
    """
    write(folder, "swapped", swapped_io, two_by_two(graph))
    write(folder, "half", IO.replace("FP32", "FP16") + PADDED)
    write(folder, "unbatched", IO.replace("size: 8", "size: 0").replace("[4]", "[-1, 4]"))
    file = write(folder, "xml", IO.replace(ONNX_FILE, "") + PADDED)
    openvino.save_model(openvino.Core().read_model(file), file.with_name("model.xml"))
    file.unlink()
    reshapes = 'parameters { key: "RESHAPE_IO_LAYERS" value: { string_value: "YES" } }\n'
    add = [helper.make_node("Add", ["X", "X"], ["Y"])]
    one = graph(add, [("X", TensorProto.FLOAT, [1, 4])], [("Y", TensorProto.FLOAT, [1, 4])])
    write(folder, "fixed_graph", IO + PADDED, one)
    any_size = graph(
        add, [("X", TensorProto.FLOAT, ["B", "T"])], [("Y", TensorProto.FLOAT, ["B", "T"])]
    )
    write(folder, "reshaped", IO + PADDED + reshapes, any_size)
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


def test_tensors_are_bound_by_name_not_by_place(infer):
    a, b = np.array([[5, 7]], np.float32), np.array([[1, 2]], np.float32)
    answer = infer("swapped", A=a, B=b)
    np.testing.assert_array_equal(answer.as_numpy("D"), a - b)
    np.testing.assert_array_equal(answer.as_numpy("C"), a + b)


def test_only_requested_outputs_are_sent(infer):
    one = np.ones((1, 2), np.float32)
    answer = infer("swapped", outputs=("C",), A=one, B=one)
    assert [output.name for output in answer.get_response().outputs] == ["C"]


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


REFUSALS = {
    "output_fixed": ("S", "[32]", "[31]", "output 'S' has the shape [8, 31]"),
    "output_open_where_fixed": ("S", "[32]", "[-1]", "output 'S' has the shape [8, -1]"),
    "input_fixed": ("X", "[-1, 16]", "[-1, 15]", "input 'X' has the shape"),
    "input_of_other_rank": ("X", "[-1, 16]", "[16]", "input 'X' has the shape"),
    "unknown_output": ("P", '"P"', '"Q"', "the graph has no output 'Q'. It has: P, S."),
    "unknown_input": ("X", '"X"', '"Z"', "the graph has no input 'Z'. It has: X."),
    "double": ("X", "TYPE_FP32 dims: [-1", "TYPE_FP64 dims: [-1", "input 'X' is TYPE_FP64"),
    "no_such_file": ("", '"model.onnx"', '"other.onnx"', "no graph file other.onnx"),
    "threads": ("", 'value: "1"', 'value: "many"', "INFERENCE_NUM_THREADS must be a non-negative"),
    "streams": ("", '"NUM_STREAMS" value: { string_value: "1"',
                '"NUM_STREAMS" value: { string_value: "two"', "NUM_STREAMS must be AUTO, NUMA or"),
    "hint": ("", '"LATENCY"', '"FAST"', "PERFORMANCE_HINT must be one of LATENCY"),
    "no_bf16": ("", '"LATENCY"', '"LATENCY" } }\nparameters { key: "HINT_BF16" value: '
                '{ string_value: "NO"', "HINT_BF16 must be YES, but is 'no'"),
    "device": ("", '"LATENCY"', '"LATENCY" } }\nparameters { key: "TARGET_DEVICE" value: '
               '{ string_value: "abacus"', "name is not registered in the OpenVINO Runtime"),
}  # fmt: skip


def test_a_bad_model_is_refused_at_load_with_one_clear_line(installed, tmp_path, write, graph):
    repository = tmp_path / "repository"
    model = projection(graph)
    for name, (_, old, new, _) in REFUSALS.items():
        assert old in PROJECTION_IO, name
        write(repository, name, PROJECTION_IO.replace(old, new), model)
    expected = {name: message for name, (_, _, _, message) in REFUSALS.items()}

    write(repository, "no_model", IO).write_bytes(b"no graph at all")
    expected["no_model"] = "openvino error: Unable to read the model"
    one_more = 'input [{ name: "W" data_type: TYPE_FP32 dims: [4] }]\n'
    write(repository, "input_count", IO + one_more)
    expected["input_count"] = "config.pbtxt has 2 inputs, the graph 1: X."
    write(repository, "sequence", IO + "sequence_batching { }\n")
    expected["sequence"] = "sequence_batching needs Triton's own OpenVINO backend"
    one_row = graph(
        [helper.make_node("Reshape", ["X", "shape"], ["Y"])],
        [("X", TensorProto.FLOAT, [1, 4])],
        [("Y", TensorProto.FLOAT, [1, 4])],
        initializers=[numpy_helper.from_array(np.array([1, -1], np.int64), "shape")],
    )
    write(repository, "one_row", IO, one_row)
    expected["one_row"] = "output 'Y' has the shape [8, 4]"

    log = tmp_path / "server.log"
    with pytest.raises(ServerError), running(repository, ANY_FREE, log):
        pass
    text = log.read_text()
    for name, message in expected.items():
        line = next((line for line in text.splitlines() if f"model '{name}': " in line), "")
        assert message in line, f"{name}: {line}"


def test_numpy_2_is_refused_by_the_backend_itself(installed, tmp_path, write, monkeypatch):
    """Whoever starts Triton without our launcher is warned too. The toolkit's numpy is 2."""
    monkeypatch.setattr(process_module, "VENV", Path(sys.prefix))
    monkeypatch.setattr(process_module, "check_environment", lambda *_: None)
    write(tmp_path / "repository", "doubled", IO)
    with (
        pytest.raises(ServerError, match=r"model 'doubled': numpy 2.* corrupts every tensor"),
        running(tmp_path / "repository", ANY_FREE, tmp_path / "log"),
    ):
        pass


def test_no_file_of_its_telemetry_appears_under_home(installed, tmp_path, write, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("CI", raising=False)
    write(tmp_path / "repository", "doubled", IO + PADDED)
    with running(tmp_path / "repository", ANY_FREE, tmp_path / "log") as server:
        body = {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1] * 4}]}
        url = f"http://{server.http_url}/v2/models/doubled/infer"
        with urlopen(Request(url, json.dumps(body).encode())) as answer:
            assert json.load(answer)["outputs"][0]["data"] == [2] * 4
    assert list(home.rglob("*")) == []


def test_the_serving_environment_holds_the_version_that_the_constraints_pin(installed):
    assert f"openvino=={read_environment(VENV).openvino}" in CONSTRAINTS.read_text()
