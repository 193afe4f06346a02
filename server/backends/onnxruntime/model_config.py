"""config.pbtxt against the graph: what Triton's C++ backend refuses is refused here too."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from onnx_header import read_header

from server.backends.model_settings import Table, dims_of

MAX_IR_VERSION, MAX_OPSET = 10, 21
"""The newest files that Triton 2.51 (24.10) reads, whose backend holds ONNX Runtime 1.19."""

ONNX_TYPES = {
    "TYPE_BOOL": "tensor(bool)",
    "TYPE_UINT8": "tensor(uint8)",
    "TYPE_UINT16": "tensor(uint16)",
    "TYPE_UINT32": "tensor(uint32)",
    "TYPE_UINT64": "tensor(uint64)",
    "TYPE_INT8": "tensor(int8)",
    "TYPE_INT16": "tensor(int16)",
    "TYPE_INT32": "tensor(int32)",
    "TYPE_INT64": "tensor(int64)",
    "TYPE_FP16": "tensor(float16)",
    "TYPE_FP32": "tensor(float)",
    "TYPE_FP64": "tensor(double)",
    "TYPE_STRING": "tensor(string)",
}
"""ONNX Runtime's name of each of Triton's element types."""


def check_file(path: Path) -> None:
    """Raises ValueError where the graph file is missing, broken or newer than Triton reads."""
    if not path.is_file():
        raise ValueError(f"no graph file {path.name} in folder {path.parent.name}.")
    header = read_header(path)
    if header.ir_version > MAX_IR_VERSION:
        raise ValueError(
            f"{path.name} has ONNX IR version {header.ir_version}, but Triton 24.10 reads "
            f"{MAX_IR_VERSION} at most; export it with an older IR version."
        )
    if header.opset > MAX_OPSET:
        raise ValueError(
            f"{path.name} has opset {header.opset}, but Triton 24.10 reads {MAX_OPSET} at most; "
            f"export it with opset_version={MAX_OPSET}."
        )


def check_tensors(config: Table, session: Any) -> None:
    """Raises ValueError where names, types or dims of config and graph disagree.

    `session` is an onnxruntime.InferenceSession of the graph.
    """
    max_batch = int(config["max_batch_size"])
    required = [tensor for tensor in config["input"] if not tensor.get("optional")]
    if len(required) != len(session.get_inputs()):
        raise ValueError(
            f"config.pbtxt has {len(required)} inputs, the graph {len(session.get_inputs())}: "
            f"{_names(session.get_inputs())}."
        )
    if max_batch and len(required) != len(config["input"]):
        raise ValueError("optional inputs need max_batch_size 0.")
    nodes = [*session.get_inputs(), *session.get_overridable_initializers()]
    for tensor in config["input"]:
        _check_tensor("input", tensor, nodes, max_batch)
    for tensor in config["output"]:
        _check_tensor("output", tensor, session.get_outputs(), max_batch)


def _check_tensor(kind: str, tensor: Table, nodes: Sequence[Any], max_batch: int) -> None:
    name, data_type = tensor["name"], tensor["data_type"]
    node = next((node for node in nodes if node.name == name), None)
    if node is None:
        raise ValueError(f"the graph has no {kind} {name!r}. It has: {_names(nodes)}.")
    if ONNX_TYPES.get(data_type) != node.type:
        known = {onnx: triton for triton, onnx in ONNX_TYPES.items()}
        raise ValueError(
            f"{kind} {name!r} is {data_type} in config.pbtxt, "
            f"but {known.get(node.type, node.type)} in the graph."
        )
    _check_dims(f"{kind} {name!r}", dims_of(tensor), node.shape, max_batch, exact=kind == "output")


def _check_dims(
    what: str, dims: Sequence[int], node_shape: Sequence[object], max_batch: int, exact: bool
) -> None:
    shape = [size if isinstance(size, int) else -1 for size in node_shape]
    if max_batch and shape[:1] != [-1]:
        raise ValueError(
            f"{what}: max_batch_size {max_batch} needs a dynamic first axis, "
            f"but the graph has the shape {shape}."
        )
    full = [-1, *dims] if max_batch else list(dims)
    fits = len(full) == len(shape) and all(
        size == dim or (size == -1 and not exact) for size, dim in zip(shape, full, strict=True)
    )
    if not fits and not (shape == [] and set(dims) <= {1}):
        batch = " with the batch axis" if max_batch else ""
        rule = "must be the same, -1 where it is dynamic" if exact else "must fit it"
        raise ValueError(
            f"{what} has the shape {full} in config.pbtxt{batch}, but {shape} in the "
            f"graph; it {rule}."
        )


def _names(nodes: Sequence[Any]) -> str:
    return ", ".join(node.name for node in nodes)
