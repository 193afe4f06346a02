"""Models that the drop-in for ONNX Runtime does not load, and what it says of each."""

import pytest
from onnx import TensorProto, helper

pytestmark = pytest.mark.triton

SETTINGS = """
default_model_filename: "net.onnx"
parameters { key: "intra_op_thread_count" value: { string_value: "1" } }
parameters { key: "execution_mode" value: { string_value: "0" } }
"""
REFUSALS = {
    "output_fixed_where_dynamic": ("P", "[-1, 32]", "[8, 32]", "output 'P' has the shape"),
    "output_dynamic_where_fixed": ("S", "[32]", "[-1]", "output 'S' has the shape"),
    "input_dynamic_where_fixed": ("X", "[-1, 16]", "[-1, -1]", "input 'X' has the shape"),
    "input_of_other_rank": ("X", "[-1, 16]", "[16]", "input 'X' has the shape"),
    "unknown_output": ("P", '"P"', '"Q"', "the graph has no output 'Q'. It has: P, S."),
    "unknown_input": ("X", '"X"', '"Z"', "the graph has no input 'Z'. It has: X."),
    "wrong_type": ("X", "TYPE_FP32 dims: [-1", "TYPE_FP16 dims: [-1", "is TYPE_FP16"),
    "no_such_file": ("", '"net.onnx"', '"other.onnx"', "no graph file other.onnx"),
    "thread_count": ("", '"1"', '"many"', "must be a whole number, but is 'many'"),
    "frames_per_run": (
        "",
        '"execution_mode" value: { string_value: "0"',
        '"frames_per_run" value: { string_value: "-4"',
        "frames_per_run must be a whole number, but is '-4'",
    ),
    "execution_mode": ("", '"0"', '"2"', "execution_mode must be 0 or 1, but is '2'"),
}


def test_a_bad_model_is_refused_at_load_with_one_clear_line(
    assert_refused, tmp_path, write_model, graph, projection, tensors
):
    repository = tmp_path / "repository"
    projected = tensors.projection + SETTINGS
    for name, (_, old, new, _) in REFUSALS.items():
        assert old in projected
        write_model(repository, name, projected.replace(old, new), projection(), "net.onnx")
    expected = {name: message for name, (_, _, _, message) in REFUSALS.items()}

    add = [helper.make_node("Add", ["X", "X"], ["Y"])]
    fixed = graph(add, [("X", TensorProto.FLOAT, [1, 4])], [("Y", TensorProto.FLOAT, [1, 4])])
    dynamic = [("X", TensorProto.FLOAT, ["B", 4])], [("Y", TensorProto.FLOAT, ["B", 4])]
    write_model(repository, "fixed_batch", tensors.doubled, fixed)
    expected["fixed_batch"] = "max_batch_size 8 needs a dynamic first axis"
    write_model(repository, "new_ir", tensors.doubled, graph(add, *dynamic, ir_version=11))
    expected["new_ir"] = "ONNX IR version 11, but Triton 24.10 reads 10"
    write_model(repository, "new_opset", tensors.doubled, graph(add, *dynamic, opset=22))
    expected["new_opset"] = "opset 22, but Triton 24.10 reads 21"
    write_model(repository, "not_onnx", tensors.doubled).write_bytes(b"no graph at all")
    expected["not_onnx"] = "not an ONNX file"
    one_more = 'input [{ name: "W" data_type: TYPE_FP32 dims: [4] }]\n'
    write_model(repository, "input_count", tensors.doubled + one_more)
    expected["input_count"] = "config.pbtxt has 2 inputs, the graph 1: X."
    sequence = "sequence_batching { }\n"
    write_model(repository, "sequence", tensors.doubled + sequence)
    expected["sequence"] = "sequence_batching needs Triton's own ONNX Runtime backend"

    assert_refused(repository, expected)
