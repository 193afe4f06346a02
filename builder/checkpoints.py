"""The checkpoints of one build: one a variant, all with the same vision encoder; their mixture."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from builder.graphs import PUBLIC, SHARED_GRAPHS, VARIANT_GRAPHS
from clip_har.checkpoint import (
    checkpoint_folders,
    model_from_checkpoint,
    tokenizer_from_checkpoint,
)
from clip_har.contract import HAR_ENSEMBLE, MIXTURE, ServedModel
from clip_har.ensemble import ENSEMBLE_FILE, Ensemble, ensemble_of
from clip_har.labels import sentences
from clip_har.nn.mixture import Mixture
from clip_har.nn.model import CLIPHARModel
from clip_har.nn.text_bank import text_bank
from clip_har.product import tree_hash
from clip_har.spec import ModelSpec, TemporalKind


@dataclass(frozen=True)
class Variants:
    """The trained variants that one repository serves."""

    models: dict[TemporalKind, CLIPHARModel]
    """Models by their temporal module."""
    folders: dict[TemporalKind, Path]
    """Where each was read from."""
    ensemble_file: Path | None = None
    """The ensemble of them, where training has fitted one."""

    @cached_property
    def mixture(self) -> Mixture | None:
        """The ensemble as a module, made when it is asked for: it encodes texts of all classes."""
        if self.ensemble_file is None:
            return None
        ensemble = Ensemble.from_json(self.ensemble_file)
        named = {self.folders[kind].name: model for kind, model in self.models.items()}
        with torch.inference_mode():
            texts = text_bank(
                self.any_model.clip, self._tokenizer(), self.spec.labels, self.spec.prompts
            )
            return Mixture(ensemble, named, texts.clone()).eval()

    @property
    def spec(self) -> ModelSpec:
        """The description of any of them; they agree in all but the temporal module."""
        return next(iter(self.models.values())).spec

    @property
    def any_model(self) -> CLIPHARModel:
        """The model whose towers are exported; the others' are equal."""
        return next(iter(self.models.values()))

    def graphs(self) -> list[ServedModel]:
        """The graphs that they are served as: what they share, what each has, the mixture."""
        own = [graph for kind in self.models for graph in VARIANT_GRAPHS[kind]]
        return [*SHARED_GRAPHS, *own, *([MIXTURE] if self.ensemble_file else [])]

    def places(self) -> dict[str, Path]:
        """Where each public model was read from."""
        own = {PUBLIC[kind].name: folder for kind, folder in self.folders.items()}
        return own | ({HAR_ENSEMBLE.name: self.ensemble_file} if self.ensemble_file else {})

    def hashes(self) -> dict[str, str]:
        """Hash over the files of each public model."""
        return {name: tree_hash(place) for name, place in self.places().items()}

    def temperatures(self) -> dict[str, float]:
        """What was fitted on validation, by the public model and the ensemble's member."""
        own = {PUBLIC[kind].name: model.spec.temperature for kind, model in self.models.items()}
        members = self.mixture.heard() if self.mixture else ()
        return own | {member_name(member.name): member.temperature for member in members}

    def set_temperatures(self, temperatures: Mapping[str, float]) -> None:
        """Makes them the models' own, for what is exported next; keys as `temperatures` has."""
        for kind, model in self.models.items():
            temperature = temperatures[PUBLIC[kind].name]
            model.spec = model.spec.model_copy(update={"temperature": temperature})
        if self.mixture:
            names = [member.name for member in self.mixture.heard()]
            self.mixture.set_temperatures({name: temperatures[member_name(name)] for name in names})

    def class_tokens(self) -> Tensor:
        """The sentences of all classes as token ids, (N, L)."""
        spec = self.spec
        texts = [text for label in spec.labels for text in sentences(label, spec.prompts)]
        return self._tokenizer()(texts, padding=True, return_tensors="pt").input_ids

    def _tokenizer(self) -> CLIPTokenizer:
        return tokenizer_from_checkpoint(next(iter(self.folders.values())), self.any_model)


def member_name(name: str) -> str:
    """What a member of the ensemble is called among public models."""
    return f"{HAR_ENSEMBLE.name}: {name}"


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
                "One build has one checkpoint a variant: build each apart, then `join` them."
            )
        models[kind], places[kind] = model, place
    _check_shared(models, places)
    ensemble = ensemble_of(folder, [place.name for place in places.values()])
    return Variants(models, places, folder / ENSEMBLE_FILE if ensemble else None)


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
                    "share a preprocessing step and a label file. Build them apart, then "
                    "`join` them."
                )
        mine, theirs = a.clip.state_dict(), b.clip.state_dict()
        if mine.keys() != theirs.keys() or any(not torch.equal(mine[k], theirs[k]) for k in mine):
            raise ValueError(
                f"{places[first]} and {places[other]} hold different CLIP weights. One repository "
                "serves one encoder: build them apart, then `join` them."
            )
