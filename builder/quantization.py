"""Graphs whose large products run in int8, as Q/DQ pairs that every engine reads.

Weights are int8 a channel, activations int8 a tensor, their ranges from real clips. SmoothQuant
(Xiao et al., 2023) moves what activations have too much of range into the weights.
"""

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from builder.engines.engine import Array, Tensors

KEPT_FLOAT = ("Conv", "Gemm")
"""The patch convolution and the projection into the joint space: little work, much to lose."""


def int8_from_graph(
    graph: onnx.ModelProto, clips: Sequence[Tensors], alpha: float, kept_float: Sequence[str]
) -> onnx.ModelProto:
    """A graph with its products in int8, calibrated on feeds of real clips.

    `alpha` is SmoothQuant's, 0 for none; `kept_float` names nodes that stay as they are.
    """
    import nncf
    from nncf.onnx.quantization.backend_parameters import BackendParameters

    with _quiet("nncf"), _weights_apart(graph) as (apart, folder):
        smooth = nncf.AdvancedSmoothQuantParameters(matmul=alpha or -1)
        return nncf.quantize(
            apart,
            nncf.Dataset([dict(clip) for clip in clips]),
            model_type=nncf.ModelType.TRANSFORMER,
            preset=nncf.QuantizationPreset.PERFORMANCE,
            subset_size=len(clips),
            ignored_scope=nncf.IgnoredScope(
                types=list(KEPT_FLOAT),
                names=[*attention_products(graph), *kept_float],
                validate=False,
            ),
            advanced_parameters=nncf.AdvancedQuantizationParameters(
                smooth_quant_alphas=smooth,
                disable_bias_correction=True,
                backend_params={BackendParameters.EXTERNAL_DATA_DIR: folder},
            ),
        )


@contextmanager
def _weights_apart(graph: onnx.ModelProto) -> Generator[tuple[onnx.ModelProto, str]]:
    """The graph with its weights in a file of a folder: NNCF copies graphs again and again."""
    apart = onnx.ModelProto()
    apart.CopyFrom(graph)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "graph.onnx"
        onnx.save(apart, file, save_as_external_data=True, location="weights")
        yield onnx.load(file, load_external_data=False), folder


def dynamic_int8_from_graph(graph: Path, target: Path) -> None:
    """Writes a graph whose products with weights run in int8, the ranges taken from each input."""
    from onnxruntime.quantization import (  # pyright: ignore[reportMissingTypeStubs]
        QuantType,
        quantize_dynamic,
    )

    with _quiet("root"):
        quantize_dynamic(
            graph,
            target,
            op_types_to_quantize=["MatMul"],
            per_channel=True,
            weight_type=QuantType.QInt8,
            extra_options={"MatMulConstBOnly": True},
        )


def attention_products(graph: onnx.ModelProto) -> list[str]:
    """Names of the products of two activations: scores, and what they weigh."""
    weights = {weight.name for weight in graph.graph.initializer}
    return [
        node.name
        for node in graph.graph.node
        if node.op_type == "MatMul" and not weights & set(node.input)
    ]


def layer_errors(
    graph: onnx.ModelProto, int8: onnx.ModelProto, clips: Sequence[Tensors]
) -> dict[str, float]:
    """How far each int8 product is from the exact one on the same inputs, by the node's name.

    The length of the difference as a share of the length of the exact output.
    """
    layers = {
        node.name: node for node in int8.graph.node if node.op_type in ("MatMul", *KEPT_FLOAT)
    }
    exact = {node.name: node for node in graph.graph.node if node.name in layers}
    rounding = _Rounding(int8)
    wanted = {name: node for name, node in exact.items() if rounding.of(layers[name].input[0])}
    values = _values(graph, [node.input[0] for node in wanted.values()], clips)
    weights = {weight.name: weight for weight in graph.graph.initializer}
    errors: dict[str, float] = {}
    for name, node in wanted.items():
        x, w = values[node.input[0]], numpy_helper.to_array(weights[node.input[1]])
        truth = x @ w
        rounded = rounding.applied(layers[name].input[0], x) @ rounding.weight(
            layers[name].input[1]
        )
        errors[name] = float(np.linalg.norm(rounded - truth) / np.linalg.norm(truth))
    return errors


class _Rounding:
    """The Q/DQ pairs of a graph, as arithmetic."""

    def __init__(self, int8: onnx.ModelProto) -> None:
        self.made = {name: node for node in int8.graph.node for name in node.output}
        self.constants = {weight.name: weight for weight in int8.graph.initializer}

    def of(self, name: str) -> onnx.NodeProto | None:
        """The DequantizeLinear that makes a tensor, if one does."""
        node = self.made.get(name)
        return node if node is not None and node.op_type == "DequantizeLinear" else None

    def applied(self, name: str, x: Array) -> Array:
        """An exact tensor as the pair that makes `name` rounds it."""
        node = self.of(name)
        assert node is not None
        scale, zero = self._constant(node.input[1]), self._constant(node.input[2])
        limits = np.iinfo(zero.dtype)
        smooth = self._smoothing(node)
        q = np.clip(np.rint(x * smooth / scale) + zero, limits.min, limits.max)
        return (q - zero.astype(np.float32)) * scale

    def weight(self, name: str) -> Array:
        """The rounded weight (I, O) that a DequantizeLinear gives."""
        node = self.of(name)
        assert node is not None
        values, scale = self._constant(node.input[0]), self._constant(node.input[1])
        return (values.astype(np.float32) * scale).astype(np.float32)

    def _smoothing(self, node: onnx.NodeProto) -> Array | float:
        """SmoothQuant's factor in front of a pair, 1 where there is none."""
        quantize = self.made[node.input[0]]
        before = self.made.get(quantize.input[0])
        if before is None or before.op_type != "Mul" or before.input[1] not in self.constants:
            return 1.0
        return self._constant(before.input[1])

    def _constant(self, name: str) -> Array:
        return numpy_helper.to_array(self.constants[name])


def _values(graph: onnx.ModelProto, names: Sequence[str], clips: Sequence[Tensors]) -> Tensors:
    """Tensors inside of a graph on some clips, the last axis kept: (rows, channels)."""
    import onnxruntime as ort  # pyright: ignore[reportMissingTypeStubs]

    opened = onnx.ModelProto()
    opened.CopyFrom(graph)
    names = sorted(set(names))
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in names)
    session = ort.InferenceSession(opened.SerializeToString(), providers=["CPUExecutionProvider"])
    runs: list[Any] = [session.run(names, dict(clip)) for clip in clips]
    return {
        name: np.concatenate([run[i].reshape(-1, run[i].shape[-1]) for run in runs])
        for i, name in enumerate(names)
    }


@contextmanager
def _quiet(name: str) -> Generator[None]:
    """Keeps a library's notes off the terminal."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
