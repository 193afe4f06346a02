"""Candidates: a graph in a precision, made by an engine into the file that Triton would serve."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from builder.engines.engine import Engine, EngineName, EngineRefusedError, Range
from builder.engines.onnx_runtime import OnnxRuntime
from builder.engines.open_vino import OpenVino
from builder.engines.tensorrt import RTX_CAPABILITIES, TensorRT, TensorRTForRTX
from builder.graph_store import GraphStore
from builder.profile import BuildProfile, Precision
from clip_har.contract import TEXT_ENCODER, VISION_ENCODER, ServedModel
from clip_har.product import file_hash, fingerprint, is_current, record_inputs, staged
from clip_har.spec import ModelSpec

NOTES_FILE = "candidate.json"
ENCODERS = (VISION_ENCODER, TEXT_ENCODER)
USUAL_TOKENS = 16
USUAL_TEXTS, MOST_TEXTS = 16, 1000


@dataclass(frozen=True)
class Candidate:
    """One way to serve a graph."""

    model: ServedModel
    engine: EngineName
    precision: Precision
    float_share: float = 0.0
    """Share of an int8 graph's products that stay float beyond those that must, the worst first."""

    @property
    def name(self) -> str:
        """Such as `openvino:int8`."""
        return f"{self.engine}:{self.precision}"

    @property
    def graph_precision(self) -> Precision:
        """The graph that the engine is given: OpenVINO runs fp32 graphs in bf16 by itself."""
        return "fp32" if self.name == "openvino:bf16" else self.precision


@dataclass(frozen=True)
class Made:
    """A candidate that was built, or why not."""

    candidate: Candidate
    file: Path
    """Where the served file is, if it was built."""
    seconds: float
    """How long the engine took."""
    fault: str
    """Why there is none; empty where there is."""

    @property
    def bytes(self) -> int:
        """Of the served file."""
        return self.file.stat().st_size


def engines_of(profile: BuildProfile, cache: Path) -> dict[EngineName, Engine]:
    """The engines that a profile names, ready to build; raises ValueError where one cannot.

    `cache` keeps what an engine measured for its next build.
    """
    makers: Mapping[EngineName, Callable[[], Engine]] = {
        "onnxruntime": OnnxRuntime,
        "openvino": OpenVino,
        "tensorrt": lambda: TensorRT(profile.plans, cache / "tensorrt.cache"),
        "tensorrt_rtx": lambda: TensorRTForRTX(
            profile.capabilities or RTX_CAPABILITIES, workspace_mib=profile.plans.workspace_mib
        ),
    }
    names = {name.split(":")[0] for name in (*profile.encoders, *profile.others)}
    engines: dict[EngineName, Engine] = {
        name: make() for name, make in makers.items() if name in names
    }
    for name, engine in engines.items():
        if reason := engine.unbuildable():
            raise ValueError(f"profile {profile.name} wants {name}: {reason}")
    return engines


def candidates_of(model: ServedModel, profile: BuildProfile) -> list[Candidate]:
    """What a profile tries for a graph."""
    names = profile.encoders if model in ENCODERS else profile.others
    pairs = [name.split(":") for name in names]
    return [
        Candidate(model, cast(EngineName, engine), cast(Precision, precision))
        for engine, precision in pairs
    ]


def made_candidate(
    candidate: Candidate,
    engine: Engine,
    graphs: GraphStore,
    ranges: Mapping[str, Range],
    folder: Path,
) -> Made:
    """Builds the served file, or takes the one that was built of the same for the same."""
    graph = graphs.path(candidate.model, candidate.graph_precision, candidate.float_share)
    suffix = f"-float{candidate.float_share:g}" if candidate.float_share else ""
    name = f"{candidate.model.name}-{candidate.engine}-{candidate.precision}{suffix}"
    target = folder / name
    file = target / engine.file
    made_from = fingerprint(
        {
            "graph": file_hash(graph),
            "engine": engine.version(),
            "settings": dict(engine.settings()),
            "ranges": _table(ranges),
        }
    )
    if not is_current(target, made_from):
        started = time.monotonic()
        try:
            with staged(target) as staging:
                engine.build(graph, staging / engine.file, ranges)
                notes = {"seconds": round(time.monotonic() - started, 2)}
                (staging / NOTES_FILE).write_text(json.dumps(notes) + "\n")
                record_inputs(staging, made_from)
        except EngineRefusedError as error:  # not kept: next time it may have what it lacks now
            return Made(candidate, file, round(time.monotonic() - started, 2), str(error))
    return Made(candidate, file, json.loads((target / NOTES_FILE).read_text())["seconds"], "")


def ranges_of(model: ServedModel, spec: ModelSpec, most: int) -> dict[str, Range]:
    """Shapes that an engine is made for: up to `most` in a batch, as config.pbtxt says."""
    longest = spec.max_tokens
    usual = {**spec.sizes, "T": spec.frames, "N": USUAL_TEXTS, "L": min(USUAL_TOKENS, longest)}
    ends = (
        {"T": 1, "N": 1, "L": 2},
        {},
        {"T": 2 * spec.frames, "N": MOST_TEXTS, "L": longest},
    )

    def shape(axes: Sequence[str], batch: int, end: Mapping[str, int]) -> tuple[int, ...]:
        known = {**usual, **end}
        return (batch, *(int(axis) if axis.isdigit() else known[axis] for axis in axes))

    return {
        tensor.name: Range(
            *(shape(tensor.axes, b, e) for b, e in zip((1, most, most), ends, strict=True))
        )
        for tensor in model.inputs
    }


def _table(ranges: Mapping[str, Range]) -> dict[str, Any]:
    return {name: [one.least, one.usual, one.most] for name, one in ranges.items()}
