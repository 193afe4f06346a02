"""Assembles a Triton model repository from sources in git, engines and checkpoints."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.engines.engine import Engine
from builder.engines.plan_file import NOTE_FILE
from builder.triton_config import (
    CONFIG_FILE,
    config_from_file,
    config_from_source,
    labels_wanted,
    set_engine,
    set_parameter,
    text_from_config,
)
from clip_har.contract import (
    HAR_BASE,
    HAR_EMBED,
    HAR_TEMPORAL,
    HAR_TEMPORAL_FRAMES,
    HAR_TEXT_EMBED,
    HAR_ZERO_SHOT,
    LABELS_FILE,
    PREPROCESS,
    RESIZE,
    TEXT_EMBEDDER,
    TEXT_ENCODER,
    ServedModel,
)
from clip_har.spec import ModelSpec, TemporalKind
from clip_har.tokenizer import TOKENIZER_FILE

ENSEMBLES: dict[TemporalKind, tuple[ServedModel, ...]] = {
    "mean": (HAR_BASE,),
    "attention_motion": (
        HAR_TEMPORAL,
        HAR_EMBED,
        HAR_TEMPORAL_FRAMES,
        HAR_ZERO_SHOT,
        HAR_TEXT_EMBED,
    ),
}
"""What people call of a variant, beside the graphs it is made of."""
SCRIPTED: dict[TemporalKind, tuple[ServedModel, ...]] = {
    "mean": (),
    "attention_motion": (RESIZE, TEXT_EMBEDDER),
}
"""Python models that only one variant needs."""
VERSION = "1"


@dataclass(frozen=True)
class ServedGraph:
    """A graph as the repository holds it."""

    engine: Engine
    file: Path
    """What the engine runs; what lies beside it belongs to it."""
    threads: int
    """CPU threads of a run."""

    @property
    def on_gpu(self) -> bool:
        """Whether it runs on a GPU."""
        return self.engine.name.startswith("tensorrt")


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
    tokenizer: Path,
) -> None:
    """Writes a folder a model into `target`; `tokenizer` is the checkpoint's tokenizer.json.

    Raises ValueError where a source does not fit the contract.
    """
    others = [model for kind in kinds for model in (*SCRIPTED[kind], *ENSEMBLES[kind])]
    parameters = _parameters(sources, spec)
    for model in (PREPROCESS, *graphs, *others):
        folder = target / model.name
        (folder / VERSION).mkdir(parents=True)
        source = sources / model.name
        config = config_from_source(source / CONFIG_FILE, model, spec.sizes)
        if model in graphs:
            served = graphs[model]
            engine = served.engine
            settings = engine.parameters(served.threads)
            set_engine(config, engine.backend, engine.file, settings, gpu=served.on_gpu)
            copy_served(served.file, folder / VERSION)
        for name, value in parameters.get(model, {}).items():
            set_parameter(config, name, value)
        if model is TEXT_EMBEDDER:
            shutil.copyfile(tokenizer, folder / VERSION / TOKENIZER_FILE)
        for script in sorted(source.glob(f"{VERSION}/*.py")):
            shutil.copyfile(script, folder / VERSION / script.name)
        if labels_wanted(config):
            (folder / LABELS_FILE).write_text("".join(f"{label}\n" for label in spec.labels))
        (folder / CONFIG_FILE).write_text(text_from_config(config))


def _parameters(sources: Path, spec: ModelSpec) -> dict[ServedModel, dict[str, str]]:
    """What the checkpoint decides of the Python models."""
    encoder = config_from_file(sources / TEXT_ENCODER.name / CONFIG_FILE)
    size = {"image_size": str(spec.preprocessing.image_size)}
    return {
        PREPROCESS: {"frames": str(spec.frames), **size},
        RESIZE: size,
        TEXT_EMBEDDER: {
            "prompts": json.dumps(spec.prompts, ensure_ascii=False),
            "max_tokens": str(spec.max_tokens),
            "encoder_batch": str(encoder.max_batch_size),
        },
    }
