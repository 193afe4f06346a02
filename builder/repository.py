"""Assembles a Triton model repository from sources in git, engines and checkpoints."""

import json
import shutil
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.cpu import usable_cores
from builder.engines.engine import Engine, runs_on_gpu
from builder.engines.plan_file import NOTE_FILE
from builder.triton_config import (
    CONFIG_FILE,
    ModelConfig,
    config_from_file,
    config_from_source,
    is_ensemble,
    labels_wanted,
    pin,
    set_engine,
    set_parameter,
    set_warmup,
    text_from_config,
)
from clip_har.contract import (
    FRAMES_PER_RUN,
    HAR_BASE,
    HAR_ENSEMBLE,
    HAR_STREAM,
    HAR_TIMELINE,
    LABELS_FILE,
    LANES,
    MIXTURE,
    PREPROCESS,
    PUBLIC_MODELS,
    RESIZE,
    TEXT_EMBEDDER,
    TEXT_ENCODER,
    VISION_ENCODER,
    ServedModel,
)
from clip_har.spec import ModelSpec, TemporalKind
from clip_har.tokenizer import TOKENIZER_FILE

CALLED: dict[TemporalKind, tuple[ServedModel, ...]] = {
    "mean": (HAR_BASE,),
    "attention_motion": tuple(
        model for model in PUBLIC_MODELS if model not in (HAR_BASE, HAR_ENSEMBLE)
    ),
}
"""What people call of a variant, beside the graphs it is made of."""
SCRIPTED: dict[TemporalKind, tuple[ServedModel, ...]] = {
    "mean": (),
    "attention_motion": (RESIZE, TEXT_EMBEDDER),
}
"""Python models that only one variant needs."""
VERSION = "1"
WARMUP = "warmup"
"""Folder of a model's warm-up files, as Triton calls it."""
MOST_PROCESSES, MOST_PROCESSES_BESIDE_GPU = 8, 32
"""Processes of a Python model: each takes memory of its own. An encoder on the CPU needs more cores
for a clip than its decoding does; beside one on a GPU, decoding is what everything waits for."""
MOST_TIMELINES = 4
"""Long videos at once: each may hold a gigabyte."""
USUAL = {"N": 16, "L": 16}
"""Texts and tokens of a warm-up."""


@dataclass(frozen=True)
class ServedGraph:
    """A graph as the repository holds it."""

    engine: Engine
    file: Path
    """What the engine runs; what lies beside it belongs to it."""
    threads: int
    """CPU threads of a run."""
    frames_per_run: int = 0
    """Frames that run together on a CPU; 0: as many as come together."""
    lanes: int = 1
    """Runs side by side on a CPU, where several requests wait."""

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on a GPU."""
        return runs_on_gpu(self.engine.name)


@dataclass(frozen=True)
class Given:
    """What a repository holds of a checkpoint and its data, beside the graphs."""

    tokenizer: Path
    """The checkpoint's tokenizer.json."""
    warmup: bytes
    """A held-out media file, the first that preprocessing sees."""
    response_cache: bool
    """Whether what people call may be answered from Triton's memory of answers."""


def instances(cores: int, *, on_gpu: bool) -> dict[ServedModel, int]:
    """How many processes the models have that use one core each; the encoder may be on a GPU."""
    most = MOST_PROCESSES_BESIDE_GPU if on_gpu else MOST_PROCESSES
    return {
        PREPROCESS: min(cores, most),
        # Resizing takes a fraction of what decoding does.
        RESIZE: min(max(1, cores // 2), most),
        # Two at least, so that a short video need not wait for the end of a long one.
        HAR_TIMELINE: min(max(2, cores // 4), MOST_TIMELINES),
    }


def copy_served(file: Path, version: Path) -> None:
    """Copies a served file and the note that an engine wrote beside it."""
    for part in (file, file.with_name(NOTE_FILE)):
        if part.exists():
            shutil.copyfile(part, version / part.name)


def write_repository(
    target: Path,
    sources: Path,
    graphs: Mapping[ServedModel, ServedGraph],
    spec: ModelSpec,
    kinds: tuple[TemporalKind, ...],
    given: Given,
) -> None:
    """Writes a folder a model into `target`.

    Raises ValueError where a source does not fit the contract.
    """
    others = [model for kind in kinds for model in (*SCRIPTED[kind], *CALLED[kind])]
    others += [HAR_ENSEMBLE] if MIXTURE in graphs else []
    parameters = _parameters(sources, spec)
    encoder = graphs.get(VISION_ENCODER)
    counts = instances(usable_cores(), on_gpu=encoder is not None and encoder.on_gpu)
    usual = {**spec.sizes, **USUAL, "T": spec.frames}
    for model in (PREPROCESS, *graphs, *others):
        folder = target / model.name
        (folder / VERSION).mkdir(parents=True)
        source = sources / model.name
        config = config_from_source(source / CONFIG_FILE, model, spec.sizes)
        if model in graphs:
            _add_graph(config, graphs[model], folder / VERSION)
        pin(config, int(VERSION))
        _set_processes(config, counts.get(model, 1))
        for name, value in parameters.get(model, {}).items():
            set_parameter(config, name, value)
        if model is TEXT_EMBEDDER:
            shutil.copyfile(given.tokenizer, folder / VERSION / TOKENIZER_FILE)
        for name in set_warmup(config, model, usual):
            _write_element(folder / WARMUP / name, given.warmup)
        if given.response_cache and is_ensemble(config):
            config.response_cache.enable = True
        for script in sorted(source.glob(f"{VERSION}/*.py")):
            shutil.copyfile(script, folder / VERSION / script.name)
        if labels_wanted(config):
            (folder / LABELS_FILE).write_text("".join(f"{label}\n" for label in spec.labels))
        (folder / CONFIG_FILE).write_text(text_from_config(config))


def _add_graph(config: ModelConfig, served: ServedGraph, version: Path) -> None:
    engine, settings = served.engine, served.engine.parameters(served.threads)
    if served.frames_per_run:
        settings = {**settings, FRAMES_PER_RUN: str(served.frames_per_run)}
    if served.lanes > 1:
        settings = {**settings, LANES: str(served.lanes)}
    set_engine(config, engine.backend, engine.file, settings, gpu=served.on_gpu)
    copy_served(served.file, version)


def _set_processes(config: ModelConfig, count: int) -> None:
    for group in config.instance_group:
        group.count = group.count or count


def _write_element(file: Path, content: bytes) -> None:
    """An element of type BYTES, as Triton reads it: its length and its bytes."""
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(struct.pack("<I", len(content)) + content)


def _parameters(sources: Path, spec: ModelSpec) -> dict[ServedModel, dict[str, str]]:
    """What the checkpoint decides of the Python models."""
    encoder = config_from_file(sources / TEXT_ENCODER.name / CONFIG_FILE)
    size = {"image_size": str(spec.preprocessing.image_size)}
    clip = {"frames": str(spec.frames), **size}
    return {
        PREPROCESS: clip,
        HAR_STREAM: clip,
        HAR_TIMELINE: clip,
        RESIZE: size,
        TEXT_EMBEDDER: {
            "prompts": json.dumps(spec.prompts, ensure_ascii=False),
            "max_tokens": str(spec.max_tokens),
            "encoder_batch": str(encoder.max_batch_size),
        },
    }
