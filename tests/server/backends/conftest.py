"""Graphs, their config.pbtxt, and checks that the tests of both drop-in backends share."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from server.address import ANY_FREE
from server.errors import ServerError
from server.process import running


@dataclass(frozen=True)
class TensorsInConfig:
    """The tensors of graphs as config.pbtxt tells them."""

    doubled: str = """
max_batch_size: 8
input [{ name: "X" data_type: TYPE_FP32 dims: [4] }]
output [{ name: "Y" data_type: TYPE_FP32 dims: [4] }]
"""
    projection: str = """
max_batch_size: 8
input [{ name: "X" data_type: TYPE_FP32 dims: [-1, 16] }]
output [{ name: "P" data_type: TYPE_FP32 dims: [-1, 32] },
        { name: "S" data_type: TYPE_FP32 dims: [32] }]
"""


@pytest.fixture(scope="session")
def tensors() -> TensorsInConfig:
    """The tensors of the graphs here."""
    return TensorsInConfig()


@pytest.fixture(scope="session")
def projection(graph) -> Callable[..., onnx.ModelProto]:
    """softmax(X W): (B, T, 16) -> (B, T, 32), and the sum over T: (B, 32); in int8 if quantized."""

    def made(quantized: bool = False) -> onnx.ModelProto:
        weights = np.random.default_rng(0).normal(size=(16, 32)).astype(np.float32)
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
            initializers=[
                numpy_helper.from_array(np.asarray(array), name) for name, array in arrays.items()
            ],
        )

    return made


@pytest.fixture(scope="session")
def write_openvino(write_model) -> Callable[..., Path]:
    """As `write_model`, for the backend openvino."""

    def write(repository: Path, name: str, body: str, *model: object) -> Path:
        file = write_model(repository, name, body, *model)
        (repository / name / "config.pbtxt").write_text(f'backend: "openvino"\n{body}')
        return file

    return write


@pytest.fixture
def assert_refused(installed, tmp_path) -> Callable[[Path, dict[str, str]], None]:
    """Asserts that Triton does not start, and says of each model why in one line."""

    def refused(repository: Path, expected: dict[str, str]) -> None:
        log = tmp_path / "server.log"
        with pytest.raises(ServerError), running(repository, ANY_FREE, log):
            pass
        text = log.read_text()
        for name, message in expected.items():
            line = next((line for line in text.splitlines() if f"model '{name}': " in line), "")
            assert message in line, f"{name}: {line}"

    return refused
