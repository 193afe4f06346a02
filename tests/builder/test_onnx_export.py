"""The published graphs against torch. B clips or texts, T frames, S side, D embedding, L tokens."""

import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from builder.checkpoints import Variants
from builder.graphs import SHARED_GRAPHS, VARIANT_GRAPHS, folded
from builder.onnx_export import check_graph, onnx_from_graph, sanitized
from clip_har.checkpoint import tokenizer_from_checkpoint
from clip_har.contract import (
    AXIS_NAMES,
    CLASSIFIER_BASE,
    CLASSIFIER_TEMPORAL,
    GRAPHS,
    MEAN_POOL,
    MIXTURE,
    SIMILARITY,
    TEMPORAL,
    TEXT_ENCODER,
    VISION_ENCODER,
    ServedModel,
)
from clip_har.nn.clip import normalized
from clip_har.spec import Preprocessing

ELEMENTS = {
    "UINT8": onnx.TensorProto.UINT8,
    "INT64": onnx.TensorProto.INT64,
    "FP32": onnx.TensorProto.FLOAT,
}
SIZES = [(1, 1), (3, 1), (1, 2), (1, 8), (2, 5), (8, 8), (5, 16)]
CLASSIFIERS = {CLASSIFIER_BASE: "mean", CLASSIFIER_TEMPORAL: "attention_motion"}


def run(graphs: dict[ServedModel, object], model: ServedModel, *inputs: Tensor) -> Tensor:
    session = onnxruntime.InferenceSession(graphs[model], providers=["CPUExecutionProvider"])
    feeds = {spec.name: values.numpy() for spec, values in zip(model.inputs, inputs, strict=True)}
    return torch.from_numpy(session.run([model.outputs[0].name], feeds)[0])


def unit(*shape: int) -> Tensor:
    return nn.functional.normalize(torch.randn(*shape), dim=-1)


def times_of(clips: int, frames: int) -> Tensor:
    return torch.rand(clips, frames).cumsum(dim=1)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize(("clips", "frames"), SIZES)
@torch.inference_mode()
def test_the_vision_graph_equals_the_tower(
    graphs: dict, variants: Variants, clips: int, frames: int
) -> None:
    side = variants.spec.preprocessing.image_size
    pictures = torch.randint(0, 256, (clips, frames, side, side, 3), dtype=torch.uint8)
    trained = variants.any_model.encode_frames(pictures)  # (B, T, D)
    assert torch.allclose(run(graphs, VISION_ENCODER, pictures), trained, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("clips", "frames"), SIZES)
@torch.inference_mode()
def test_the_temporal_graphs_equal_their_modules(
    graphs: dict, variants: Variants, clips: int, frames: int
) -> None:
    embeds = unit(clips, frames, variants.spec.embed_dim)
    times = times_of(clips, frames)
    mean, motion = variants.models["mean"], variants.models["attention_motion"]
    pooled = run(graphs, MEAN_POOL, embeds)
    assert torch.allclose(pooled, mean.temporal(embeds, times), rtol=0, atol=1e-5)
    moved = run(graphs, TEMPORAL, embeds, times)
    assert torch.allclose(moved, motion.temporal(embeds, times), rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", CLASSIFIERS, ids=lambda model: model.name)
@pytest.mark.parametrize("clips", [1, 2, 8])
@torch.inference_mode()
def test_the_classifiers_give_the_calibrated_probabilities(
    graphs: dict, variants: Variants, model: ServedModel, clips: int
) -> None:
    trained = variants.models[CLASSIFIERS[model]]
    embeds = unit(clips, trained.spec.embed_dim)
    expected = (trained.head(embeds) / trained.spec.temperature).softmax(dim=-1)
    assert trained.spec.temperature != 1
    assert torch.allclose(run(graphs, model, embeds), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    "texts",
    [["a"], ["a person walking", "b"], ["a person rolling on the ground " * 2] * 3],
    ids=["one short", "padded", "long"],
)
@torch.inference_mode()
def test_the_text_graph_equals_the_tower(
    graphs: dict, variants: Variants, texts: list[str]
) -> None:
    tokenizer = tokenizer_from_checkpoint(variants.folders["mean"], variants.any_model)
    tokens = tokenizer(texts, padding=True, return_tensors="pt").input_ids  # (B, L)
    trained = variants.any_model.encode_texts(tokens)
    assert torch.allclose(run(graphs, TEXT_ENCODER, tokens), trained, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("clips", "texts"), [(1, 1), (2, 7), (8, 1000)])
@torch.inference_mode()
def test_the_similarity_graph_gives_clips_own_scores(
    graphs: dict, variants: Variants, clips: int, texts: int
) -> None:
    trained = variants.models["attention_motion"]
    embeds, names = unit(clips, trained.spec.embed_dim), unit(texts, trained.spec.embed_dim)
    expected = trained.text_logits(embeds, names).softmax(dim=-1)  # (B, N)
    assert trained.clip.logit_scale.exp() > 2
    scores = run(graphs, SIMILARITY, embeds, names.expand(clips, -1, -1))
    assert torch.allclose(scores, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("patch", [4, 16])
def test_a_folded_convolution_equals_normalising_first(bias: bool, patch: int) -> None:
    preprocessing = Preprocessing(
        image_size=32, mean=(0.48145466, 0.4578275, 0.4), std=(0.27, 0.2, 0.3)
    )
    convolution = nn.Conv2d(3, 32, patch, stride=patch, bias=bias)
    frames = torch.randint(0, 256, (4, 3, 32, 32)).float()
    first = convolution(normalized(frames / 255, preprocessing))
    assert torch.allclose(folded(convolution, preprocessing)(frames), first, rtol=0, atol=1e-5)


@pytest.mark.parametrize("model", GRAPHS, ids=lambda model: model.name)
def test_tensors_of_a_graph_are_the_contracts(
    graphs: dict, variants: Variants, model: ServedModel
) -> None:
    graph = onnx.load(graphs[model]).graph
    sizes = variants.spec.sizes
    for specs, values in ((model.inputs, graph.input), (model.outputs, graph.output)):
        assert [spec.name for spec in specs] == [value.name for value in values]
        for spec, value in zip(specs, values, strict=True):
            tensor = value.type.tensor_type
            assert tensor.elem_type == ELEMENTS[spec.dtype]
            axes = [dim.dim_param or dim.dim_value for dim in tensor.shape.dim]
            assert axes == [
                int(axis) if axis.isdigit() else AXIS_NAMES.get(axis) or sizes[axis]
                for axis in ("B", *spec.axes)
            ]


@pytest.mark.parametrize("model", GRAPHS, ids=lambda model: model.name)
def test_a_graph_is_one_that_older_runtimes_read(graphs: dict, model: ServedModel) -> None:
    proto = onnx.load(graphs[model])
    assert proto.ir_version <= 10
    assert [(opset.domain, opset.version <= 21) for opset in proto.opset_import] == [("", True)]


@pytest.mark.parametrize("model", GRAPHS, ids=lambda model: model.name)
def test_polygraphy_finds_nothing_left_to_fold(graphs: dict, model: ServedModel) -> None:
    proto = onnx.load(graphs[model])
    assert len(sanitized(proto).graph.node) == len(proto.graph.node)


def test_a_graph_that_is_not_the_contracts_is_refused(graphs: dict, variants: Variants) -> None:
    proto = onnx.load(graphs[TEMPORAL])
    check_graph(proto, TEMPORAL, variants.spec.sizes)
    with pytest.raises(RuntimeError, match=r"temporal: inputs are .* the contract says"):
        check_graph(proto, TEMPORAL, {**variants.spec.sizes, "D": 17})
    with pytest.raises(RuntimeError, match=r"mean_pool: inputs are"):
        check_graph(proto, MEAN_POOL, variants.spec.sizes)


def test_an_export_leaves_the_model_as_it_was(variants: Variants, tmp_path) -> None:
    model = variants.any_model
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    graph = SHARED_GRAPHS[VISION_ENCODER](model)
    onnx_from_graph(graph, VISION_ENCODER, variants.spec.sizes, tmp_path / "v.onnx", 20)
    after = model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


@torch.inference_mode()
def test_the_graphs_hold_for_one_repeated_frame(graphs: dict, variants: Variants) -> None:
    one = unit(2, 1, variants.spec.embed_dim)
    times = torch.zeros(2, 1)
    alone = run(graphs, TEMPORAL, one, times)
    repeated = run(graphs, TEMPORAL, one.repeat(1, 8, 1), times.repeat(1, 8))
    assert torch.allclose(alone, repeated, rtol=0, atol=1e-5)


def test_every_graph_of_the_contract_is_published(graphs: dict) -> None:
    own = [model for kind in VARIANT_GRAPHS.values() for model in kind]
    known = {*SHARED_GRAPHS, *own, MIXTURE}
    assert known == set(GRAPHS)
    assert all(path.is_file() for path in graphs.values())
