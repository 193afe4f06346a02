"""Tiny repositories: ONNX graphs written by hand, and Python models that can be made to die."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
import tritonclient.grpc as grpcclient
from onnx import TensorProto, helper
from tritonclient.utils import InferenceServerException, np_to_triton_dtype

from server.process import RunningServer

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
def server(serve: Callable[[Path], RunningServer], repository: Path) -> RunningServer:
    """A server on the repository of the test's module."""
    return serve(repository)


@pytest.fixture
def infer(server: RunningServer) -> Callable[..., grpcclient.InferResult]:
    """Asks a model, by its name and numpy arrays by theirs, for all outputs or those named."""

    def asked(model: str, outputs: tuple[str, ...] = (), **arrays: Any) -> grpcclient.InferResult:
        inputs = []
        for name, array in arrays.items():
            kind = np_to_triton_dtype(array.dtype)
            inputs.append(grpcclient.InferInput(name, array.shape, kind))
            inputs[-1].set_data_from_numpy(array)
        wanted = [grpcclient.InferRequestedOutput(name) for name in outputs] or None
        with grpcclient.InferenceServerClient(server.grpc_url) as client:
            return client.infer(model, inputs, outputs=wanted)

    return asked


@pytest.fixture
def executions(server: RunningServer) -> Callable[[str], tuple[int, int]]:
    """Rows that a model has answered, and runs that it took."""

    def counted(model: str) -> tuple[int, int]:
        with grpcclient.InferenceServerClient(server.grpc_url) as client:
            stats = client.get_inference_statistics(model).model_stats[0]
        return stats.inference_count, stats.execution_count

    return counted


@pytest.fixture(scope="session")
def together() -> Callable[[list[Callable[[], object]]], list[object]]:
    """Results, or the exceptions, of calls made at the same time."""

    def made(calls: list[Callable[[], object]]) -> list[object]:
        results: list[object] = [None] * len(calls)
        barrier = threading.Barrier(len(calls))

        def make(index: int) -> None:
            barrier.wait()
            try:
                results[index] = calls[index]()
            except InferenceServerException as error:
                results[index] = error

        threads = [threading.Thread(target=make, args=(index,)) for index in range(len(calls))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return results

    return made


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
