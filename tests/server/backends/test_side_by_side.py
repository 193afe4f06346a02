"""The drop-in backends with `lanes`: runs side by side in a real server."""

import shutil
import threading
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc as grpcclient
from onnx import TensorProto, helper, numpy_helper
from tritonclient.utils import InferenceServerException

from server.process import ANY_FREE, prepare

CONFIG = """
max_batch_size: 8
input [{ name: "I" data_type: TYPE_INT64 dims: [1] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [1, 2] }]
instance_group [{ kind: KIND_CPU count: 1 }]
parameters { key: "lanes" value: { string_value: "2" } }
"""
ONNX_RUNTIME = 'parameters { key: "intra_op_thread_count" value: { string_value: "2" } }\n'
OPENVINO = """
parameters { key: "ENABLE_BATCH_PADDING" value: { string_value: "YES" } }
parameters { key: "INFERENCE_NUM_THREADS" value: { string_value: "2" } }
"""
ROWS, SIDE = 4, 700


def slow_lookup(graph):
    """Y = table[I] after some work that depends on I: an index above 3 fails while it runs."""
    table = numpy_helper.from_array(np.arange(8, dtype=np.float32).reshape(ROWS, 2), "table")
    square = numpy_helper.from_array(np.ones((SIDE, SIDE), np.float32), "square")
    nodes = [
        helper.make_node("Cast", ["I"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["numbers"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["square", "mean"], ["scaled"]),
        helper.make_node("MatMul", ["scaled", "square"], ["product"]),
        helper.make_node("MatMul", ["product", "square"], ["again"]),
        helper.make_node("ReduceMean", ["again"], ["worked"], keepdims=0),
        helper.make_node("Sub", ["worked", "worked"], ["nothing"]),
        helper.make_node("Gather", ["table", "I"], ["row"]),
        helper.make_node("Add", ["row", "nothing"], ["Y"]),
    ]
    return graph(
        nodes,
        [("I", TensorProto.INT64, ["B", 1])],
        [("Y", TensorProto.FLOAT, ["B", 1, 2])],
        initializers=[table, square],
    )


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory, write_model, graph) -> Path:
    folder = tmp_path_factory.mktemp("lanes")
    write_model(folder, "onnx", CONFIG + ONNX_RUNTIME, slow_lookup(graph))
    write_model(folder, "openvino", CONFIG + OPENVINO, slow_lookup(graph))
    config = folder / "openvino" / "config.pbtxt"
    platform = 'platform: "onnxruntime_onnx"'
    served = 'backend: "openvino"\ndefault_model_filename: "model.onnx"'
    config.write_text(config.read_text().replace(platform, served))
    return folder


@pytest.mark.parametrize("model", ["onnx", "openvino"])
def test_each_request_gets_its_own_rows(infer, together, model):
    sent = [np.array([[n % ROWS]] * (1 + n % 3), np.int64) for n in range(24)]
    results = together([lambda array=array: infer(model, I=array) for array in sent])
    for array, result in zip(sent, results, strict=True):
        np.testing.assert_array_equal(
            result.as_numpy("Y"), np.stack([2 * array, 2 * array + 1], axis=-1)
        )


def test_a_bad_request_fails_alone(infer, together):
    sent = [np.array([[n % ROWS]], np.int64) for n in range(16)]
    sent[3] = sent[11] = np.array([[9]], np.int64)
    results = together([lambda array=array: infer("onnx", I=array) for array in sent])
    refused = [isinstance(result, InferenceServerException) for result in results]
    assert [place for place, bad in enumerate(refused) if bad] == [3, 11]
    assert "onnx runtime error 2: " in results[3].message()


def test_a_reload_under_load_loses_no_answer(
    installed: None, repository: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "repository"
    shutil.copytree(repository / "onnx", copy / "onnx")
    server = prepare(copy, ANY_FREE, accept_loads=True)
    stop, faults, answers = threading.Event(), [], []

    def ask(index: int) -> None:
        tensor = grpcclient.InferInput("I", [1, 1], "INT64")
        tensor.set_data_from_numpy(np.array([[index]], np.int64))
        with grpcclient.InferenceServerClient(server.grpc_url) as client:
            while not stop.is_set():
                try:
                    answers.append(client.infer("onnx", [tensor], client_timeout=60))
                except InferenceServerException as error:
                    faults.append(error)
                    return

    try:
        server.start()
        callers = [threading.Thread(target=ask, args=(n % ROWS,)) for n in range(6)]
        for caller in callers:
            caller.start()
        config = copy / "onnx" / "config.pbtxt"
        with grpcclient.InferenceServerClient(server.grpc_url) as client:
            for rows in (7, 6):
                config.write_text(config.read_text().replace(f"size: {rows + 1}", f"size: {rows}"))
                client.load_model("onnx")
        stop.set()
        for caller in callers:
            caller.join()
    finally:
        stop.set()
        server.stop()
    assert not faults
    assert len(answers) > len(callers)
