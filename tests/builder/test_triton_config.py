"""Configurations in git, and what the builder makes of them."""

import json
from itertools import pairwise
from pathlib import Path

import onnx
import pytest
from google.protobuf import text_format
from tritonclient.grpc.model_config_pb2 import ModelConfig

from builder.checkpoints import Variants
from builder.onnx_export import dims_of_value
from builder.triton_config import (
    FRAMES_PER_RUN,
    comparable,
    config_from_file,
    config_from_source,
    set_parameter,
)
from clip_har.contract import (
    CLASSIFIER_TEMPORAL,
    GRAPHS,
    HAR_BASE,
    HAR_EMBED,
    HAR_ENSEMBLE,
    HAR_STREAM,
    HAR_TEMPORAL,
    HAR_TEMPORAL_FRAMES,
    HAR_TEXT_EMBED,
    HAR_TIMELINE,
    HAR_ZERO_SHOT,
    MODELS,
    PREPROCESS,
    TEMPORAL,
    TEXT_EMBEDDER,
    TEXT_ENCODER,
    VISION_ENCODER,
    ServedModel,
)
from clip_har.product import file_hash
from clip_har.tokenizer import TOKENIZER_FILE

SOURCES = Path(__file__).parents[2] / "model_repository"
ENSEMBLES = (
    HAR_BASE,
    HAR_TEMPORAL,
    HAR_ENSEMBLE,
    HAR_EMBED,
    HAR_TEMPORAL_FRAMES,
    HAR_ZERO_SHOT,
    HAR_TEXT_EMBED,
)
GRAPH_FIELDS = {
    "name",
    "platform",
    "max_batch_size",
    "input",
    "output",
    "instance_group",
    "default_model_filename",
    "dynamic_batching",
    "model_warmup",
    "parameters",
    "version_policy",
}
ONNXRUNTIME_PARAMETERS = {
    "intra_op_thread_count",
    "inter_op_thread_count",
    "execution_mode",
    "enable_mem_arena",
    "enable_mem_pattern",
    "memory.enable_memory_arena_shrinkage",
}
"""What Triton's C++ onnxruntime backend reads."""
DROP_IN_PARAMETERS = {FRAMES_PER_RUN}
"""What only ours read; theirs looks for the names that it knows."""

by_name = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
by_graph = pytest.mark.parametrize("model", GRAPHS, ids=lambda model: model.name)
by_ensemble = pytest.mark.parametrize("model", ENSEMBLES, ids=lambda model: model.name)


def served(built: Path, model: ServedModel) -> ModelConfig:
    path = built / "model_repository" / model.name / "config.pbtxt"
    return text_format.Parse(path.read_text(), ModelConfig())


def source_with(tmp_path: Path, old: str, new: str) -> Path:
    """The source of `temporal` with one change."""
    text = (SOURCES / "temporal" / "config.pbtxt").read_text()
    assert text.count(old) == 1
    path = tmp_path / "config.pbtxt"
    path.write_text(text.replace(old, new))
    return path


@by_name
def test_every_source_fits_the_contract(model: ServedModel, variants: Variants) -> None:
    source = SOURCES / model.name / "config.pbtxt"
    config = config_from_source(source, model, variants.spec.sizes)
    for specs, tensors in ((model.inputs, config.input), (model.outputs, config.output)):
        for spec, tensor in zip(specs, tensors, strict=True):
            assert list(tensor.dims) == spec.dims(variants.spec.sizes)


def test_models_that_differ_in_a_measured_run_alone_are_the_same_model() -> None:
    path = SOURCES / VISION_ENCODER.name / "config.pbtxt"
    plain, measured, other = (config_from_file(path) for _ in range(3))
    set_parameter(measured, FRAMES_PER_RUN, "16")
    set_parameter(other, "intra_op_thread_count", "16")
    assert comparable(measured) == comparable(plain)
    assert comparable(other) != comparable(plain)


def test_no_source_is_left_over() -> None:
    assert {path.name for path in SOURCES.iterdir()} == {model.name for model in MODELS}


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name: "temporal"', 'name: "tempo"', "its name is 'tempo', expected 'temporal'"),
        (', { name: "TIMES" }', "", r"its inputs are \['FRAME_EMBEDS'\], but the contract says"),
        ('"CLIP_EMBED"', '"EMBED"', r"its outputs are \['EMBED'\], but the contract says"),
        ("max_batch_size: 8", "max_batch_size: 0", "max_batch_size must be 1 or more"),
        ("max_batch_size: 8", "", "max_batch_size must be 1 or more"),
        ("max_batch_size: 8", "max_batch: 8", r"not a valid Triton configuration: .*max_batch"),
        ("max_batch_size: 8", "max_batch_size: eight", "not a valid Triton configuration"),
    ],
)
def test_a_wrong_source_is_named_with_its_fault(
    tmp_path: Path, variants: Variants, old: str, new: str, reason: str
) -> None:
    path = source_with(tmp_path, old, new)
    with pytest.raises(ValueError, match=f"{path}: .*{reason}"):
        config_from_source(path, TEMPORAL, variants.spec.sizes)


def test_a_missing_source_is_named(tmp_path: Path, variants: Variants) -> None:
    with pytest.raises(ValueError, match=r"config.pbtxt: cannot be read: No such file"):
        config_from_source(tmp_path / "config.pbtxt", TEMPORAL, variants.spec.sizes)


@by_graph
def test_a_graphs_configuration_holds_what_the_cpp_backend_knows(
    built: Path, model: ServedModel
) -> None:
    config = served(built, model)
    assert {field.name for field, _ in config.ListFields()} <= GRAPH_FIELDS
    assert set(config.parameters) <= ONNXRUNTIME_PARAMETERS | DROP_IN_PARAMETERS
    assert config.platform == "onnxruntime_onnx"
    assert [group.count for group in config.instance_group] == [1]
    file = built / "model_repository" / model.name / "1" / config.default_model_filename
    assert file.is_file()


@by_graph
def test_dims_of_a_configuration_are_the_graphs(built: Path, model: ServedModel) -> None:
    config = served(built, model)
    graph = onnx.load(built / "model_repository" / model.name / "1" / "model.onnx").graph
    for tensors, values in ((config.input, graph.input), (config.output, graph.output)):
        told = {tensor.name: [-1, *tensor.dims] for tensor in tensors}
        assert told == {value.name: dims_of_value(value) for value in values}


@by_ensemble
def test_an_ensemble_takes_no_larger_batch_than_its_steps(built: Path, model: ServedModel) -> None:
    config = served(built, model)
    steps = [step.model_name for step in config.ensemble_scheduling.step]
    known = {one.name: one for one in MODELS}
    limits = [served(built, known[step]).max_batch_size for step in steps]
    assert steps
    assert 1 <= config.max_batch_size <= min(limits)


@by_ensemble
def test_no_two_steps_of_an_ensemble_run_side_by_side(built: Path, model: ServedModel) -> None:
    steps = served(built, model).ensemble_scheduling.step
    for earlier, later in pairwise(steps):
        assert set(earlier.output_map.values()) & set(later.input_map.values())


@by_ensemble
def test_the_steps_of_an_ensemble_fit_together(built: Path, model: ServedModel) -> None:
    config = served(built, model)
    known = {one.name: one for one in MODELS}
    flowing = {spec.name: (spec.dtype, spec.axes) for spec in model.inputs}
    for step in config.ensemble_scheduling.step:
        contract = known[step.model_name]
        inputs = served(built, contract).input
        needed = {tensor.name for tensor in inputs if not tensor.optional}
        assert needed <= set(step.input_map) <= {tensor.name for tensor in inputs}
        for spec in (one for one in contract.inputs if one.name in step.input_map):
            assert flowing[step.input_map[spec.name]] == (spec.dtype, spec.axes)
        for spec in contract.outputs:
            if spec.name in step.output_map:
                flowing[step.output_map[spec.name]] = (spec.dtype, spec.axes)
    for spec in model.outputs:
        assert flowing[spec.name] == (spec.dtype, spec.axes)


@pytest.mark.parametrize(
    "model", [PREPROCESS, HAR_STREAM, HAR_TIMELINE], ids=lambda model: model.name
)
def test_models_that_decode_are_told_what_the_checkpoint_decides(
    built: Path, variants: Variants, model: ServedModel
) -> None:
    parameters = served(built, model).parameters
    assert parameters["frames"].string_value == str(variants.spec.frames)
    side = str(variants.spec.preprocessing.image_size)
    assert parameters["image_size"].string_value == side


def test_the_text_embedder_is_told_what_the_checkpoint_decides(
    built: Path, variants: Variants
) -> None:
    parameters = served(built, TEXT_EMBEDDER).parameters
    assert json.loads(parameters["prompts"].string_value) == list(variants.spec.prompts)
    tower = variants.any_model.clip.config.text_config
    assert parameters["max_tokens"].string_value == str(tower.max_position_embeddings)
    encoder = served(built, TEXT_ENCODER)
    assert parameters["encoder_batch"].string_value == str(encoder.max_batch_size)
    version = built / "model_repository" / TEXT_EMBEDDER.name / "1"
    checkpoint = next(iter(variants.folders.values()))
    assert file_hash(version / TOKENIZER_FILE) == file_hash(checkpoint / TOKENIZER_FILE)


def test_streams_and_timelines_send_no_more_than_the_asked_models_take() -> None:
    asked = (VISION_ENCODER, TEMPORAL, CLASSIFIER_TEMPORAL)
    limit = min(source_of(model).max_batch_size for model in asked)
    assert source_of(HAR_STREAM).max_batch_size <= limit
    assert int(source_of(HAR_TIMELINE).parameters["batch"].string_value) <= limit


def source_of(model: ServedModel) -> ModelConfig:
    return config_from_file(SOURCES / model.name / "config.pbtxt")


@by_name
def test_labels_lie_beside_every_model_that_names_them(
    built: Path, variants: Variants, model: ServedModel
) -> None:
    wanted = [output.label_filename for output in served(built, model).output]
    labels = built / "model_repository" / model.name / "labels.txt"
    assert labels.is_file() == ("labels.txt" in wanted)
    if labels.is_file():
        assert labels.read_text().splitlines() == list(variants.spec.labels)
