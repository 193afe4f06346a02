"""Trains the action parts on a frozen CLIP: temporal module and head, on cached frame embeddings.

B clips of a batch, C clips of a split, T frames, D embedding, K classes.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import Field
from torch import Tensor
from torchmetrics.functional.classification import multiclass_accuracy
from transformers import CLIPModel, CLIPTokenizer

from clip_har.checkpoint import save_checkpoint
from clip_har.config import Config
from clip_har.dataset import MANIFEST_FILE, DataSet, SplitName, data_set_from_folder
from clip_har.nn.clip import clip_from_pretrained, preprocessing_of, tokenizer_from_pretrained
from clip_har.nn.model import CLIPHARModel
from clip_har.product import file_hash, fingerprint, is_current, record_inputs, tree_hash
from clip_har.progress import progress_bar
from clip_har.provenance import provenance
from clip_har.spec import ModelSpec, TemporalKind
from training.features import FeatureSet, FrozenEncoder, features_from_clips
from training.objective import action_loss, fitted_temperature, reversal_table, text_bank

PACKAGES = ("torch", "transformers", "numpy", "av", "pillow")
CODE = (Path(__file__).parent, Path(__file__).parent.parent / "clip_har")


class Variant(Config):
    """One checkpoint that a run writes."""

    temporal: TemporalKind
    """Which temporal module: `mean` (base) or `attention_motion` (temporal attention)."""
    steps: int = Field(ge=1)
    """Optimiser steps."""
    learning_rate: float = Field(gt=0)
    """Peak learning rate; linear warm-up, cosine decay to zero."""


class TrainConfig(Config):
    """A training run on a frozen CLIP."""

    seed: int
    """Fixes the weights at the start and everything drawn on the way."""
    backbone: str
    """A CLIP folder (relative to where the command runs) or a Hub name."""
    frames: int = Field(ge=1)
    """Frames sampled from a video when serving."""
    train_frames: tuple[int, ...] = Field(min_length=1)
    """Frames sampled in training; one of these a batch, so that any number works later."""
    prompts: tuple[str, ...] = Field(min_length=1)
    """Sentence templates of the class texts; `{}` stands for the label."""
    batch: int = Field(ge=2)
    """Clips of a step."""
    warmup: int = Field(ge=1)
    """Steps of the warm-up."""
    weight_decay: float = Field(ge=0)
    """AdamW's weight decay."""
    label_smoothing: float = Field(ge=0, lt=1)
    """Probability mass that the truth gives to the other classes."""
    text_weight: float = Field(ge=0)
    """Weight of the image-text loss beside the classification loss."""
    still_share: float = Field(ge=0, le=1)
    """Share of batches that see one frame a clip, so that an image keeps its meaning."""
    crop: float = Field(gt=0, le=1)
    """Shortest part of a clip's time that a training view shows."""
    noise: float = Field(ge=0)
    """Length of the random vector added to each frame embedding in training (their length is 1)."""
    reversed_share: float = Field(ge=0, le=1)
    """Share of clips played backwards and labelled so, among classes that have a reversal."""
    variants: dict[str, Variant] = Field(min_length=1)
    """Checkpoints to write, by folder name."""


@dataclass(frozen=True)
class Run:
    """Everything that the variants of a run share."""

    config: TrainConfig
    spec: ModelSpec
    """Of the base variant; the others differ in the temporal module."""
    data: DataSet
    manifest: str
    """SHA-256 of the data set's manifest."""
    train: FeatureSet
    val: FeatureSet
    texts: Tensor
    """Class texts, (K, D)."""
    reversed_class: Tensor
    """The class that each becomes backwards, -1 for none, (K,)."""


def train(config: TrainConfig, data: Path, out: Path, command: str) -> dict[str, dict[str, float]]:
    """Writes a checkpoint folder for each variant into `out`; returns their validation metrics.

    A variant that was trained from the same data, settings and code is left as it is.
    Raises ValueError for a data set or a backbone that cannot be used.
    """
    data_set = data_set_from_folder(data)
    made_from = _made_from(config, data)
    stale = [name for name in config.variants if not is_current(out / name, made_from)]
    if not stale:
        return {}
    run, clip, tokenizer = _prepared(config, data_set, data, out)
    return {
        name: _train_variant(run, clip, tokenizer, name, out, command, made_from) for name in stale
    }


def _made_from(config: TrainConfig, data: Path) -> str:
    return fingerprint(
        {
            "config": config.model_dump(),
            "data": file_hash(data / MANIFEST_FILE),
            "backbone": _identity(config.backbone),
            "code": [tree_hash(folder) for folder in CODE],
        }
    )


def _identity(backbone: str) -> str:
    """What tells one CLIP from another: the hash of a folder, the name of one on the Hub."""
    return tree_hash(Path(backbone)) if Path(backbone).exists() else backbone


def _prepared(
    config: TrainConfig, data_set: DataSet, data: Path, out: Path
) -> tuple[Run, CLIPModel, CLIPTokenizer]:
    clip = clip_from_pretrained(config.backbone)
    tokenizer = tokenizer_from_pretrained(config.backbone, clip.config)
    spec = _base_spec(config, data_set, clip)
    encoder = FrozenEncoder(clip, spec.preprocessing, _identity(config.backbone))

    def features(split: SplitName) -> FeatureSet:
        clips = data_set.split(split)
        cache = out / "features" / split
        return features_from_clips(clips, data_set.labels, data, encoder, config.frames, cache)

    with torch.inference_mode():
        texts = text_bank(clip, tokenizer, data_set.labels, config.prompts)
    run = Run(
        config=config,
        spec=spec,
        data=data_set,
        manifest=file_hash(data / MANIFEST_FILE),
        train=features("train"),
        val=features("val"),
        texts=texts.clone(),
        reversed_class=reversal_table(data_set.labels, data_set.reversals),
    )
    return run, clip, tokenizer


def _base_spec(config: TrainConfig, data_set: DataSet, clip: CLIPModel) -> ModelSpec:
    return ModelSpec(
        backbone=config.backbone,
        clip=clip.config.to_dict(),
        embed_dim=clip.visual_projection.out_features,
        frames=config.frames,
        temporal="mean",
        labels=data_set.labels,
        prompts=config.prompts,
        preprocessing=preprocessing_of(config.backbone, clip.config),
    )


def _train_variant(
    run: Run,
    clip: CLIPModel,
    tokenizer: CLIPTokenizer,
    name: str,
    out: Path,
    command: str,
    made_from: str,
) -> dict[str, float]:
    started = time.monotonic()
    variant = run.config.variants[name]
    torch.manual_seed(run.config.seed)
    model = CLIPHARModel(run.spec.model_copy(update={"temporal": variant.temporal}), clip)
    model.clip.requires_grad_(False)
    _fit(run, model, variant, name)
    model.eval()
    metrics, temperature = _validated(run, model)
    model.spec = model.spec.model_copy(update={"temperature": temperature})
    record: dict[str, object] = {
        "command": command,
        "config": run.config.model_dump(),
        "data": {"name": run.data.name, "manifest_sha256": run.manifest},
        "made_from": made_from,
        "metrics": {"val": metrics},
        "seconds": round(time.monotonic() - started, 1),
        "provenance": provenance(PACKAGES),
    }
    save_checkpoint(out / name, model, tokenizer, record)
    record_inputs(out / name, made_from)
    return metrics


def _fit(run: Run, model: CLIPHARModel, variant: Variant, name: str) -> None:
    config = run.config
    # These layers are small: a second thread gains little, and loses much where cores are shared.
    torch.set_num_threads(1)
    trained = [*model.temporal.parameters(), *model.head.parameters()]
    optimizer = torch.optim.AdamW(trained, variant.learning_rate, weight_decay=config.weight_decay)

    def rate(step: int) -> float:
        done = step / variant.steps
        return min((step + 1) / config.warmup, 1.0) * (1 + math.cos(math.pi * done)) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    model.train()
    for _ in progress_bar(range(variant.steps), f"train {name}"):
        embeds, times, truth = _batch(run)
        seen = model.recognise(embeds, times)
        loss = action_loss(
            model, seen, run.texts, truth, config.label_smoothing, config.text_weight
        )
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()


def _batch(run: Run) -> tuple[Tensor, Tensor, Tensor]:
    """Random views of random training clips: (B, T, D), seconds (B, T), classes (B,)."""
    config = run.config
    clips = torch.randint(len(run.train.labels), (config.batch,))
    if torch.rand(()) < config.still_share:
        frames = 1
    else:
        frames = config.train_frames[int(torch.randint(len(config.train_frames), ()))]
    length = torch.empty(config.batch, 1).uniform_(config.crop, 1)
    start = torch.rand(config.batch, 1) * (1 - length)
    segment = (torch.arange(frames) + torch.rand(config.batch, frames)) / frames
    places = (start + length * segment).clamp(max=1 - 1e-6)  # (B, T)
    embeds, times = run.train.sampled(clips, places)
    embeds, times, truth = _played_backwards(run, embeds, times, run.train.labels[clips])
    noise = torch.randn_like(embeds) * config.noise / math.sqrt(embeds.shape[-1])
    return torch.nn.functional.normalize(embeds + noise, dim=-1), times, truth


def _played_backwards(
    run: Run, embeds: Tensor, times: Tensor, truth: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Reverses some of the clips whose reversal is a class, and labels them with that class."""
    partner = run.reversed_class[truth]  # (B,)
    turned = (partner >= 0) & (torch.rand(len(truth)) < run.config.reversed_share)
    if embeds.shape[1] == 1:
        return embeds, times, truth
    backwards = times.amax(dim=1, keepdim=True) + times.amin(dim=1, keepdim=True) - times.flip(1)
    return (
        torch.where(turned[:, None, None], embeds.flip(1), embeds),
        torch.where(turned[:, None], backwards, times),
        torch.where(turned, partner, truth),
    )


@torch.inference_mode()
def _validated(run: Run, model: CLIPHARModel) -> tuple[dict[str, float], float]:
    """Validation metrics of the clips as a server would see them, and the fitted temperature."""
    seen = model.recognise(*run.val.as_served())
    truth, classes = run.val.labels, len(run.data.labels)
    by_text = model.text_logits(seen.embedding, run.texts)
    with torch.inference_mode(False), torch.enable_grad():
        temperature = fitted_temperature(seen.logits.clone(), truth)
    metrics = {
        "top1": multiclass_accuracy(seen.logits, truth, classes, average="micro"),
        "mean_class_accuracy": multiclass_accuracy(seen.logits, truth, classes, average="macro"),
        "text_top1": multiclass_accuracy(by_text, truth, classes, average="micro"),
        "temperature": temperature,
        "clips": len(truth),
    }
    return {name: round(float(value), 4) for name, value in metrics.items()}, temperature
