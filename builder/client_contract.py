"""What clients rely on: a publication that would break them is refused with the reason."""

from typing import Any

from builder.publication import Build
from builder.triton_config import ModelConfig
from clip_har.contract import LABELS_FILE, PREPROCESS

MEDIA_PARAMETERS = ("frames", "image_size")
"""Parameters of preprocessing that decide what a model sees of a clip."""


def broken_promises(live: Build, new: Build) -> list[str]:
    """One line for each thing that clients of `live` would miss or find changed in `new`."""
    lines: list[str] = []
    for name, config in live.configs.items():
        if name not in new.configs:
            lines.append(f"{name} disappears.")
            continue
        lines += _tensor_changes(name, config, new.configs[name])
        lines += _batch_changes(name, config, new.configs[name], public=name not in live.members)
        lines += _label_changes(name, live, new)
        if name == PREPROCESS.name:
            lines += _parameter_changes(name, config, new.configs[name])
    return lines


def _tensor_changes(name: str, old: ModelConfig, new: ModelConfig) -> list[str]:
    pairs = (("input", old.input, new.input), ("output", old.output, new.output))
    return [
        f"{name}: its {kind}s are {_shown(after)}, served are {_shown(before)}."
        for kind, before, after in pairs
        if _signature(before) != _signature(after)
    ]


def _batch_changes(name: str, old: ModelConfig, new: ModelConfig, public: bool) -> list[str]:
    if not public or new.max_batch_size >= old.max_batch_size:
        return []
    return [f"{name}: max_batch_size falls from {old.max_batch_size} to {new.max_batch_size}."]


def _label_changes(name: str, live: Build, new: Build) -> list[str]:
    before, after = (_labels(build, name) for build in (live, new))
    if before == after:
        return []
    if len(before) != len(after):
        return [f"{name}: {len(after)} labels, served are {len(before)}."]
    index = next(i for i, pair in enumerate(zip(before, after, strict=True)) if len(set(pair)) > 1)
    return [f"{name}: label {index} is {after[index]!r}, served is {before[index]!r}."]


def _parameter_changes(name: str, old: ModelConfig, new: ModelConfig) -> list[str]:
    found = [(key, _parameter(old, key), _parameter(new, key)) for key in MEDIA_PARAMETERS]
    return [
        f"{name}: {key} is {after or 'not set'}, served is {before or 'not set'}."
        for key, before, after in found
        if before != after
    ]


def _parameter(config: ModelConfig, key: str) -> str:
    # Asking a protobuf map for a missing key would add it.
    return config.parameters[key].string_value if key in config.parameters else ""


def _labels(build: Build, model: str) -> list[str]:
    path = build.repository / model / LABELS_FILE
    return path.read_text().splitlines() if path.is_file() else []


def _signature(tensors: Any) -> list[tuple[str, int, tuple[int, ...]]]:
    return sorted((one.name, one.data_type, tuple(one.dims)) for one in tensors)


def _shown(tensors: Any) -> str:
    return ", ".join(f"{one.name} {list(one.dims)}" for one in tensors) or "none"
