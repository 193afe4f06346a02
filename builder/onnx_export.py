"""Torch modules to ONNX files whose inputs and outputs are those of the contract."""

import logging
import warnings
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from clip_har.contract import AXIS_NAMES, ServedModel, TensorSpec

NEWEST_IR = 10
"""ONNX file format that the ONNX Runtime of Triton 24.10 reads."""
# Above 1, since the exporter takes 1 for a constant.
EXAMPLE_SIZES = {"B": 2, "T": 3, "N": 5, "L": 7}
TORCH_DTYPES = {"UINT8": torch.uint8, "INT64": torch.int64, "FP32": torch.float32}


def onnx_from_graph(
    graph: nn.Module, model: ServedModel, sizes: Mapping[str, int], path: Path, opset: int
) -> None:
    """Writes the ONNX file of one graph; `sizes` are those of the axes that the checkpoint fixes.

    Raises RuntimeError where the written file is not what the contract says.
    """
    examples = tuple(_example(tensor, sizes) for tensor in model.inputs)
    dims = {name: torch.export.Dim(name) for name in AXIS_NAMES.values()}
    axes = tuple(
        {
            place: dims[AXIS_NAMES[axis]]
            for place, axis in enumerate(("B", *tensor.axes))
            if axis in AXIS_NAMES
        }
        for tensor in model.inputs
    )
    with warnings.catch_warnings(), _quiet_exporter():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            graph.eval(),
            examples,
            dynamo=True,
            opset_version=opset,
            input_names=[tensor.name for tensor in model.inputs],
            output_names=[tensor.name for tensor in model.outputs],
            dynamic_shapes=axes,
            verbose=False,
        )
    assert program is not None
    proto = sanitized(program.model_proto)
    proto.ir_version = min(proto.ir_version, NEWEST_IR)
    check_graph(proto, model, sizes)
    onnx.save(proto, path)


def sanitized(proto: onnx.ModelProto) -> onnx.ModelProto:
    """A graph without what can be worked out beforehand, and without what nobody needs."""
    import onnx_graphsurgeon as surgeon  # pyright: ignore[reportMissingTypeStubs]
    from polygraphy.backend.onnx import (
        fold_constants,  # pyright: ignore[reportAttributeAccessIssue]  (exported as it is imported)
    )
    from polygraphy.logger import G_LOGGER

    with G_LOGGER.verbosity(G_LOGGER.CRITICAL):
        # The exporter knows all shapes; inferring them again takes as long as all else here.
        folded: Any = fold_constants(proto, error_ok=False, do_shape_inference=False)
    cleaned: Any = surgeon.import_onnx(folded).cleanup().toposort()
    return surgeon.export_onnx(cleaned)


def check_graph(proto: onnx.ModelProto, model: ServedModel, sizes: Mapping[str, int]) -> None:
    """Raises RuntimeError unless a graph is valid and its tensors are the contract's."""
    onnx.checker.check_model(proto, full_check=True)
    for kind, specs, values in (
        ("input", model.inputs, proto.graph.input),
        ("output", model.outputs, proto.graph.output),
    ):
        wanted = [(spec.name, _element(spec), [-1, *spec.dims(sizes)]) for spec in specs]
        found = [(v.name, v.type.tensor_type.elem_type, dims_of_value(v)) for v in values]
        if wanted != found:
            raise RuntimeError(f"{model.name}: {kind}s are {found}, the contract says {wanted}.")


def dims_of_value(value: onnx.ValueInfoProto) -> list[int]:
    """Dims of a graph's input or output, -1 where dynamic."""
    shape = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else -1 for dim in shape]


def _example(tensor: TensorSpec, sizes: Mapping[str, int]) -> Tensor:
    known = {**sizes, **EXAMPLE_SIZES}
    shape = [known["B"], *(int(a) if a.isdigit() else known[a] for a in tensor.axes)]
    return torch.ones(shape, dtype=TORCH_DTYPES[tensor.dtype])


def _element(tensor: TensorSpec) -> int:
    return {
        "UINT8": onnx.TensorProto.UINT8,
        "INT64": onnx.TensorProto.INT64,
        "FP32": onnx.TensorProto.FLOAT,
    }[tensor.dtype]


@contextmanager
def _quiet_exporter() -> Generator[None]:
    """Keeps the exporter's progress notes off the terminal."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
