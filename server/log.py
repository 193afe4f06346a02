"""What a server's log says about a failure, without the lines that mean nothing on this machine."""

import re
from pathlib import Path

HARMLESS = (
    "CudaDriverHelper has not been initialized",
    "unable to create stream",
    "CUDA driver version is insufficient",
    "Unable to allocate pinned system memory",
    "cuda_memory_manager",
    "NVML",
    "DCGM",
)
"""Triton says these on a machine without a GPU."""
_REFUSED_MODEL = re.compile(r"failed to load '(.+?)' version \d+: (.+?)(?:\\n\\nAt:.*)?\"?$", re.M)
"""A model's name and why; what follows "At:" is Python's traceback."""
_FAILURE = re.compile(r"^[EF]\d{4} |^error: |Traceback|Error: |: error while loading")


def failure_excerpt(log_path: Path, lines: int = 15) -> str:
    """The models that did not load and why, else the errors of a log, else its last lines."""
    text = log_path.read_text(errors="replace") if log_path.exists() else ""
    refused = dict.fromkeys(f"{name}: {why}" for name, why in _REFUSED_MODEL.findall(text))
    if refused:
        return "\n".join(refused)
    told = [line for line in text.splitlines() if line.strip() and not _is_harmless(line)]
    failures = list(dict.fromkeys(line for line in told if _FAILURE.search(line)))
    return "\n".join((failures or told)[-lines:]) or "(the log is empty)"


def _is_harmless(line: str) -> bool:
    return any(words in line for words in HARMLESS)
