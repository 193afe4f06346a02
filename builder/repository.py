"""Assembles a Triton model repository from sources in git, engines and checkpoints."""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from builder.engines.engine import Engine
from builder.engines.plan_file import NOTE_FILE
from builder.triton_config import (
    CONFIG_FILE,
    config_from_source,
    labels_wanted,
    set_engine,
    set_parameter,
    text_from_config,
)
from clip_har.contract import (
    HAR_BASE,
    HAR_EMBED,
    HAR_STREAM,
    HAR_TEMPORAL,
    HAR_TIMELINE,
    LABELS_FILE,
    PREPROCESS,
    ServedModel,
)
from clip_har.spec import ModelSpec, TemporalKind

PUBLIC: dict[TemporalKind, tuple[ServedModel, ...]] = {
    "mean": (HAR_BASE,),
    "attention_motion": (HAR_TEMPORAL, HAR_EMBED, HAR_STREAM, HAR_TIMELINE),
}
"""What people call of a variant, beside the graphs it is made of."""
DECODING = (PREPROCESS, HAR_STREAM, HAR_TIMELINE)
"""Models that turn media into the frames of a checkpoint."""
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
) -> None:
    """Writes a folder a model into `target`.

    Raises ValueError where a source does not fit the contract.
    """
    public = [model for kind in kinds for model in PUBLIC[kind]]
    for model in (PREPROCESS, *graphs, *public):
        folder = target / model.name
        (folder / VERSION).mkdir(parents=True)
        source = sources / model.name
        config = config_from_source(source / CONFIG_FILE, model, spec.sizes)
        if model in graphs:
            served = graphs[model]
            engine = served.engine
            parameters = engine.parameters(served.threads)
            set_engine(config, engine.backend, engine.file, parameters, gpu=served.on_gpu)
            copy_served(served.file, folder / VERSION)
        if model in DECODING:
            set_parameter(config, "frames", str(spec.frames))
            set_parameter(config, "image_size", str(spec.preprocessing.image_size))
        for script in sorted(source.glob(f"{VERSION}/*.py")):
            shutil.copyfile(script, folder / VERSION / script.name)
        if labels_wanted(config):
            (folder / LABELS_FILE).write_text("".join(f"{label}\n" for label in spec.labels))
        (folder / CONFIG_FILE).write_text(text_from_config(config))
