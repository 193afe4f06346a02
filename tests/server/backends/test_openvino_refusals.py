"""Models that the drop-in for OpenVINO does not load, and what it says of each."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

pytestmark = pytest.mark.triton

ONNX_FILE = 'default_model_filename: "model.onnx"\n'
SETTINGS = f"""
{ONNX_FILE}parameters {{ key: "INFERENCE_NUM_THREADS" value: {{ string_value: "1" }} }}
parameters {{ key: "NUM_STREAMS" value: {{ string_value: "1" }} }}
parameters {{ key: "PERFORMANCE_HINT" value: {{ string_value: "LATENCY" }} }}
"""
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


def test_a_bad_model_is_refused_at_load_with_one_clear_line(
    assert_refused, tmp_path, write_openvino, graph, projection, tensors
):
    repository = tmp_path / "repository"
    projected = tensors.projection + SETTINGS
    write, doubling = write_openvino, tensors.doubled + ONNX_FILE
    for name, (_, old, new, _) in REFUSALS.items():
        assert old in projected, name
        write(repository, name, projected.replace(old, new), projection())
    expected = {name: message for name, (_, _, _, message) in REFUSALS.items()}

    write(repository, "no_model", doubling).write_bytes(b"no graph at all")
    expected["no_model"] = "openvino error: Unable to read the model"
    one_more = 'input [{ name: "W" data_type: TYPE_FP32 dims: [4] }]\n'
    write(repository, "input_count", doubling + one_more)
    expected["input_count"] = "config.pbtxt has 2 inputs, the graph 1: X."
    write(repository, "sequence", doubling + "sequence_batching { }\n")
    expected["sequence"] = "sequence_batching needs Triton's own OpenVINO backend"
    one_row = graph(
        [helper.make_node("Reshape", ["X", "shape"], ["Y"])],
        [("X", TensorProto.FLOAT, [1, 4])],
        [("Y", TensorProto.FLOAT, [1, 4])],
        initializers=[numpy_helper.from_array(np.array([1, -1], np.int64), "shape")],
    )
    write(repository, "one_row", doubling, one_row)
    expected["one_row"] = "output 'Y' has the shape [8, 4]"

    assert_refused(repository, expected)
