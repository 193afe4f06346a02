"""The parity gate against graphs that are sabotaged for real, and builds that it refuses."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import builder.graph_store
from builder.build import Build
from builder.checkpoints import Variants
from builder.engines.onnx_runtime import OnnxRuntime
from builder.graphs import folded
from builder.parity import Answer, Chain, Parity, torch_answers
from builder.profile import BuildProfile
from builder.proof import parity_samples
from clip_har.contract import CLASSIFIER_BASE, TEXT_ENCODER, VISION_ENCODER, ServedModel
from clip_har.dataset import data_set_from_folder, sample_bytes
from clip_har.limits import Limits
from clip_har.media import frames_from_media
from clip_har.product import tree_hash

Graphs = dict[ServedModel, Path]
Sabotage = Callable[[Path, Variants], None]


def change_weight(path: Path, name: str, change: Callable[[np.ndarray], None]) -> None:
    proto = onnx.load(path)
    (weight,) = (one for one in proto.graph.initializer if one.name == name)
    values = numpy_helper.to_array(weight).copy()
    change(values)
    weight.CopyFrom(numpy_helper.from_array(values, name))
    onnx.save(proto, path)


def one_weight(path: Path, variants: Variants) -> None:
    def more(values: np.ndarray) -> None:
        values[0, 0] += 0.5

    change_weight(path, "clip.visual_projection.weight", more)


def not_a_number(path: Path, variants: Variants) -> None:
    def spoil(values: np.ndarray) -> None:
        values[0, 0] = np.nan

    change_weight(path, "clip.visual_projection.weight", spoil)


def wrong_mean(path: Path, variants: Variants) -> None:
    spec = variants.spec
    other = spec.preprocessing.model_copy(update={"mean": (0.5, 0.5, 0.5)})
    convolution = variants.any_model.clip.vision_model.embeddings.patch_embedding
    bias = folded(convolution, other).bias.detach().numpy()

    def shift(values: np.ndarray) -> None:
        values[:] = bias

    change_weight(path, "clip.vision_model.embeddings.patch_embedding.bias", shift)


def swap_frames(path: Path) -> None:
    """Has an encoder give the frames of a clip in the opposite order."""
    proto = onnx.load(path)
    first, last, axis, step = (
        numpy_helper.from_array(np.array([value]), name)
        for name, value in (("first", -1), ("last", -(2**31)), ("axis", 1), ("step", -1))
    )
    proto.graph.initializer.extend([first, last, axis, step])
    name = proto.graph.output[0].name
    for node in proto.graph.node:
        node.output[:] = ["in_order" if output == name else output for output in node.output]
    swap = helper.make_node("Slice", ["in_order", "first", "last", "axis", "step"], [name])
    proto.graph.node.append(swap)
    onnx.save(proto, path)


SABOTAGES: list[Sabotage] = [one_weight, wrong_mean, not_a_number]


@pytest.fixture
def copies(graphs: Graphs, tmp_path: Path) -> Graphs:
    """Graphs that a test may spoil."""
    return {
        model: Path(shutil.copy(path, tmp_path / f"{model.name}.onnx"))
        for model, path in graphs.items()
    }


def compared(graphs: Graphs, variants: Variants, data: Path) -> Iterator[Parity]:
    chain = Chain({model: OnnxRuntime().open(path, 1) for model, path in graphs.items()})
    size = variants.spec.preprocessing.image_size
    samples = parity_samples(data_set_from_folder(data), variants.spec.labels, 1)
    media = [
        frames_from_media(sample_bytes(data, sample), variants.spec.frames, size, Limits())
        for sample in samples
    ]
    parities = {name: Parity() for name in variants.places()}
    for frames, times in media:
        truth = torch_answers(variants, frames, times)
        for name, answer in chain.answers(variants, frames, times).items():
            parities[name].add(truth[name], answer)
    yield from parities.values()


def test_the_published_graphs_pass_by_far(
    graphs: Graphs, variants: Variants, mocap: Path, profile: BuildProfile
) -> None:
    for parity in compared(graphs, variants, mocap):
        parity.check("har", profile.budget, trained=True)
        assert parity.clips == 2 * len(variants.spec.labels)
        assert parity.max_probability_error <= 2e-5


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_spoilt_graph_is_refused(
    copies: Graphs, variants: Variants, mocap: Path, profile: BuildProfile, sabotage: Sabotage
) -> None:
    sabotage(copies[VISION_ENCODER], variants)
    for parity in compared(copies, variants, mocap):
        with pytest.raises(ValueError, match="do not equal the trained model on 38 clips"):
            parity.check("har", profile.budget, trained=True)


def test_swapped_frames_are_refused_wherever_order_counts(
    copies: Graphs, variants: Variants, mocap: Path, profile: BuildProfile
) -> None:
    swap_frames(copies[VISION_ENCODER])
    base, temporal, ensemble = compared(copies, variants, mocap)
    base.check("har_base", profile.budget, trained=True)  # the mean of the frames knows no order
    for parity in (temporal, ensemble):
        with pytest.raises(ValueError, match="do not equal the trained model"):
            parity.check("har", profile.budget, trained=True)


def test_a_spoilt_classifier_is_refused_for_its_variant_only(
    copies: Graphs, variants: Variants, mocap: Path, profile: BuildProfile
) -> None:
    def more(values: np.ndarray) -> None:
        values[0] += 0.5

    change_weight(copies[CLASSIFIER_BASE], "head.3.bias", more)
    base, temporal, ensemble = compared(copies, variants, mocap)
    with pytest.raises(ValueError, match=r"probability error .* \(at most 0.0001\)"):
        base.check("har_base", profile.budget, trained=True)
    temporal.check("har_temporal", profile.budget, trained=True)
    ensemble.check("har_ensemble", profile.budget, trained=True)


@pytest.mark.parametrize("spoilt", ["probs", "embedding"])
def test_one_answer_that_is_no_number_is_enough(profile: BuildProfile, spoilt: str) -> None:
    good = {
        "embedding": np.array([1, 0], np.float32),
        "probs": np.array([0.9, 0.1], np.float32),
    }
    bad = good | {spoilt: np.full(2, np.nan, np.float32)}
    parity = Parity()
    for candidate in (good, bad, good):
        parity.add(Answer(**good), Answer(**candidate))
    with pytest.raises(ValueError, match="on 3 clips"):
        parity.check("har_base", profile.budget, trained=True)


def test_nothing_compared_is_not_passed(profile: BuildProfile) -> None:
    with pytest.raises(ValueError, match="nothing was compared"):
        Parity().check("har_base", profile.budget, trained=True)


@pytest.mark.parametrize("sabotage", SABOTAGES)
def test_a_refused_build_leaves_the_last_product_untouched(
    monkeypatch: pytest.MonkeyPatch,
    build_base: Callable[..., Build],
    variants: Variants,
    tmp_path: Path,
    sabotage: Sabotage,
) -> None:
    out = tmp_path / "product"
    build_base(out)
    before = tree_hash(out)
    spoil_exports(monkeypatch, VISION_ENCODER, lambda path: sabotage(path, variants))
    with pytest.raises(ValueError, match="vision_encoder: no candidate of profile cpu-exact"):
        build_base(out, opset=21)
    assert tree_hash(out) == before
    assert {path.name for path in tmp_path.iterdir()} == {"product", "product.work"}


def spoil_exports(
    monkeypatch: pytest.MonkeyPatch, which: ServedModel, spoil: Callable[[Path], None]
) -> None:
    """Lets builds export as ever, and then damages the file of one model."""

    exported = builder.graph_store.onnx_from_graph

    def export(graph, model, sizes, path, opset) -> None:
        exported(graph, model, sizes, path, opset)
        if model is which:
            spoil(path)

    monkeypatch.setattr("builder.graph_store.onnx_from_graph", export)


def test_a_spoilt_text_encoder_is_refused(
    monkeypatch: pytest.MonkeyPatch, build_base: Callable[..., Build], tmp_path: Path
) -> None:
    def more(values: np.ndarray) -> None:
        values[0, 0] += 2

    spoil_exports(
        monkeypatch,
        TEXT_ENCODER,
        lambda path: change_weight(path, "clip.text_projection.weight", more),
    )
    with pytest.raises(ValueError, match="text_encoder"):
        build_base(tmp_path / "product")
    assert [path.name for path in tmp_path.iterdir()] == ["product.work"]
