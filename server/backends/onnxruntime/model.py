"""ONNX graphs for a Triton without the C++ ONNX Runtime backend: same config.pbtxt, same answers.

Triton takes this folder as the backend `onnxruntime` and imports this file in one process for each
model instance.
"""

# Triton imports this file from its own folder, beside model_config.py.
# pyright: basic

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from model_config import check_file, check_tensors

from server.backends.batched_model import BatchedModel
from server.backends.model_settings import (
    Table,
    check_features,
    dims_of,
    graph_path,
    parameters_of,
)
from server.backends.runs import Arrays


class TritonPythonModel(BatchedModel):
    """One instance of one model: an ONNX Runtime session on the CPU."""

    def open(self, config: Table, version: Path, lanes: int) -> list["OnnxGraph"]:
        """One session for all lanes: they share its threads, and each has its own beside them.

        Raises ValueError, or ONNX Runtime's own error.
        """
        check_features(config, "ONNX Runtime")
        path = graph_path(config, version, "model.onnx")
        path = path / "model.onnx" if path.is_dir() else path
        check_file(path)
        session = _open_session(path, config, lanes)
        check_tensors(config, session)
        return [OnnxGraph(session, config)] * lanes

    def worded(self, message: str) -> str:
        """ONNX Runtime's errors as Triton's C++ backend words them, ours as they are."""
        runtime = re.match(r"\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)", message)
        return f"onnx runtime error {runtime[1]}: {runtime[2]}" if runtime else message


class OnnxGraph:
    """An ONNX Runtime session that takes Triton's texts and scalars."""

    def __init__(self, session: Any, config: Table):
        self.session = session
        self.joins = int(config["max_batch_size"]) > 0
        tensors = (*config["input"], *config["output"])
        self.texts = {tensor["name"] for tensor in tensors if tensor["data_type"] == "TYPE_STRING"}
        self.ranks = {node.name: len(node.shape) for node in session.get_inputs()}
        self.dims = {tensor["name"]: dims_of(tensor) for tensor in config["output"]}

    def run(self, feeds: Arrays, names: Sequence[str]) -> Arrays:
        """The named outputs; raises ONNX Runtime's own error."""
        taken = {name: self._taken(name, array) for name, array in feeds.items()}
        outputs = self.session.run(names, taken)
        return {name: self._given(name, array) for name, array in zip(names, outputs, strict=True)}

    def _taken(self, name: str, array: Any) -> Any:
        if name in self.texts:
            array = np.array([text.decode() for text in array.flat], object).reshape(array.shape)
        return array.reshape(()) if self.ranks.get(name) == 0 else array

    def _given(self, name: str, array: Any) -> Any:
        if name in self.texts:
            array = np.array([text.encode() for text in array.flat], object).reshape(array.shape)
        return array if array.ndim else array.reshape(self.dims[name])


def _open_session(path: Path, config: Table, lanes: int) -> Any:
    # Read when the library loads: later is too late to keep its telemetry file from appearing.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime as ort

    parameters = parameters_of(config)
    options = ort.SessionOptions()
    threads = _whole_number(parameters, "intra_op_thread_count")
    if lanes > 1:
        # Of n threads a session makes n - 1, and takes the caller's, of which there are `lanes`.
        threads = max(1, (threads or len(os.sched_getaffinity(0))) - lanes + 1)
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = _whole_number(parameters, "inter_op_thread_count")
    if _switch(parameters, "execution_mode", False):
        options.execution_mode = ort.ExecutionMode.ORT_PARALLEL
    options.enable_cpu_mem_arena = _switch(parameters, "enable_mem_arena", True)
    options.enable_mem_pattern = _switch(parameters, "enable_mem_pattern", True)
    levels = {
        -1: ort.GraphOptimizationLevel.ORT_ENABLE_BASIC,
        1: ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
        2: ort.GraphOptimizationLevel.ORT_DISABLE_ALL,
    }
    level = int(config.get("optimization", {}).get("graph", {}).get("level", 0))
    options.graph_optimization_level = levels.get(level, ort.GraphOptimizationLevel.ORT_ENABLE_ALL)
    return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def _whole_number(parameters: dict[str, str], key: str) -> int:
    text = parameters.get(key, "0")
    try:
        return max(0, int(text))  # 0 lets ONNX Runtime choose
    except ValueError:
        raise ValueError(f"parameter {key} must be a whole number, but is {text!r}.") from None


def _switch(parameters: dict[str, str], key: str, default: bool) -> bool:
    text = parameters.get(key, "1" if default else "0").lower()
    if text not in ("0", "1", "false", "true"):
        raise ValueError(f"parameter {key} must be 0 or 1, but is {text!r}.")
    return text in ("1", "true")
