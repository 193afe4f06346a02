"""The parameters of config.pbtxt that Triton's OpenVINO backend reads; it ignores all others."""

from collections.abc import Mapping
from dataclasses import dataclass

STREAMS = ("auto", "numa")
HINTS = ("latency", "throughput", "cumulative_throughput")


@dataclass(frozen=True)
class Options:
    """What the backend itself does with a model."""

    device: str
    """OpenVINO's name of where the model runs."""
    pads: bool
    """Whether batches below max_batch_size are taken; the C++ backend fills them with zeros."""
    fixes_batch: bool
    """Whether the graph takes batches of max_batch_size only, so that smaller ones are filled."""
    reshapes: bool
    """Whether the graph's inputs take the dims of config.pbtxt."""
    cpu_extension: str
    """Path of a library with more operators, empty for none."""

    @classmethod
    def of(cls, parameters: Mapping[str, str]) -> "Options":
        """Like the C++ backend, takes all but YES for no."""
        return cls(
            device=parameters.get("TARGET_DEVICE", "").upper() or "CPU",
            pads=_is_yes(parameters, "ENABLE_BATCH_PADDING"),
            fixes_batch=_is_yes(parameters, "SKIP_OV_DYNAMIC_BATCHSIZE"),
            reshapes=_is_yes(parameters, "RESHAPE_IO_LAYERS"),
            cpu_extension=parameters.get("CPU_EXTENSION_PATH", ""),
        )


def properties_of(parameters: Mapping[str, str]) -> dict[str, str]:
    """OpenVINO's properties of the device; raises ValueError where a parameter has a wrong value.

    What is not set is left to the device: on a CPU with bfloat16, that is bfloat16.
    """
    properties: dict[str, str] = {}
    for key in ("INFERENCE_NUM_THREADS", "COMPILATION_NUM_THREADS"):
        if text := parameters.get(key, ""):
            _check(key, text, _is_number(text), "a non-negative number")
            properties[key] = text
    if text := parameters.get("HINT_BF16", "").lower():
        _check("HINT_BF16", text, text == "yes", "YES")
        properties["INFERENCE_PRECISION_HINT"] = "bf16"
    if text := parameters.get("NUM_STREAMS", "").lower():
        _check("NUM_STREAMS", text, text in STREAMS or _is_number(text), "AUTO, NUMA or a number")
        properties["NUM_STREAMS"] = text.upper()
    if text := parameters.get("PERFORMANCE_HINT", "").lower():
        _check("PERFORMANCE_HINT", text, text in HINTS, "one of " + ", ".join(HINTS).upper())
        properties["PERFORMANCE_HINT"] = text.upper()
    return properties


def _is_yes(parameters: Mapping[str, str], key: str) -> bool:
    return parameters.get(key, "").lower() == "yes"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal()


def _check(key: str, text: str, right: bool, expected: str) -> None:
    if not right:
        raise ValueError(f"parameter {key} must be {expected}, but is {text!r}.")
