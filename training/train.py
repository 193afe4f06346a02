"""A training run: stages, then what is made of their result. Data and settings to checkpoints."""

from datetime import timedelta
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, InitProcessGroupKwargs

from clip_har.ensemble import ENSEMBLE_FILE
from clip_har.product import fingerprint, is_current, tree_hash
from training.evaluation.metrics import METRICS_FILE, REPORT_FILE, Metrics
from training.evaluation.wording import flat
from training.finishing import finish
from training.run import begun_run, run_fingerprints
from training.settings import TrainConfig
from training.staging import run_stages

LONGEST_WAIT = timedelta(days=7)
"""Of processes for the first one, which encodes and decodes the data alone."""
EVALUATION = Path(__file__).parent / "evaluation"


def train(config: TrainConfig, data: Path, out: Path, command: str) -> tuple[Metrics, bool]:
    """Trains what is not trained yet, and writes a checkpoint folder a variant into `out`.

    Beside them: `ensemble.json`, `metrics.json`, `report.html`. Gives the figures, and False where
    all was there already, made from the same data, settings and code. Raises ValueError for data,
    settings or a backbone that cannot be used.
    """
    fingerprints = run_fingerprints(config, data)
    made_from = _made_from(config, fingerprints)
    if is_finished(config, out, made_from):
        return Metrics.from_json(out / METRICS_FILE), False
    run = begun_run(config, data, out, accelerator_for(config, out))
    metrics = finish(run, run_stages(run, fingerprints), command, made_from)
    run.accelerator.end_training()
    return metrics, True


def is_finished(config: TrainConfig, out: Path, made_from: str) -> bool:
    """Whether `out` holds everything that a run with this fingerprint writes."""
    files = [out / name for name in (METRICS_FILE, REPORT_FILE, ENSEMBLE_FILE)]
    return all(is_current(out / name, made_from) for name in config.variants) and all(
        file.exists() for file in files
    )


def accelerator_for(config: TrainConfig, out: Path) -> Accelerator:
    """One process or many, as the launcher says.

    Raises ValueError for an unknown tracker, and for FSDP 1.
    """
    tracker = None if config.tracker == "none" else config.tracker
    try:
        accelerator = Accelerator(
            cpu=not torch.accelerator.is_available(),  # else it would not see other processes
            mixed_precision=config.mixed_precision,
            log_with=tracker,
            project_dir=out / "logs",
            kwargs_handlers=[InitProcessGroupKwargs(timeout=LONGEST_WAIT)],
        )
        if tracker:
            accelerator.init_trackers(out.name, config=dict(flat(config.model_dump())))
    except (ValueError, ImportError) as error:
        raise ValueError(
            f"tracker = {config.tracker!r} cannot be used: {error}. Install its package, or choose "
            "tensorboard, mlflow, wandb or none."
        ) from error
    if accelerator.distributed_type == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise ValueError("FSDP 1 was asked for. Launch with --fsdp_version 2, or without FSDP.")
    return accelerator


def _made_from(config: TrainConfig, fingerprints: dict[str, str]) -> str:
    return fingerprint(
        {
            "stages": list(fingerprints.values()),
            "alpha": config.alpha,
            "evaluation": tree_hash(EVALUATION),
        }
    )
