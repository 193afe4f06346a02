"""What both drop-in backends do alike."""

import json
import sys
import time
from pathlib import Path
from urllib.request import Request, urlopen

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import server.process as process_module
from server.address import ANY_FREE
from server.errors import ServerError
from server.process import running

pytestmark = pytest.mark.triton

FOR_OPENVINO = """
default_model_filename: "model.onnx"
parameters { key: "ENABLE_BATCH_PADDING" value: { string_value: "YES" } }
"""


SWAPPED_IO = """
max_batch_size: 8
input [{ name: "B" data_type: TYPE_FP32 dims: [2] },
       { name: "A" data_type: TYPE_FP32 dims: [2] }]
output [{ name: "C" data_type: TYPE_FP32 dims: [2] },
        { name: "D" data_type: TYPE_FP32 dims: [2] }]
"""
"""The tensors of `two_by_two`, in another order than the graph's."""


def two_by_two(graph) -> onnx.ModelProto:
    """D = A - B and C = A + B, so that a swap of inputs or outputs is seen."""
    pair = [("A", TensorProto.FLOAT, ["B", 2]), ("B", TensorProto.FLOAT, ["B", 2])]
    return graph(
        [helper.make_node("Sub", ["A", "B"], ["D"]), helper.make_node("Add", ["A", "B"], ["C"])],
        pair,
        [("D", TensorProto.FLOAT, ["B", 2]), ("C", TensorProto.FLOAT, ["B", 2])],
    )


@pytest.fixture(
    scope="module", params=["write_model", "write_openvino"], ids=["onnxruntime", "openvino"]
)
def repository(request, installed, tmp_path_factory, graph, tensors) -> Path:
    """A repository whose model `doubled` answers X + X, and `swapped` A - B and A + B."""
    folder, write = tmp_path_factory.mktemp("graphs"), request.getfixturevalue(request.param)
    write(folder, "doubled", tensors.doubled + FOR_OPENVINO)
    write(folder, "swapped", SWAPPED_IO + FOR_OPENVINO, two_by_two(graph))
    return folder


def test_tensors_are_bound_by_name_not_by_place(infer):
    a, b = np.array([[5, 7]], np.float32), np.array([[1, 2]], np.float32)
    answer = infer("swapped", A=a, B=b)
    np.testing.assert_array_equal(answer.as_numpy("D"), a - b)
    np.testing.assert_array_equal(answer.as_numpy("C"), a + b)


def test_only_requested_outputs_are_sent(infer):
    one = np.ones((1, 2), np.float32)
    answer = infer("swapped", outputs=("C",), A=one, B=one)
    assert [output.name for output in answer.get_response().outputs] == ["C"]


def test_numpy_2_is_refused_by_the_backend_itself(repository, tmp_path, monkeypatch):
    """Whoever starts Triton without our launcher is warned too. The toolkit's numpy is 2."""
    monkeypatch.setattr(process_module, "VENV", Path(sys.prefix))
    monkeypatch.setattr(process_module, "check_environment", lambda *_: None)
    with (
        pytest.raises(ServerError, match=r"model 'doubled': numpy 2.* corrupts every tensor"),
        running(repository, ANY_FREE, tmp_path / "log"),
    ):
        pass


def test_no_file_of_its_telemetry_appears_under_home(repository, tmp_path, monkeypatch):
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY", raising=False)
    with running(repository, ANY_FREE, tmp_path / "log") as server:
        body = {"inputs": [{"name": "X", "shape": [1, 4], "datatype": "FP32", "data": [1] * 4}]}
        url = f"http://{server.http_url}/v2/models/doubled/infer"
        with urlopen(Request(url, json.dumps(body).encode())) as answer:
            assert json.load(answer)["outputs"][0]["data"] == [2] * 4
        time.sleep(1)
    assert list(home.rglob("*")) == []
