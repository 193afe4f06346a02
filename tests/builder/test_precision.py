"""Graphs in half precision and in int8, against the exact ones on real clips."""

from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto

from builder.checkpoints import Variants
from builder.engines.engine import Tensors
from builder.engines.onnx_runtime import OnnxRuntime
from builder.gate import cosine_figures
from builder.held_out import clips_of_split, frames_of_clips
from builder.precision import half_from_graph
from builder.quantization import (
    attention_products,
    dynamic_int8_from_graph,
    int8_from_graph,
    layer_errors,
)
from clip_har.contract import FRAME_EMBEDS, FRAMES, TEXT_ENCODER, VISION_ENCODER, ServedModel
from clip_har.dataset import data_set_from_folder

Graphs = dict[ServedModel, Path]


@pytest.fixture(scope="module")
def clips(variants: Variants, mocap: Path) -> list[Tensors]:
    """A clip of each of four classes, as the vision encoder's inputs."""
    spec = variants.spec
    samples = clips_of_split(data_set_from_folder(mocap), "train", spec.labels[:4], 1)
    frames, _ = frames_of_clips(samples, mocap, spec.frames, spec.preprocessing.image_size)
    return [{FRAMES.name: clip[None]} for clip in frames]


def embeddings(graph: onnx.ModelProto | Path, clips: list[Tensors], tmp_path: Path) -> torch.Tensor:
    path = graph if isinstance(graph, Path) else tmp_path / "graph.onnx"
    if not isinstance(graph, Path):
        onnx.save(graph, path)
    session = OnnxRuntime().open(path, 1)
    return torch.from_numpy(np.concatenate([session.run(c)[FRAME_EMBEDS.name] for c in clips]))


def test_fp16_keeps_norms_softmax_and_the_types_of_inputs_and_outputs(
    graphs: Graphs, clips: list[Tensors], tmp_path: Path
) -> None:
    exact = onnx.load(graphs[VISION_ENCODER])
    half = half_from_graph(exact, "fp16")
    types = Counter(weight.data_type for weight in half.graph.initializer)
    assert types[TensorProto.FLOAT] == 0
    assert types[TensorProto.FLOAT16] > 20
    assert [value.type for value in half.graph.input] == [value.type for value in exact.graph.input]
    assert half.graph.output[0].type.tensor_type.elem_type == TensorProto.FLOAT
    found = embeddings(half, clips, tmp_path)
    assert (
        cosine_figures(embeddings(graphs[VISION_ENCODER], clips, tmp_path), found)["min_cosine"]
        > 0.9999
    )
    lengths = torch.linalg.vector_norm(found, dim=-1)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-5)  # unit, not to fp16


@pytest.mark.parametrize("model", [VISION_ENCODER, TEXT_ENCODER])
def test_bf16_weights_are_rounded_from_fp32_not_from_fp16(
    graphs: Graphs, model: ServedModel
) -> None:
    exact = onnx.load(graphs[model])
    bf16 = half_from_graph(exact, "bf16")
    assert not any(w.data_type == TensorProto.FLOAT16 for w in bf16.graph.initializer)
    before = {weight.name: weight for weight in exact.graph.initializer}
    compared = 0
    for weight in bf16.graph.initializer:
        if weight.data_type == TensorProto.BFLOAT16 and weight.name in before:
            told = onnx.numpy_helper.to_array(weight).astype(np.float32)
            truth = onnx.numpy_helper.to_array(before[weight.name])
            assert np.isfinite(told).all()
            assert np.abs(told - truth).max() <= np.abs(truth).max() / 200
            compared += 1
    assert compared > 20


@pytest.mark.parametrize("alpha", [0.0, 0.5])
def test_int8_leaves_attention_and_the_ends_of_the_tower_float(
    graphs: Graphs, clips: list[Tensors], tmp_path: Path, alpha: float
) -> None:
    exact = onnx.load(graphs[VISION_ENCODER])
    int8 = int8_from_graph(exact, clips, alpha, ())
    made = {name: node for node in int8.graph.node for name in node.output}
    products = {n.name: n for n in int8.graph.node if n.op_type in ("MatMul", "Conv", "Gemm")}
    rounded = {
        name
        for name, node in products.items()
        if all(made.get(i) and made[i].op_type == "DequantizeLinear" for i in node.input[:2])
    }
    attention = set(attention_products(exact))
    assert len(attention) == 4  # scores and values of two blocks
    with_weights = {n for n, node in products.items() if node.op_type == "MatMul"} - attention
    assert rounded <= with_weights
    assert len(with_weights - rounded) <= 2  # NNCF leaves what follows attention to SmoothQuant
    figures = cosine_figures(
        embeddings(graphs[VISION_ENCODER], clips, tmp_path), embeddings(int8, clips, tmp_path)
    )
    assert 0.99 < figures["min_cosine"] < 1 - 1e-7


def test_a_layer_is_left_float_by_name_and_errors_are_of_single_layers(
    graphs: Graphs, clips: list[Tensors]
) -> None:
    exact = onnx.load(graphs[VISION_ENCODER])
    all_int8 = int8_from_graph(exact, clips, 0.0, ())
    errors = layer_errors(exact, all_int8, clips)
    assert len(errors) >= 10  # q, k, v, two of the MLP, in two blocks, and what follows attention
    assert all(0 < error < 0.1 for error in errors.values())
    worst = max(errors, key=lambda name: errors[name])
    without = int8_from_graph(exact, clips, 0.0, (worst,))
    assert set(layer_errors(exact, without, clips)) == set(errors) - {worst}


def test_int8_calibrated_on_noise_shows_as_large_layer_errors(
    graphs: Graphs, clips: list[Tensors]
) -> None:
    exact = onnx.load(graphs[VISION_ENCODER])
    dark = [{FRAMES.name: np.zeros_like(clip[FRAMES.name])} for clip in clips]
    good = layer_errors(exact, int8_from_graph(exact, clips, 0.0, ()), clips)
    bad = layer_errors(exact, int8_from_graph(exact, dark, 0.0, ()), clips)
    assert max(bad.values()) > 1.5 * max(good.values())


def test_dynamic_int8_is_near_and_smaller(
    graphs: Graphs, clips: list[Tensors], tmp_path: Path, vnni: bool
) -> None:
    target = tmp_path / "dynamic.onnx"
    dynamic_int8_from_graph(graphs[VISION_ENCODER], target)
    exact = embeddings(graphs[VISION_ENCODER], clips, tmp_path)
    least = 0.99 if vnni else 0.98
    assert cosine_figures(exact, embeddings(target, clips, tmp_path))["min_cosine"] > least
    assert target.stat().st_size < 0.8 * graphs[VISION_ENCODER].stat().st_size
