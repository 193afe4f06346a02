import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

BACKEND = Path(__file__).parents[3] / "server" / "backends" / "onnxruntime"


@pytest.fixture
def read_header(monkeypatch):
    monkeypatch.syspath_prepend(str(BACKEND))
    from onnx_header import read_header

    yield read_header
    del sys.modules["onnx_header"]


@pytest.mark.parametrize(("ir_version", "opset"), [(8, 17), (10, 21), (13, 25)])
def test_versions_are_read_as_the_onnx_package_reads_them(
    read_header, tmp_path, graph, ir_version, opset
):
    model = graph(
        [helper.make_node("Identity", ["X"], ["Y"])],
        [("X", TensorProto.FLOAT, ["B", 300])],
        [("Y", TensorProto.FLOAT, ["B", 300])],
        opset=opset,
        ir_version=ir_version,
    )
    model.opset_import.append(helper.make_opsetid("ai.onnx.ml", 99))
    onnx.save(model, tmp_path / "model.onnx")
    header = read_header(tmp_path / "model.onnx")
    assert (header.ir_version, header.opset) == (ir_version, opset)


@pytest.mark.parametrize("content", [b"no graph at all", b"\x08", b"\x3a\xff\xff\x03only"])
def test_a_file_that_is_no_graph_is_refused(read_header, tmp_path, content):
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not an ONNX file, or cut short"):
        read_header(path)
