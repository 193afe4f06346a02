"""From a source config.pbtxt in git to the one that is served. Only this file knows protobuf."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clip_har.contract import LABELS_FILE, ServedModel, TensorSpec

CONFIG_FILE = "config.pbtxt"
ModelConfig = Any
"""Triton's protobuf message, which tritonclient ships without types."""


def config_from_source(path: Path, model: ServedModel, sizes: Mapping[str, int]) -> ModelConfig:
    """Parses a source and fills in dims and data types from the contract.

    Raises ValueError where it is not valid, or does not have the contract's name and tensors.
    """
    from google.protobuf import text_format

    model_config_pb2 = _messages()

    try:
        config = text_format.Parse(path.read_text(), model_config_pb2.ModelConfig())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}.") from error
    except text_format.ParseError as error:
        raise ValueError(f"{path}: not a valid Triton configuration: {error}.") from error
    if config.name != model.name:
        raise ValueError(f"{path}: its name is {config.name!r}, expected {model.name!r}.")
    if config.max_batch_size < 1:
        raise ValueError(
            f"{path}: max_batch_size must be 1 or more: the contract has a batch axis."
        )
    _fill(path, "input", config.input, model.inputs, sizes)
    _fill(path, "output", config.output, model.outputs, sizes)
    return config


def set_engine(config: ModelConfig, platform: str, file: str, threads: int) -> None:
    """Names what runs a graph, its file, and how many threads it takes, on the CPU."""
    model_config_pb2 = _messages()

    config.platform = platform
    config.default_model_filename = file
    for group in config.instance_group:
        group.kind = model_config_pb2.ModelInstanceGroup.KIND_CPU
    set_parameter(config, "intra_op_thread_count", str(threads))
    set_parameter(config, "inter_op_thread_count", "1")


def set_parameter(config: ModelConfig, name: str, value: str) -> None:
    """Sets one of a model's parameters."""
    config.parameters[name].string_value = value


def text_from_config(config: ModelConfig) -> str:
    """The configuration as Triton reads it."""
    from google.protobuf import text_format

    return "# Written by python -m builder; edit model_repository/ in the checkout instead.\n" + (
        text_format.MessageToString(config)
    )


def labels_wanted(config: ModelConfig) -> bool:
    """True where an output is a vector of class scores that need names."""
    return any(output.label_filename == LABELS_FILE for output in config.output)


def _fill(
    path: Path,
    kind: str,
    found: Any,
    specs: tuple[TensorSpec, ...],
    sizes: Mapping[str, int],
) -> None:
    model_config_pb2 = _messages()

    names, wanted = [tensor.name for tensor in found], [spec.name for spec in specs]
    if names != wanted:
        raise ValueError(f"{path}: its {kind}s are {names}, but the contract says {wanted}.")
    for tensor, spec in zip(found, specs, strict=True):
        name = "TYPE_STRING" if spec.dtype == "BYTES" else f"TYPE_{spec.dtype}"
        tensor.data_type = model_config_pb2.DataType.Value(name)
        del tensor.dims[:]
        tensor.dims.extend(spec.dims(sizes))


def _messages() -> Any:
    from tritonclient.grpc import model_config_pb2

    return model_config_pb2
