"""The checkpoints of one build: one a variant, all with the same vision encoder."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from clip_har.checkpoint import (
    checkpoint_folders,
    model_from_checkpoint,
    tokenizer_from_checkpoint,
)
from clip_har.labels import sentences
from clip_har.nn.model import CLIPHARModel
from clip_har.spec import ModelSpec, TemporalKind


@dataclass(frozen=True)
class Variants:
    """The trained variants that one repository serves."""

    models: dict[TemporalKind, CLIPHARModel]
    """Models by their temporal module."""
    folders: dict[TemporalKind, Path]
    """Where each was read from."""

    @property
    def spec(self) -> ModelSpec:
        """The description of any of them; they agree in all but the temporal module."""
        return next(iter(self.models.values())).spec

    @property
    def any_model(self) -> CLIPHARModel:
        """The model whose towers are exported; the others' are equal."""
        return next(iter(self.models.values()))

    def class_tokens(self) -> Tensor:
        """The sentences of all classes as token ids, (N, L)."""
        tokenizer = tokenizer_from_checkpoint(next(iter(self.folders.values())), self.any_model)
        spec = self.spec
        texts = [text for label in spec.labels for text in sentences(label, spec.prompts)]
        return tokenizer(texts, padding=True, return_tensors="pt").input_ids


def variants_from_folder(folder: Path) -> Variants:
    """Reads a checkpoint, or a folder of checkpoints as `python -m training train` writes it.

    Raises ValueError where there is none, where two are of the same variant, or where they cannot
    share one encoder.
    """
    models: dict[TemporalKind, CLIPHARModel] = {}
    places: dict[TemporalKind, Path] = {}
    for place in checkpoint_folders(folder):
        model = model_from_checkpoint(place)
        kind = model.spec.temporal
        if kind in models:
            raise ValueError(
                f"{place} and {places[kind]} are both of the variant {kind!r}. "
                "One repository serves one checkpoint a variant: name the one that you want."
            )
        models[kind], places[kind] = model, place
    _check_shared(models, places)
    return Variants(models, places)


def _check_shared(
    models: dict[TemporalKind, CLIPHARModel], places: dict[TemporalKind, Path]
) -> None:
    first, *others = models
    for other in others:
        a, b = models[first], models[other]
        for what in ("labels", "frames", "preprocessing"):
            if getattr(a.spec, what) != getattr(b.spec, what):
                raise ValueError(
                    f"{places[first]} and {places[other]} differ in their {what}, so they cannot "
                    "share a preprocessing step and a label file. Build them apart."
                )
        mine, theirs = a.clip.state_dict(), b.clip.state_dict()
        if mine.keys() != theirs.keys() or any(not torch.equal(mine[k], theirs[k]) for k in mine):
            raise ValueError(
                f"{places[first]} and {places[other]} hold different CLIP weights. One repository "
                "serves one encoder: build them apart."
            )
