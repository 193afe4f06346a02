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


def frames_per_run(parameters: dict[str, str]) -> int:
    """Frames that run together at most, a request's own aside; 0 where nothing bounds them.

    More at once may be slower: they outgrow the CPU's caches. Raises ValueError.
    """
    text = parameters.get("frames_per_run", "0")
    if not text.isdecimal():
        raise ValueError(f"parameter frames_per_run must be a whole number, but is {text!r}.")
    return int(text)


def dims_of(tensor: Table) -> list[int]:
    """The dims that the graph sees: those of `reshape` where there is one."""
    dims = tensor["reshape"].get("shape", []) if "reshape" in tensor else tensor["dims"]
    return [int(dim) for dim in dims]
