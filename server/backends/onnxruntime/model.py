"""ONNX graphs for a Triton without the C++ ONNX Runtime backend: same config.pbtxt, same answers.

Triton takes this folder as the backend `onnxruntime` and imports this file in one process for each
model instance. B is the rows of one request, R the rows of all requests that run together.
"""

# Triton's own module exists only in the processes that it starts.
# pyright: basic

import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import triton_python_backend_utils as pb_utils  # pyright: ignore[reportMissingImports]
from model_config import Table, check_features, check_file, check_tensors, dims_of

Arrays = dict[str, Any]
"""numpy arrays by tensor name."""


class TritonPythonModel:
    """One instance of one model: an ONNX Runtime session on the CPU."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Adds nothing: config.pbtxt must be complete."""
        return config

    def initialize(self, args: dict[str, str]) -> None:
        """Opens the graph; raises TritonModelException with one line where it cannot be served."""
        self.config: Table = json.loads(args["model_config"])
        self.batches = int(self.config["max_batch_size"]) > 0
        self.texts = {
            tensor["name"]
            for tensor in (*self.config["input"], *self.config["output"])
            if tensor["data_type"] == "TYPE_STRING"
        }
        try:
            _check_memory_exchange()
            _check_cpu(args["model_instance_kind"])
            check_features(self.config)
            path = _graph_path(self.config, args)
            check_file(path)
            self.session = _open_session(path, self.config)
            check_tensors(self.config, self.session)
        except Exception as error:
            line = _one_line(error)
            raise pb_utils.TritonModelException(f"model '{args['model_name']}': {line}") from None
        self.ranks = {node.name: len(node.shape) for node in self.session.get_inputs()}
        self.dims = {tensor["name"]: dims_of(tensor) for tensor in self.config["output"]}

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answers every request, with as few runs of the graph as their shapes allow."""
        feeds = [self._feed(request) for request in requests]
        groups: dict[object, list[int]] = {}
        for index, feed in enumerate(feeds):
            groups.setdefault(_row_shapes(feed) if self.batches else index, []).append(index)
        responses: dict[int, Any] = {}
        for members in groups.values():
            names = [requests[index].requested_output_names() for index in members]
            answers = self._answers([feeds[index] for index in members], names)
            responses.update(zip(members, answers, strict=True))
        return [responses[index] for index in range(len(requests))]

    def _feed(self, request: Any) -> Arrays:
        feed: Arrays = {}
        for tensor in self.config["input"]:
            name = tensor["name"]
            found = pb_utils.get_input_tensor_by_name(request, name)
            if found is None:  # an optional input
                continue
            array = found.as_numpy()
            if name in self.texts:
                array = np.array([text.decode() for text in array.flat], object).reshape(
                    array.shape
                )
            feed[name] = array.reshape(()) if self.ranks.get(name) == 0 else array
        return feed

    def _answers(self, feeds: Sequence[Arrays], names: Sequence[Sequence[str]]) -> list[Any]:
        """The responses to requests of one row shape; one bad request fails alone."""
        try:
            parts = self._run(feeds, sorted({name for wanted in names for name in wanted}))
        except Exception as error:
            if len(feeds) == 1:
                return [pb_utils.InferenceResponse(error=pb_utils.TritonError(_one_line(error)))]
            return [
                self._answers([feed], [wanted])[0]
                for feed, wanted in zip(feeds, names, strict=True)
            ]
        return [
            pb_utils.InferenceResponse([pb_utils.Tensor(name, part[name]) for name in wanted])
            for part, wanted in zip(parts, names, strict=True)
        ]

    def _run(self, feeds: Sequence[Arrays], names: Sequence[str]) -> list[Arrays]:
        """Runs the graph once on the rows of all feeds and gives each feed its rows back."""
        joined = feeds[0]
        if len(feeds) > 1:
            joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in joined}
        outputs: Arrays = {}  # name -> (R, ...)
        for name, array in zip(names, self.session.run(names, joined), strict=True):
            if name in self.texts:
                array = np.array([text.encode() for text in array.flat], object).reshape(
                    array.shape
                )
            outputs[name] = array if array.ndim else array.reshape(self.dims[name])
        if not self.batches:
            return [outputs]
        rows = [len(next(iter(feed.values()))) for feed in feeds]  # B of each
        for name, array in outputs.items():
            if len(array) != sum(rows):
                raise ValueError(
                    f"output '{name}' has {len(array)} rows for a batch of {sum(rows)}"
                )
        ends = np.cumsum(rows)[:-1]
        split = {name: np.split(array, ends) for name, array in outputs.items()}
        return [{name: split[name][i] for name in names} for i in range(len(feeds))]


def _check_memory_exchange() -> None:
    """The stub of Triton 24.10 and older reads numpy 2 arrays as zeros: refuse to serve so."""
    sent = np.arange(1, 5, dtype=np.float32)
    tensor = pb_utils.Tensor("probe", sent)
    received = pb_utils.Tensor.from_dlpack("probe", tensor.to_dlpack()).as_numpy()
    if not np.array_equal(sent, received):
        raise ValueError(
            f"numpy {np.__version__} corrupts every tensor in this Triton; "
            "install numpy<2 in the Python environment that serves."
        )


def _check_cpu(kind: str) -> None:
    if kind != "CPU":
        raise ValueError(
            f"instance kind {kind} is not supported, this drop-in runs on the CPU; "
            "write instance_group [{ kind: KIND_CPU }]."
        )


def _graph_path(config: Table, args: dict[str, str]) -> Path:
    name = config.get("default_model_filename") or "model.onnx"
    path = Path(args["model_repository"], args["model_version"], name)
    return path / "model.onnx" if path.is_dir() else path


def _open_session(path: Path, config: Table) -> Any:
    # Read when the library loads: later is too late to keep its telemetry file from appearing.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    import onnxruntime as ort

    parameters = {key: value["string_value"] for key, value in config.get("parameters", {}).items()}
    options = ort.SessionOptions()
    options.intra_op_num_threads = _whole_number(parameters, "intra_op_thread_count")
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


def _row_shapes(feed: Arrays) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return tuple((name, array.shape[1:]) for name, array in feed.items())


def _one_line(error: Exception) -> str:
    """ONNX Runtime's errors as Triton's C++ backend words them, ours as they are."""
    text = " ".join(str(error).split())
    runtime = re.match(r"\[ONNXRuntimeError\] : (\d+) : \w+ : (.*)", text)
    return f"onnx runtime error {runtime[1]}: {runtime[2]}" if runtime else text
