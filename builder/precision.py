"""Graphs in half precision. What would lose too much by it stays in fp32: norms and softmax."""

import warnings
from pathlib import Path
from typing import Any, Literal

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

Half = Literal["fp16", "bf16"]
KEPT_FP32 = (
    "LayerNormalization",  # its variance overflows fp16 (NVIDIA/TensorRT #2709 and others)
    "Softmax",
    "ReduceL2",  # of the unit length that embeddings have
    "Clip",
    "Expand",
    "Div",
)
INT8_OPERATORS = {"QuantizeLinear", "DynamicQuantizeLinear"}


def quantizes(file: Path) -> bool:
    """Whether a graph's file multiplies int8 numbers."""
    graph = onnx.load(file, load_external_data=False).graph
    return any(node.op_type in INT8_OPERATORS for node in graph.node)


def half_from_graph(graph: onnx.ModelProto, half: Half) -> onnx.ModelProto:
    """The same network in half precision; its inputs and outputs keep their types."""
    from onnxruntime.transformers.float16 import (  # pyright: ignore[reportMissingTypeStubs]
        DEFAULT_OP_BLOCK_LIST,
        convert_float_to_float16,
    )
    from onnxruntime.transformers.onnx_model import (  # pyright: ignore[reportMissingTypeStubs]
        OnnxModel,
    )

    original = {weight.name: weight for weight in graph.graph.initializer}
    copied = onnx.ModelProto()
    copied.CopyFrom(graph)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of weights that fp16 rounds to zero
        converted: Any = convert_float_to_float16(
            copied,
            keep_io_types=True,
            op_block_list=[*DEFAULT_OP_BLOCK_LIST, *KEPT_FP32],
            force_fp16_initializers=True,
        )
    _skip_casts_there_and_back(converted)
    OnnxModel(converted).topological_sort()  # the casts were appended
    if half == "bf16":
        _rename_halves(converted, original)
    onnx.checker.check_model(converted)
    return converted


def _skip_casts_there_and_back(graph: onnx.ModelProto) -> None:
    """Between two nodes that stay fp32 nothing is rounded."""
    nodes = graph.graph.node
    casts = {node.output[0]: node for node in nodes if node.op_type == "Cast"}
    kept = {value.name for value in graph.graph.output}
    instead: dict[str, str] = {}
    for name, cast in casts.items():
        before = casts.get(cast.input[0])
        if before is not None and _target(cast) == TensorProto.FLOAT != _target(before):
            instead[name] = before.input[0]
    for cast in [casts[name] for name in instead]:
        nodes.remove(cast)
    # An output of the graph keeps its name: what it was cast from takes it.
    renamed = {source: name for name, source in instead.items() if name in kept}
    for node in nodes:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                names[place] = renamed.get(instead.get(name, name), instead.get(name, name))
    used = {name for node in nodes for name in node.input} | kept
    for node in [n for n in nodes if n.op_type == "Cast" and n.output[0] not in used]:
        nodes.remove(node)


def _target(cast: onnx.NodeProto) -> int:
    return next(attribute.i for attribute in cast.attribute if attribute.name == "to")


def _rename_halves(graph: onnx.ModelProto, original: dict[str, TensorProto]) -> None:
    """Turns every fp16 of a converted graph into bf16, its weights rounded anew from fp32."""
    for weight in graph.graph.initializer:
        if weight.data_type == TensorProto.FLOAT16:
            weight.CopyFrom(_bf16_of(original.get(weight.name, weight), weight.name))
    for node in graph.graph.node:
        for attribute in node.attribute:
            if node.op_type == "Cast" and attribute.i == TensorProto.FLOAT16:
                attribute.i = TensorProto.BFLOAT16
            if attribute.t.data_type == TensorProto.FLOAT16:
                attribute.t.CopyFrom(_bf16_of(attribute.t, attribute.t.name))
    for value in graph.graph.value_info:
        if value.type.tensor_type.elem_type == TensorProto.FLOAT16:
            value.type.tensor_type.elem_type = TensorProto.BFLOAT16


def _bf16_of(weight: TensorProto, name: str) -> TensorProto:
    import ml_dtypes

    most = float(ml_dtypes.finfo(ml_dtypes.bfloat16).max)
    # A mask of the lowest fp32 number would be rounded to minus infinity.
    values = numpy_helper.to_array(weight).astype(np.float32).clip(-most, most)
    return numpy_helper.from_array(values.astype(ml_dtypes.bfloat16), name)
