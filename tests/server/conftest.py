"""Tiny repositories: ONNX graphs written by hand, and Python models that can be made to die."""

from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

WriteModel = Callable[..., Path]

PYTHON_MODEL = """
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def execute(self, requests):
        probs = np.array([[0.25, 0.75]], np.float32)
        return [pb_utils.InferenceResponse([pb_utils.Tensor("PROBS", probs)]) for _ in requests]
"""

HAR_BASE_CONFIG = """
backend: "python"
max_batch_size: 4
input [{ name: "MEDIA" data_type: TYPE_STRING dims: [1] }]
output [{ name: "PROBS" data_type: TYPE_FP32 dims: [2] }]
instance_group [{ kind: KIND_CPU }]
"""


@pytest.fixture(scope="session")
def write_model() -> WriteModel:
    """Writes one ONNX model of a repository; `body` is its config.pbtxt after the platform."""

    def write(
        repository: Path,
        name: str,
        body: str,
        model: onnx.ModelProto | None = None,
        file: str = "model.onnx",
    ) -> Path:
        version = repository / name / "1"
        version.mkdir(parents=True)
        onnx.save(model or scaled(), version / file)
        (repository / name / "config.pbtxt").write_text(f'platform: "onnxruntime_onnx"\n{body}')
        return version / file

    return write


@pytest.fixture(scope="session")
def graph() -> Callable[..., onnx.ModelProto]:
    """Makes a graph from nodes and from (name, element type, shape) of its inputs and outputs."""
    return model_of


@pytest.fixture
def har_repository(tmp_path: Path) -> Path:
    """A public HAR model of Python that answers every image with the same two probabilities."""
    version = tmp_path / "repository" / "har_base" / "1"
    version.mkdir(parents=True)
    (version / "model.py").write_text(PYTHON_MODEL)
    (version.parent / "config.pbtxt").write_text(HAR_BASE_CONFIG)
    return version.parents[1]


def model_of(nodes, inputs, outputs, opset: int = 20, ir_version: int = 10, initializers=()):
    def infos(tensors):
        return [helper.make_tensor_value_info(*tensor) for tensor in tensors]

    made = helper.make_graph(nodes, "graph", infos(inputs), infos(outputs), list(initializers))
    return helper.make_model(
        made, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version
    )


def scaled(**versions: int) -> onnx.ModelProto:
    """Y = X + X, (B, 4) -> (B, 4)."""
    tensors = [("X", TensorProto.FLOAT, ["B", 4])], [("Y", TensorProto.FLOAT, ["B", 4])]
    return model_of([helper.make_node("Add", ["X", "X"], ["Y"])], *tensors, **versions)
