"""Whether a repository fits a machine and the Triton on it, told before anything is loaded.

Everything is decided from the files and from facts that are handed in, so machines that are not
here can be examined too.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from builder.engines.engine import EngineRefusedError, runs_on_gpu
from builder.engines.plan_file import Machine as PlanMachine
from builder.engines.plan_file import description_of_plan, misfit
from builder.machine import Machine, TritonFacts
from builder.manifest import REPOSITORY, GraphRecord, Manifest, read_manifest, verify
from builder.triton_config import CONFIG_FILE, ModelConfig, config_from_file, is_ensemble

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
"""It will not load or answers wrongly; it will be slow or was not proved so; good to know."""

FIRST_WITH_NUMPY_2 = (2, 52)
"""Triton 24.11; older releases silently turn every tensor of numpy 2 into zeros."""
FIRST_WITH_IN_FLIGHT_LIMIT = (2, 63)
"""Triton 25.11, the first after ensembles got max_inflight_requests (October 2025)."""
MAX_OPSET, MAX_IR_VERSION = 21, 10
"""The newest graphs that ONNX Runtime reads from 1.18 on, and so every Triton from 24.10 on."""
OLD_ONNXRUNTIMES: dict[tuple[int, ...], tuple[int, int]] = {(1, 16): (19, 9), (1, 17): (20, 9)}
"""What releases before 1.18 read: opset and IR version."""
BACKENDS = {"onnxruntime_onnx": "onnxruntime", "tensorrt_plan": "tensorrt"}
"""Backends of the platforms that a repository may name."""
ORIGINS = {
    "tensorrt": "NVIDIA's container nvcr.io/nvidia/tritonserver has it.",
    "tensorrt_rtx": "No Triton comes with it: build with another profile to serve with Triton.",
}
"""Where backends come from that `python -m server install` does not bring."""


@dataclass(frozen=True)
class Finding:
    """One thing that does not fit."""

    severity: Severity
    """How bad it is."""
    subject: str
    """The model, file or program that it is about."""
    found: str
    """What is wrong."""
    expected: str
    """What would be right."""
    remedy: str
    """What to do."""


def examine(folder: Path, machine: Machine, triton: TritonFacts | None) -> list[Finding]:
    """What does not fit, worst first; empty where all is well.

    `folder` is built or published, `triton` is None where no tritonserver was found.
    """
    try:
        manifest = read_manifest(folder)
        findings = _changed_files(folder)
        configs = _configs(folder / REPOSITORY)
    except ValueError as error:
        return [Finding("error", str(folder), str(error), "a whole build", "Build it again.")]
    findings += _unfinished(manifest) + _cores(manifest, machine)
    for name, graph in manifest.models.items():
        findings += _flags(name, graph, machine)
    if triton is None:
        findings.append(_no_triton())
    else:
        findings += _numpy(triton)
        for config in configs:
            findings += _backend(config, triton) + _fields(config, triton)
        for name, graph in manifest.models.items():
            findings += _library(name, graph, triton)
            if check := ENGINE_CHECKS.get(graph.engine):
                findings += check(name, graph, folder / REPOSITORY / graph.file, machine, triton)
    return sorted(findings, key=lambda one: SEVERITIES.index(one.severity))


def _configs(repository: Path) -> list[ModelConfig]:
    return [config_from_file(path) for path in sorted(repository.glob(f"*/{CONFIG_FILE}"))]


def _changed_files(folder: Path) -> list[Finding]:
    remedy = "Build or publish it again; do not edit what is served."
    return [
        Finding("error", line.split(" ", 1)[0], line.split(" ", 1)[1], "what was proved", remedy)
        for line in verify(folder)
    ]


def _unfinished(manifest: Manifest) -> list[Finding]:
    return [
        Finding(
            "warning",
            f"version {number}",
            "its publication was interrupted",
            "a publication that has ended",
            "Publish it again to complete it, or undo it with: python -m builder rollback",
        )
        for number in manifest.pending
    ]


def _cores(manifest: Manifest, machine: Machine) -> list[Finding]:
    threads = {name: graph.threads for name, graph in manifest.models.items()}
    found = [
        Finding(
            "warning",
            name,
            f"takes {count} threads, and this machine gives {machine.cores} cores",
            "as many threads as cores at most: more of them wait for each other",
            "Build on the machine that serves.",
        )
        for name, count in threads.items()
        if count > machine.cores
    ]
    most = max(threads.values(), default=0)
    if 0 < most < machine.cores:
        expected = f"up to {machine.cores}"
        remedy = "Build on this machine to have it tuned for all of them."
        uses = f"no model takes more than {most} of {machine.cores} cores"
        found.append(Finding("note", "threads", uses, expected, remedy))
    return found


def _flags(name: str, graph: GraphRecord, machine: Machine) -> list[Finding]:
    wanted = graph.description.cpu_flags
    missing = [flag for flag in wanted if flag not in machine.cpu_flags]
    if not missing:
        return []
    return [
        Finding(
            "warning",
            name,
            f"this CPU lacks {', '.join(missing)}: slower, and with other rounding than was proved",
            f"a CPU with {', '.join(wanted)}",
            "Build on the machine that serves.",
        )
    ]


def _no_triton() -> Finding:
    remedy = "Run: python -m server install"
    return Finding("error", "tritonserver", "none was found", "one on this machine", remedy)


def _numpy(triton: TritonFacts) -> list[Finding]:
    found = triton.packages.get("numpy", "")
    if not found:
        wanted, wrong = "numpy for the Python backends", "the serving environment has no numpy"
    elif triton.version < FIRST_WITH_NUMPY_2 and _numbers(found) >= (2,):
        wanted = "numpy below 2"
        wrong = f"Triton {triton.version_text} turns every tensor of numpy {found} into zeros"
    else:
        return []
    remedy = "Delete .triton/venv and run: python -m server install"
    return [Finding("error", "numpy", wrong, wanted, remedy)]


def _backend(config: ModelConfig, triton: TritonFacts) -> list[Finding]:
    if is_ensemble(config):
        return []
    platform = str(config.platform)
    name = str(config.backend) or BACKENDS.get(platform, platform)
    if name not in triton.backends:
        wrong = f"needs the backend {name}, and Triton in {triton.home} has none"
        remedy = ORIGINS.get(name, "Run: python -m server install")
        return [Finding("error", config.name, wrong, f"a folder backends/{name}", remedy)]
    needs_package = name in triton.python_backends and name != "python"
    if needs_package and not triton.packages.get(name):
        wrong = f"the serving environment lacks the package {name}"
        remedy = "Run: python -m server install"
        return [Finding("error", config.name, wrong, f"{name} beside numpy", remedy)]
    return []


def _fields(config: ModelConfig, triton: TritonFacts) -> list[Finding]:
    limited = is_ensemble(config) and config.ensemble_scheduling.max_inflight_requests
    if not limited or not triton.version or triton.version >= FIRST_WITH_IN_FLIGHT_LIMIT:
        return []
    wrong = f"Triton {triton.version_text} does not know max_inflight_requests and refuses it"
    first = ".".join(map(str, FIRST_WITH_IN_FLIGHT_LIMIT))
    remedy = "Take the field out of the ensemble's source and build again, or use a newer Triton."
    return [Finding("error", config.name, wrong, f"Triton {first} or newer", remedy)]


def _library(name: str, graph: GraphRecord, triton: TritonFacts) -> list[Finding]:
    """CPU engines: an older library than the one whose answers were proved."""
    made, found = _numbers(graph.description.version), _numbers(triton.library(graph.engine))
    if runs_on_gpu(graph.engine) or not found or found[:2] >= made[:2]:
        return []
    wrong = f"{graph.engine} {triton.library(graph.engine)} runs what {_dotted(made)} was proved on"
    remedy = "Serve with that version, or build with the one that serves."
    return [Finding("warning", name, wrong, f"{_dotted(made)} or newer", remedy)]


def _onnx(
    name: str, graph: GraphRecord, file: Path, machine: Machine, triton: TritonFacts
) -> list[Finding]:
    import onnx
    from google.protobuf.message import DecodeError

    version = _numbers(triton.library("onnxruntime"))[:2]
    limits = OLD_ONNXRUNTIMES.get(version, (MAX_OPSET, MAX_IR_VERSION))
    try:
        model = onnx.load(file, load_external_data=False)
    except (OSError, DecodeError):
        return [Finding("error", name, f"{graph.file} is no ONNX file", "one", "Build it again.")]
    opsets = [one.version for one in model.opset_import if one.domain in ("", "ai.onnx")]
    found = {"opset": max(opsets, default=0), "IR version": model.ir_version}
    remedy = "Lower `opset` in the build profile and build again, or use a newer Triton."
    return [
        Finding("error", name, f"{what} {found[what]} cannot be read", f"at most {limit}", remedy)
        for what, limit in zip(found, limits, strict=True)
        if found[what] > limit
    ]


def _openvino(
    name: str, graph: GraphRecord, file: Path, machine: Machine, triton: TritonFacts
) -> list[Finding]:
    config = config_from_file(file.parents[1] / CONFIG_FILE)
    padded = "ENABLE_BATCH_PADDING" in config.parameters
    if "openvino" in triton.python_backends or not padded or config.max_batch_size <= 1:
        return []
    wrong = "Triton's own OpenVINO backend loses answers where it pads a batch"
    remedy = "Serve with `python -m server`, or build with a profile of ONNX Runtime."
    return [Finding("error", name, wrong, "max_batch_size 1, or our drop-in", remedy)]


def _plan(
    name: str, graph: GraphRecord, file: Path, machine: Machine, triton: TritonFacts
) -> list[Finding]:
    try:
        plan = description_of_plan(file, graph.engine)
    except EngineRefusedError as error:
        return [Finding("error", name, str(error), "a plan as it was built", "Build it again.")]
    architectures = tuple(gpu.architecture for gpu in machine.gpus)
    reason = misfit(plan, PlanMachine(architectures, triton.library(graph.engine)))
    if not reason:
        return []
    wrong, _, remedy = reason.rpartition(". ")
    wanted = f"a GPU of compute capability {plan.architecture}, {graph.engine} {plan.version}"
    return [Finding("error", name, wrong, wanted, remedy)]


ENGINE_CHECKS: dict[str, Callable[..., list[Finding]]] = {
    "onnxruntime": _onnx,
    "openvino": _openvino,
    "tensorrt": _plan,
    "tensorrt_rtx": _plan,
}


def _numbers(version: str) -> tuple[int, ...]:
    found = re.search(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def _dotted(version: Iterable[int]) -> str:
    return ".".join(map(str, version))
