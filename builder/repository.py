"""Assembles a Triton model repository from sources in git, graphs and checkpoints."""

import shutil
from collections.abc import Mapping
from pathlib import Path

from builder.graphs import SHARED_GRAPHS
from builder.profile import BuildProfile
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
    HAR_TEMPORAL,
    LABELS_FILE,
    PREPROCESS,
    ServedModel,
)
from clip_har.spec import ModelSpec, TemporalKind

ENSEMBLES: dict[TemporalKind, tuple[ServedModel, ...]] = {
    "mean": (HAR_BASE,),
    "attention_motion": (HAR_TEMPORAL, HAR_EMBED),
}
"""What people call of a variant, beside the graphs it is made of."""
GRAPH_FILE = "model.onnx"
VERSION = "1"


def write_repository(
    target: Path,
    sources: Path,
    graphs: Mapping[ServedModel, Path],
    spec: ModelSpec,
    kinds: tuple[TemporalKind, ...],
    profile: BuildProfile,
    threads: int,
) -> None:
    """Writes a folder a model into `target`; `threads` is what the encoders may use.

    Raises ValueError where a source does not fit the contract.
    """
    ensembles = [model for kind in kinds for model in ENSEMBLES[kind]]
    for model in (PREPROCESS, *graphs, *ensembles):
        folder = target / model.name
        (folder / VERSION).mkdir(parents=True)
        source = sources / model.name
        config = config_from_source(source / CONFIG_FILE, model, spec.sizes)
        if model in graphs:
            used = threads if model in SHARED_GRAPHS else 1
            set_engine(config, profile.platform, GRAPH_FILE, used)
            shutil.copyfile(graphs[model], folder / VERSION / GRAPH_FILE)
        if model is PREPROCESS:
            set_parameter(config, "frames", str(spec.frames))
            set_parameter(config, "image_size", str(spec.preprocessing.image_size))
        for script in sorted(source.glob(f"{VERSION}/*.py")):
            shutil.copyfile(script, folder / VERSION / script.name)
        if labels_wanted(config):
            (folder / LABELS_FILE).write_text("".join(f"{label}\n" for label in spec.labels))
        (folder / CONFIG_FILE).write_text(text_from_config(config))
