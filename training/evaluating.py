"""Measures checkpoints on a data set, theirs or another one.

C clips, D embedding, K classes of the head, N names.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from clip_har.checkpoint import (
    RUN_FILE,
    checkpoint_folders,
    model_from_checkpoint,
    tokenizer_from_checkpoint,
)
from clip_har.dataset import (
    MANIFEST_FILE,
    Clip,
    DataSet,
    SplitName,
    Tier,
    data_set_from_folder,
)
from clip_har.ensemble import ensemble_of
from clip_har.nn.clip import clip_from_pretrained
from clip_har.nn.text_bank import text_bank
from clip_har.product import file_hash
from clip_har.provenance import provenance
from training.action_model import ActionModel
from training.device import best_device
from training.ensembling import ensemble_figures
from training.evaluation.cost import cost_of
from training.evaluation.metrics import Held, Metrics, Protocol, ZeroShot
from training.evaluation.model_figures import (
    SeenPairs,
    frame_bag_logits,
    held_figures,
    novel_figures,
    order_figures,
    seen_tiers,
    turned_clips,
)
from training.evaluation.report import write_report
from training.evaluation.zero_shot import TextScores, all_classes, half_class
from training.finishing import PACKAGES
from training.held_out import Views, decoded_views
from training.objective import reversal_table
from training.prediction import Answers, Seen, answers_of, seen_in_passing
from training.settings import Variant

BY_NAMES = {"EP1": all_classes, "half-class": half_class}


@dataclass(frozen=True)
class Subject:
    """Trained variants of one CLIP."""

    folder: Path
    model: ActionModel
    temperatures: dict[str, float]
    """By variant."""
    tokenizer: CLIPTokenizer
    main: str
    """The variant that the metrics are about."""
    run: Mapping[str, Any]
    """How they came about, as `run.json` says."""

    def texts(self, labels: Sequence[str]) -> Tensor:
        """One embedding a class name, (N, D)."""
        model = self.model
        with torch.inference_mode():
            return text_bank(model.clip, self.tokenizer, labels, model.spec.prompts)


@dataclass(frozen=True)
class Material:
    """Clips to ask about."""

    folder: Path
    data_set: DataSet
    split: SplitName
    views: Views
    broken: dict[str, str] = field(default_factory=dict[str, str])
    """Clips that could not be decoded, by path: why."""

    def clips(self, labels: Sequence[str]) -> list[Clip]:
        """Those of the split that show one of these classes."""
        return [clip for clip in self.data_set.split(self.split) if clip.label in labels]

    def seen(self, model: ActionModel, clips: list[Clip], title: str) -> Seen:
        """The clips as a vision tower sees them, without the broken ones."""
        views = decoded_views(clips, self.folder, self.views, title, self.broken)
        return seen_in_passing(model, views)

    def truth(self, clips: list[Clip], labels: Sequence[str]) -> Tensor:
        """Class of each clip that is not known to be broken, (C,)."""
        return torch.tensor(
            [labels.index(clip.label) for clip in clips if clip.path not in self.broken]
        )


def evaluate(
    checkpoint: Path,
    data: Path,
    out: Path,
    split: SplitName = "test",
    clips: int = 1,
    crops: int = 1,
    protocol: Protocol | None = None,
) -> Metrics:
    """Writes `metrics.json` and `report.html` into `out`.

    `checkpoint` is one, or a run with several. Classes of the data that the head does not know are
    recognised by their names: base-to-novel beside known ones, else `EP1` or `half-class`, where
    the names of all classes of the data are the answers; on the data set that was trained,
    EP1 is called `trained-names`. Raises ValueError where that cannot be.
    """
    subject = subject_from_folder(checkpoint)
    data_set = data_set_from_folder(data)
    spec = subject.model.spec
    views = Views(spec.frames, spec.preprocessing.image_size, clips, crops)
    material = Material(data, data_set, split, views)
    by_names = protocol in BY_NAMES or not material.clips(spec.labels)
    if by_names:
        metrics = _by_names(subject, material, protocol or "EP1")
    else:
        metrics = _by_head(subject, material)
    write_report(out, metrics)
    return metrics


def subject_from_folder(folder: Path) -> Subject:
    """Opens a checkpoint, or all checkpoints of a run; raises ValueError where there is none."""
    places = checkpoint_folders(folder)
    models = {place.name: model_from_checkpoint(place) for place in places}
    kinds = {name: Variant(temporal=model.spec.temporal) for name, model in models.items()}
    run = _record(places[0])
    return Subject(
        folder=folder,
        model=ActionModel.of_variants(models).requires_grad_(False).to(best_device()),
        temperatures={name: model.spec.temperature for name, model in models.items()},
        tokenizer=tokenizer_from_checkpoint(places[0], next(iter(models.values()))),
        main=_main_variant(run, kinds),
        run=run,
    )


def _record(checkpoint: Path) -> dict[str, Any]:
    """What `run.json` says; nothing where a checkpoint came without it."""
    path = checkpoint / RUN_FILE
    return json.loads(path.read_text()) if path.exists() else {}


def _main_variant(run: Mapping[str, Any], kinds: Mapping[str, Variant]) -> str:
    """The one that decided in training; of several without a record the first that sees time."""
    config = run.get("config", {})
    decided = config.get("main") or next(reversed(config.get("variants", {})), "")
    if decided in kinds:
        return decided
    of_time = [name for name, kind in kinds.items() if kind.temporal != "mean"]
    return (of_time or list(kinds))[0]


def _by_head(subject: Subject, material: Material) -> Metrics:
    """The head's answers to the classes that it knows, names for the others."""
    model, labels = subject.model, subject.model.spec.labels
    texts = subject.texts(labels)
    known = material.clips(labels)
    seen = material.seen(model, known, "known classes")
    answers, truth = answers_of(model, seen, texts), material.truth(known, labels)
    orders = order_figures(model, _tiers(subject, material, seen, truth), texts)
    logits = {name: told.logits for name, told in answers.items()}
    held = held_figures(logits, truth, labels, subject.temperatures, orders)
    metrics = _metrics(subject, material, held, labels, _novel(subject, material, answers, truth))
    ensemble = ensemble_of(subject.folder, model.kinds)
    if ensemble is None:
        return metrics
    together = ensemble_figures(ensemble, answers, truth, labels)
    return metrics.model_copy(update={"ensemble": together})


def _tiers(
    subject: Subject, material: Material, seen: Seen, truth: Tensor
) -> dict[Tier, SeenPairs]:
    """The pairs of the data set, which are test clips; where it has none, its clips and those
    played backwards."""
    data_set, labels = material.data_set, subject.model.spec.labels
    if not data_set.pairs:
        return turned_clips(seen, truth, reversal_table(labels, data_set.reversals))
    return seen_tiers(
        data_set.pairs if material.split == "test" else (),
        labels,
        material.folder,
        lambda clips, name: material.seen(subject.model, clips, name),
        material.broken,
    )


def _by_names(subject: Subject, material: Material, protocol: Protocol) -> Metrics:
    """The names of all classes of the data as answers."""
    model, labels = subject.model, material.data_set.labels
    clips = material.clips(labels)
    texts = subject.texts(labels)
    answers = answers_of(model, material.seen(model, clips, "clips"), texts)
    truth = material.truth(clips, labels)
    frozen = _frozen_scores(subject, material, clips, texts)
    zero_shot = tuple(
        _honest(
            BY_NAMES[protocol](TextScores(told.text_logits, frozen, truth), name), subject, material
        )
        for name, told in answers.items()
    )
    held = held_figures({n: told.text_logits for n, told in answers.items()}, truth, labels)
    metrics = _metrics(subject, material, held, labels, zero_shot)
    return metrics.model_copy(update={"answers_by": "names"})


def _honest(found: ZeroShot, subject: Subject, material: Material) -> ZeroShot:
    """The same with the number of names that were trained; EP1 only on another data set."""
    trained = len(set(material.data_set.labels) & set(subject.model.spec.labels))
    theirs = subject.run.get("data", {}).get("name")
    ours = trained and theirs in (None, material.data_set.name)
    protocol = "trained-names" if ours and found.protocol == "EP1" else found.protocol
    return found.model_copy(update={"trained": trained, "protocol": protocol})


def _novel(
    subject: Subject, material: Material, base: dict[str, Answers], base_truth: Tensor
) -> tuple[ZeroShot, ...]:
    """Base-to-novel, where the data has classes that the head does not know."""
    known = subject.model.spec.labels
    labels = [label for label in material.data_set.labels if label not in known]
    clips = material.clips(labels)
    if len({clip.label for clip in clips}) < 2:
        return ()
    texts = subject.texts(labels)
    tuned = answers_of(subject.model, material.seen(subject.model, clips, "unknown classes"), texts)
    frozen = _frozen_scores(subject, material, clips, texts)
    truth = material.truth(clips, labels)
    return novel_figures(tuned, frozen, truth, base, base_truth)


def _frozen_scores(
    subject: Subject, material: Material, clips: list[Clip], texts: Tensor
) -> Tensor:
    """The pretrained CLIP's answers to the same clips, by the mean of their frames, (C, N)."""
    spec = subject.model.spec
    clip = clip_from_pretrained(spec.backbone)
    frozen = ActionModel(spec, clip, {"frozen": Variant(temporal="mean")}, dropout=0.0).eval()
    frozen.to(subject.model.clip.device)
    seen = material.seen(frozen, clips, "the same, pretrained CLIP")
    return frame_bag_logits(frozen, seen, texts)


def _metrics(
    subject: Subject,
    material: Material,
    held: dict[str, Held],
    labels: Sequence[str],
    zero_shot: tuple[ZeroShot, ...],
) -> Metrics:
    model, data_set, views = subject.model, material.data_set, material.views
    return Metrics(
        name=subject.folder.name,
        data=data_set.name,
        source=data_set.source,
        manifest_sha256=file_hash(material.folder / MANIFEST_FILE),
        split=material.split,
        labels=tuple(labels),
        held_out_labels=tuple(one for one in data_set.labels if one not in model.spec.labels),
        frames=views.frames,
        clips_per_video=views.clips,
        crops=views.crops,
        prompts=model.spec.prompts,
        variant=subject.main,
        test=held[subject.main],
        variants=held,
        zero_shot=zero_shot,
        cost={name: cost_of(model, name, views) for name in held},
        trained_parameters={
            stage["name"]: stage["trained_parameters"] for stage in subject.run.get("stages", ())
        },
        skipped_clips=tuple(sorted(material.broken.values())),
        provenance=provenance(PACKAGES),
    )
