"""From a source config.pbtxt in git to the one that is served. Only this file knows protobuf."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from clip_har.contract import FRAMES_PER_RUN, LABELS_FILE, ServedModel, TensorSpec
from clip_har.place import CALL, NEWEST, Place, place_from_text

CONFIG_FILE = "config.pbtxt"
ModelConfig = Any
"""Triton's protobuf message, which tritonclient ships without types."""


def config_from_source(path: Path, model: ServedModel, sizes: Mapping[str, int]) -> ModelConfig:
    """Parses a source and fills in dims and data types from the contract.

    Raises ValueError where it is not valid, or does not have the contract's name and tensors.
    """
    config = config_from_file(path)
    if config.name != model.name:
        raise ValueError(f"{path}: its name is {config.name!r}, expected {model.name!r}.")
    if config.max_batch_size < 1:
        raise ValueError(
            f"{path}: max_batch_size must be 1 or more: the contract has a batch axis."
        )
    _fill(path, "input", config.input, model.inputs, sizes)
    _fill(path, "output", config.output, model.outputs, sizes)
    return config


def config_from_file(path: Path) -> ModelConfig:
    """Parses a config.pbtxt; raises ValueError where it cannot be read or is not valid."""
    from google.protobuf import text_format

    try:
        return text_format.Parse(path.read_text(), _messages().ModelConfig())
    except OSError as error:
        raise ValueError(f"{path}: cannot be read: {error.strerror}.") from error
    except text_format.ParseError as error:
        raise ValueError(f"{path}: not a valid Triton configuration: {error}.") from error


def set_engine(
    config: ModelConfig,
    backend: Mapping[str, str],
    file: str,
    parameters: Mapping[str, str],
    *,
    gpu: bool,
) -> None:
    """Names what runs a graph (a field and its value), its file, and its parameters."""
    kinds = _messages().ModelInstanceGroup
    for field, value in backend.items():
        setattr(config, field, value)
    config.default_model_filename = file
    for group in config.instance_group:
        group.kind = kinds.KIND_GPU if gpu else kinds.KIND_CPU
    for name, value in parameters.items():
        set_parameter(config, name, value)


def set_warmup(config: ModelConfig, model: ServedModel, sizes: Mapping[str, int]) -> list[str]:
    """Fills in the requests that Triton runs before it calls a model ready.

    `sizes` are of all axes, the usual ones of those that a request decides; a size that the source
    gives stays. Returns the names of the files that the source wants in the folder `warmup`.
    """
    specs = {spec.name: spec for spec in model.inputs}
    files: list[str] = []
    for request in config.model_warmup:
        for name in sorted(request.inputs):
            given, spec = request.inputs[name], specs[name]
            given.data_type = _data_type(spec)
            dims = given.dims or [-1] * len(spec.axes)
            usual = [int(axis) if axis.isdigit() else sizes[axis] for axis in spec.axes]
            filled = [dim if dim > 0 else size for dim, size in zip(dims, usual, strict=True)]
            del given.dims[:]
            given.dims.extend(filled)
            files += [given.input_data_file] if given.input_data_file else []
    return files


def set_parameter(config: ModelConfig, name: str, value: str) -> None:
    """Sets one of a model's parameters."""
    config.parameters[name].string_value = value


def set_loaded_versions(config: ModelConfig, versions: Iterable[int]) -> None:
    """Has Triton load exactly these versions of a model, whatever else lies in its folder."""
    config.version_policy.Clear()
    config.version_policy.specific.versions.extend(sorted(set(versions)))


def pin(config: ModelConfig, version: int) -> None:
    """Names the version that a model of a build loads and calls, where its source says -1.

    Others can then come to lie beside it, and no request on its way takes one of them for its own.
    """
    if not is_ensemble(config):
        set_loaded_versions(config, [version])
    called = {one.model for one in called_places(config)}
    set_called_places(config, {model: Place(model, version) for model in called})


def is_pinned(config: ModelConfig) -> bool:
    """True where a model names the versions that it loads and calls."""
    loaded = is_ensemble(config) or bool(config.version_policy.specific.versions)
    return loaded and all(place.version != NEWEST for place in called_places(config))


def is_ensemble(config: ModelConfig) -> bool:
    """True for a model that only hands tensors from one model to the next."""
    return config.HasField("ensemble_scheduling")


def called_places(config: ModelConfig) -> list[Place]:
    """The models that a model calls: an ensemble by its steps, a Python model by parameters."""
    steps = config.ensemble_scheduling.step
    parameters = [config.parameters[key].string_value for key in _calls(config)]
    return [
        *(Place(step.model_name, step.model_version) for step in steps),
        *(place_from_text(text) for text in parameters),
    ]


def set_called_places(config: ModelConfig, places: Mapping[str, Place]) -> None:
    """Has a model of a build call its models, by their names in the build, at these places."""
    for step in config.ensemble_scheduling.step:
        place = places[step.model_name]
        step.model_name, step.model_version = place.model, place.version
    for key in _calls(config):
        config.parameters[key].string_value = str(places[key.removeprefix(CALL)])


def _calls(config: ModelConfig) -> list[str]:
    return sorted(key for key in config.parameters if key.startswith(CALL))


def comparable(config: ModelConfig) -> bytes:
    """What a configuration says apart from its name and versions, equal where that is equal.

    Nor does it count how many frames run at once: two builds measure it, and may come to differ.
    """
    bare = _messages().ModelConfig()
    bare.CopyFrom(config)
    bare.ClearField("name")
    bare.ClearField("version_policy")
    if FRAMES_PER_RUN in bare.parameters:
        del bare.parameters[FRAMES_PER_RUN]
    return bare.SerializeToString(deterministic=True)


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
    names, wanted = [tensor.name for tensor in found], [spec.name for spec in specs]
    if names != wanted:
        raise ValueError(f"{path}: its {kind}s are {names}, but the contract says {wanted}.")
    for tensor, spec in zip(found, specs, strict=True):
        tensor.data_type = _data_type(spec)
        del tensor.dims[:]
        tensor.dims.extend(spec.dims(sizes))


def _data_type(spec: TensorSpec) -> int:
    name = "TYPE_STRING" if spec.dtype == "BYTES" else f"TYPE_{spec.dtype}"
    return _messages().DataType.Value(name)


def _messages() -> Any:
    from tritonclient.grpc import model_config_pb2

    return model_config_pb2
