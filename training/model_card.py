"""The README.md of a checkpoint: what it is, how to use it, what it can do, and what it cannot."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from clip_har.spec import ModelSpec, TemporalKind
from training.evaluation import wording
from training.evaluation.metrics import Metrics
from training.evaluation.notes import SYNTHETIC, honest_notes, is_synthetic

CARD_FILE = "README.md"
TEMPLATE = "model_card.md.j2"
TASK = "video-classification"
SPECIAL = r"\`*_{}[]<>#|~$"
TEMPORAL: dict[TemporalKind, str] = {
    "mean": "the mean of its frames, so it cannot tell a clip from its reversal",
    "attention_motion": "attention over its frames and their motion, so it sees their order",
}


def model_card(spec: ModelSpec, run: Mapping[str, Any], metrics: Metrics | None = None) -> str:
    """Markdown with the front matter of the Hugging Face Hub.

    `run` is what `run.json` says; its `variant` chooses whose figures of `metrics` are shown, the
    main variant's without it. Keys that it lacks are left out.
    """
    variant = str(run.get("variant") or (metrics.variant if metrics else spec.temporal))
    own = _about(metrics, variant) if metrics else None
    name = f"{own.name}-{variant}" if own else variant
    data = _card_data(spec, name, _eval_results(own) if own else [])
    known = {"name": name, "variant": variant, "main": metrics.variant if metrics else ""}
    body = _body(spec, run, own, known)
    return str(ModelCard(f"---\n{data.to_yaml()}\n---\n\n{body}"))


def _about(metrics: Metrics, variant: str) -> Metrics:
    """The same evaluation with another variant as the main one."""
    return metrics.model_copy(
        update={
            "variant": variant,
            "test": metrics.variants.get(variant, metrics.test),
            "zero_shot": tuple(one for one in metrics.zero_shot if one.variant == variant),
        }
    )


def _card_data(spec: ModelSpec, name: str, results: list[EvalResult]) -> ModelCardData:
    return ModelCardData(
        pipeline_tag=TASK,
        tags=["action-recognition", "clip", "video", spec.temporal],
        base_model=spec.backbone if _is_hub_name(spec.backbone) else None,
        metrics=["accuracy"] if results else None,
        model_name=name,
        eval_results=results or None,
    )


def _is_hub_name(backbone: str) -> bool:
    """`openai/clip-vit-base-patch16`, and no folder of this machine."""
    path = Path(backbone)
    return len(path.parts) == 2 and not path.is_absolute() and not path.exists()


def _eval_results(metrics: Metrics) -> list[EvalResult]:
    views = f"{wording.views(metrics)} views"
    figures = {
        f"top-1 ({views})": metrics.test.top1,
        f"top-5 ({views})": metrics.test.top5,
        f"mean class accuracy ({views})": metrics.test.mean_class_accuracy,
    }
    results = [_eval_result(metrics, "", name, value) for name, value in figures.items()]
    return results + [
        _eval_result(metrics, f"zero-shot, {one.protocol}", f"accuracy ({views})", one.accuracy)
        for one in metrics.zero_shot
    ]


def _eval_result(metrics: Metrics, protocol: str, figure: str, value: float) -> EvalResult:
    """The Hub groups results by configuration, so each protocol is one."""
    return EvalResult(
        task_type=TASK,
        task_name=f"Action recognition ({protocol})" if protocol else "Action recognition",
        dataset_type=metrics.data,
        dataset_name=metrics.data,
        dataset_split=metrics.split,
        dataset_config=protocol or None,
        metric_type="accuracy",
        metric_name=figure,
        metric_value=round(value, 4),
    )


def _body(
    spec: ModelSpec, run: Mapping[str, Any], metrics: Metrics | None, known: Mapping[str, str]
) -> str:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=False,  # it is Markdown, which `plain` escapes
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "plain": plain,
        "percent": wording.percent,
        "interval": wording.interval,
        "points": wording.points,
        "number": wording.number,
    }
    source = str(run.get("data", {}).get("source") or (metrics.source if metrics else ""))
    return environment.get_template(TEMPLATE).render(
        spec=spec,
        run=run,
        **known,
        temporal=TEMPORAL[spec.temporal],
        source=source,
        synthetic=SYNTHETIC if is_synthetic(source) else "",
        metrics=metrics,
        measured=wording.measured(metrics) if metrics else "",
        protocols=wording.PROTOCOLS,
        notes=honest_notes(metrics) if metrics else [],
        settings=json.dumps(run["config"], indent=2) if "config" in run else "",
        provenance=wording.flat(run.get("provenance", {})),
    )


def plain(text: object) -> str:
    """Text that Markdown and its tables show as it is, on one line."""
    line = " ".join(str(text).split())
    return "".join(f"\\{letter}" if letter in SPECIAL else letter for letter in line)
