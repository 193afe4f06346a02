import json
import subprocess
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException

from server.address import ANY_FREE
from server.environment import VENV
from server.process import running

pytestmark = pytest.mark.triton

ONE_CPU = "instance_group [{ kind: KIND_CPU count: 1 }]\n"
RNG = np.random.default_rng(0)
PROJECTION_SETTINGS = """
default_model_filename: "net.onnx"
parameters { key: "intra_op_thread_count" value: { string_value: "1" } }
parameters { key: "inter_op_thread_count" value: { string_value: "1" } }
parameters { key: "execution_mode" value: { string_value: "0" } }
parameters { key: "enable_mem_arena" value: { string_value: "0" } }
"""


def lookup(graph) -> onnx.ModelProto:
    """Y = table[I]: an index above 3 fails while the graph runs."""
    table = numpy_helper.from_array(np.arange(8, dtype=np.float32).reshape(4, 2), "table")
    return graph(
        [helper.make_node("Gather", ["table", "I"], ["Y"])],
        [("I", TensorProto.INT64, ["B", 1])],
        [("Y", TensorProto.FLOAT, ["B", 1, 2])],
        initializers=[table],
    )


def company(graph) -> onnx.ModelProto:
    """Y: with how many rows a row was run, (B, T, 4) -> (B, 1)."""
    axes = numpy_helper.from_array(np.array([1, 2], np.int64), "axes")
    two = numpy_helper.from_array(np.array([-1, 1], np.int64), "two")
    nodes = [
        helper.make_node("Shape", ["X"], ["rows"], start=0, end=1),
        helper.make_node("Cast", ["rows"], ["count"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["X", "X"], ["nothing"]),
        helper.make_node("ReduceSum", ["nothing", "axes"], ["zeros"], keepdims=0),
        helper.make_node("Add", ["zeros", "count"], ["counts"]),
        helper.make_node("Reshape", ["counts", "two"], ["Y"]),
    ]
    return graph(
        nodes,
        [("X", TensorProto.FLOAT, ["B", "T", 4])],
        [("Y", TensorProto.FLOAT, ["B", 1])],
        initializers=[axes, two],
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory, write_model, graph, projection, tensors) -> Path:
    folder = tmp_path_factory.mktemp("graphs")
    projected = tensors.projection + PROJECTION_SETTINGS
    write_model(folder, "projection", projected, projection(), "net.onnx")
    delayed = "dynamic_batching { max_queue_delay_microseconds: 500000 }\n"
    write_model(folder, "batched", tensors.doubled + ONE_CPU + delayed)
    lookup_io = """
    max_batch_size: 8
    input [{ name: "I" data_type: TYPE_INT64 dims: [1] }]
    output [{ name: "Y" data_type: TYPE_FP32 dims: [1, 2] }]
    """
    write_model(folder, "lookup", lookup_io + ONE_CPU + delayed, lookup(graph))
    bounded = 'parameters { key: "frames_per_run" value: { string_value: "4" } }\n' + delayed
    write_model(folder, "bounded_lookup", lookup_io + ONE_CPU + bounded, lookup(graph))
    company_io = tensors.doubled.replace("[4]", "[-1, 4]", 1).replace("[4]", "[1]")
    write_model(folder, "company", company_io + ONE_CPU + bounded, company(graph))
    text = graph(
        [helper.make_node("Identity", ["X"], ["Y"])],
        [("X", TensorProto.STRING, ["B", 2])],
        [("Y", TensorProto.STRING, ["B", 2])],
    )
    text_io = tensors.doubled.replace("FP32", "STRING").replace("[4]", "[2]")
    write_model(folder, "text", text_io, text)
    scalar = graph(
        [helper.make_node("Add", ["X", "X"], ["Y"])],
        [("X", TensorProto.FLOAT, [])],
        [("Y", TensorProto.FLOAT, [])],
    )
    write_model(folder, "scalar", tensors.doubled.replace("8", "0").replace("[4]", "[1]"), scalar)
    return folder


@pytest.mark.parametrize(("rows", "frames"), [(1, 1), (3, 5), (8, 2)])
def test_answers_equal_a_bare_session_to_the_last_bit(infer, repository, rows, frames):
    sent = RNG.normal(size=(rows, frames, 16)).astype(np.float32)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(repository / "projection/1/net.onnx", options)
    answer = infer("projection", X=sent)
    for name, expected in zip(("P", "S"), session.run(["P", "S"], {"X": sent}), strict=True):
        np.testing.assert_array_equal(answer.as_numpy(name), expected)


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


def test_a_bad_request_fails_alone_in_its_batch(infer, together, executions):
    before = executions("lookup")
    sent = [np.array([[index]], np.int64) for index in (0, 1, 9, 3)]
    results = together([lambda array=array: infer("lookup", I=array) for array in sent])
    for index in (0, 1, 3):
        np.testing.assert_array_equal(results[index].as_numpy("Y"), [[[2 * index, 2 * index + 1]]])
    assert isinstance(results[2], InferenceServerException)
    assert executions("lookup")[1] - before[1] < 4


@pytest.mark.parametrize(("frames", "rows"), [(1, 4), (2, 2), (3, 1), (6, 1)])
def test_a_run_holds_no_more_frames_than_it_may(infer, together, executions, frames, rows):
    before = executions("company")
    sent = np.zeros((1, frames, 4), np.float32)
    results = together([lambda: infer("company", X=sent) for _ in range(8)])
    counts = [result.as_numpy("Y").item() for result in results]
    assert max(counts) == rows
    assert executions("company")[1] - before[1] < 8


def test_a_bad_request_fails_alone_where_a_batch_takes_several_runs(infer, together):
    sent = [np.array([[index % 4]], np.int64) for index in range(8)]
    sent[1] = sent[6] = np.array([[9]], np.int64)
    results = together([lambda array=array: infer("bounded_lookup", I=array) for array in sent])
    for place, (array, result) in enumerate(zip(sent, results, strict=True)):
        if place in (1, 6):
            assert isinstance(result, InferenceServerException)
        else:
            at = 2 * array.item()
            np.testing.assert_array_equal(result.as_numpy("Y"), [[[at, at + 1]]])


def test_a_runtime_error_is_one_line_with_its_code(infer):
    with pytest.raises(InferenceServerException) as caught:
        infer("lookup", I=np.array([[9]], np.int64))
    message = caught.value.message()
    assert message.startswith("onnx runtime error 2: ")
    assert "\n" not in message
    assert "model.py" not in message


def test_text_passes_through_unchanged(infer):
    sent = np.array([["a", "żółw"]], dtype=object)
    received = infer("text", X=sent).as_numpy("Y")
    assert [text.decode() for text in received.flat] == ["a", "żółw"]


def test_a_scalar_without_a_batch_is_served(infer):
    answer = infer("scalar", X=np.array([21], np.float32))
    np.testing.assert_array_equal(answer.as_numpy("Y"), [42])


def test_serving_writes_nothing_into_the_repository(server, repository):
    names = {path.name for path in repository.rglob("*") if path.is_file()}
    assert names == {"config.pbtxt", "model.onnx", "net.onnx"}


def test_a_fixed_input_is_allowed_where_the_graph_is_dynamic(
    installed, tmp_path, write_model, projection, tensors
):
    repository = tmp_path / "repository"
    config = tensors.projection.replace("dims: [-1, 16]", "dims: [8, 16]") + PROJECTION_SETTINGS
    write_model(repository, "fixed_input", config, projection(), "net.onnx")
    with running(repository, ANY_FREE, tmp_path / "log") as server:
        url = f"http://{server.http_url}/v2/models/fixed_input"
        with urlopen(url) as answer:
            assert json.load(answer)["inputs"][0]["shape"] == [-1, 8, 16]


def test_the_server_environment_gives_the_same_bits_as_ours(installed, repository, tmp_path):
    sent = RNG.normal(size=(2, 3, 16)).astype(np.float32)
    np.save(tmp_path / "sent.npy", sent)
    script = (
        "import numpy, onnxruntime, sys\n"
        "graph, sent, got = sys.argv[1:]\n"
        "session = onnxruntime.InferenceSession(graph)\n"
        "numpy.save(got, session.run(['P'], {'X': numpy.load(sent)})[0])\n"
    )
    files = [repository / "projection/1/net.onnx", tmp_path / "sent.npy", tmp_path / "got.npy"]
    subprocess.run([VENV / "bin/python", "-c", script, *files], check=True)
    ours = onnxruntime.InferenceSession(files[0]).run(["P"], {"X": sent})[0]
    np.testing.assert_array_equal(np.load(files[2]), ours)
