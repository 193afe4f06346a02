"""Runs the stages of a run, each from what the one before it left; finished ones are kept."""

import json
import shutil
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from clip_har.product import is_current, record_inputs, staged
from training.action_model import ActionModel
from training.averaging import load_trained_weights, trained_weights
from training.batches import Batches, ClipBatches, ClipSource, FeatureBatches
from training.features import FrozenEncoder, features_from_clips
from training.loop import Course, fit
from training.prediction import top1
from training.run import Run, Split, backbone_identity, save_model
from training.settings import Stage
from training.stages import begin_stage, end_stage
from training.validation import validation_answers
from training.views import Schedule

STAGE_FILE = "stage.json"


@dataclass(frozen=True)
class StageResult:
    """A finished stage."""

    name: str
    folder: Path
    trained_parameters: int
    steps: int
    seconds: float
    """How long its steps took, interruptions not counted."""
    faults: tuple[str, ...]
    """Clips that could not be decoded."""


def run_stages(run: Run, fingerprints: dict[str, str]) -> list[StageResult]:
    """Trains what is not trained yet; gives all stages in their order."""
    results: list[StageResult] = []
    for number, name in enumerate(run.config.stages, start=1):
        folder = run.out / "stages" / f"{number}-{name}"
        if not is_current(folder, fingerprints[name]):
            before = results[-1].folder if results else None
            _train_stage(run, name, before, folder, fingerprints[name])
        results.append(_result(name, folder))
    return results


def _train_stage(run: Run, name: str, before: Path | None, folder: Path, made_from: str) -> None:
    # Named for what it is made from, so that another stage's state is never gone on from.
    state = run.out / "states" / f"{folder.name}-{made_from[:16]}"
    model = _model_of(run, name, before)
    count = sum(weight.numel() for weight in trained_weights(model).values())
    course = _course(run, name, state)
    with _threads(1 if run.config.stages[name].trains == "frozen" else torch.get_num_threads()):
        progress, weights = fit(run.accelerator, model, course)
    run.accelerator.free_memory()
    if run.main_process:
        ended = _model_of(run, name, before)
        load_trained_weights(ended, weights)
        end_stage(ended, run.config.stages[name])
        with staged(folder) as staging:
            save_model(staging, ended)
            told = {
                "trained_parameters": count,
                "steps": progress.step,
                "seconds": round(progress.seconds, 1),
                "faults": sorted({*course.faults, *progress.faults}),
            }
            (staging / STAGE_FILE).write_text(json.dumps(told, indent=2) + "\n")
            record_inputs(staging, made_from)
        shutil.rmtree(state, ignore_errors=True)
    run.accelerator.wait_for_everyone()


@contextmanager
def _threads(count: int) -> Generator[None]:
    """The action parts alone are small: a second thread gains little, and loses much on cores that
    others use too."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _model_of(run: Run, name: str, before: Path | None) -> ActionModel:
    """The model at the start of a stage, set to learn what the stage lets learn."""
    model = run.loaded(before) if before else run.begun()
    torch.manual_seed(run.config.seed)  # of the weights that a stage adds
    begin_stage(model, run.config.stages[name])
    return model


def _course(run: Run, name: str, state: Path) -> Course:
    config, settings = run.config, run.config.stages[name]
    clips = run.clips("train")
    batches: Batches
    faults: tuple[str, ...] = ()
    encoder = FrozenEncoder(
        run.clip.to(run.accelerator.device),
        run.spec.preprocessing,
        backbone_identity(config.backbone),
    )
    if settings.trains == "frozen":
        with run.accelerator.main_process_first():
            features = features_from_clips(
                clips, run.spec.labels, run.data, encoder, config.cached_frames,
                run.out / "features",
            )  # fmt: skip
        schedule, faults = Schedule(config, name, len(features)), features.faults
        batches = FeatureBatches(features, schedule, run.classes, run.share)
    else:
        schedule = Schedule(config, name, len(clips))
        size = run.spec.preprocessing.image_size
        source = ClipSource(run.data, clips, run.spec.labels, size, settings.augmentation)
        dim = run.spec.embed_dim
        batches = ClipBatches(source, schedule, run.classes, run.share, config.workers, dim)
    return Course(
        name=name,
        config=config,
        schedule=schedule,
        batches=batches,
        texts=run.texts,
        pretrained=_pretrained(encoder, settings) if settings.distillation else None,
        validate=_validation(run, run.split("val")) if settings.patience else lambda _: 0.0,
        state=state,
        faults=faults,
    )


def _pretrained(encoder: FrozenEncoder, settings: Stage) -> Callable[[Tensor], Tensor]:
    """What a stage sees -> the pretrained CLIP's frame embeddings; a `frozen` stage sees these."""
    return (lambda seen: seen) if settings.trains == "frozen" else encoder.embeds


def _validation(run: Run, val: Split) -> Callable[[ActionModel], float]:
    """Top-1 of the main variant on validation clips."""

    def measure(model: ActionModel) -> float:
        return top1(*validation_answers(run, model, val))

    return measure


def _result(name: str, folder: Path) -> StageResult:
    told: dict[str, Any] = json.loads((folder / STAGE_FILE).read_text())
    faults = tuple(told.pop("faults"))
    return StageResult(name=name, folder=folder, faults=faults, **told)
