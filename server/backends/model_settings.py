"""What a Python-based backend reads in a model's config.pbtxt, whatever library runs the graph."""

from pathlib import Path
from typing import Any

Table = dict[str, Any]
"""A message of config.pbtxt, as the JSON that Triton hands to a Python backend."""


def check_cpu(kind: str) -> None:
    """Raises ValueError for an instance on anything but the CPU."""
    if kind != "CPU":
        raise ValueError(
            f"instance kind {kind} is not supported, this drop-in runs on the CPU; "
            "write instance_group [{ kind: KIND_CPU }]."
        )


def check_features(config: Table, library: str) -> None:
    """Raises ValueError where the config asks for what only a C++ backend can do."""
    accelerators = config.get("optimization", {}).get("execution_accelerators", {})
    ragged = [tensor for tensor in config["input"] if tensor.get("allow_ragged_batch")]
    asked = {
        "sequence_batching": config.get("sequence_batching"),
        "batch_input": config.get("batch_input"),
        "batch_output": config.get("batch_output"),
        "allow_ragged_batch": ragged,
        "execution_accelerators": any(accelerators.values()),
    }
    for feature, present in asked.items():
        if present:
            raise ValueError(
                f"{feature} needs Triton's own {library} backend; "
                "this drop-in serves plain batched graphs on the CPU."
            )


def graph_path(config: Table, version: Path, default: str) -> Path:
    """The graph that a version's folder serves; raises ValueError where it is missing."""
    path = version / (config.get("default_model_filename") or default)
    if not path.exists():
        raise ValueError(f"no graph file {path.name} in version folder {version.name}.")
    return path


def parameters_of(config: Table) -> dict[str, str]:
    """The model's `parameters`, texts by key."""
    return {key: value["string_value"] for key, value in config.get("parameters", {}).items()}


def number_of(parameters: dict[str, str], key: str) -> int:
    """A parameter that is a whole number, 0 where it is missing; raises ValueError."""
    text = parameters.get(key, "0")
    if not text.isdecimal():
        raise ValueError(f"parameter {key} must be a whole number, but is {text!r}.")
    return int(text)


def dims_of(tensor: Table) -> list[int]:
    """The dims that the graph sees: those of `reshape` where there is one."""
    dims = tensor["reshape"].get("shape", []) if "reshape" in tensor else tensor["dims"]
    return [int(dim) for dim in dims]
