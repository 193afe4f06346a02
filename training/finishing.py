"""What is made of the last stage: the weights that are kept, their figures, the checkpoints.

C clips, K classes, N names.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from torch import Tensor
from torch.nn.functional import cross_entropy

from clip_har.checkpoint import save_checkpoint
from clip_har.dataset import Clip
from clip_har.ensemble import ENSEMBLE_FILE
from clip_har.nn.head import fitted_temperature
from clip_har.product import record_inputs, write_whole
from clip_har.provenance import provenance
from training.action_model import ActionModel
from training.ensembling import ensemble_figures, fitted_ensemble
from training.evaluation.cost import cost_of
from training.evaluation.metrics import EnsembleFigures, Held, Interpolation, Metrics, ZeroShot
from training.evaluation.model_figures import (
    frame_bag_logits,
    held_figures,
    novel_figures,
    order_figures,
    seen_tiers,
    turned_clips,
)
from training.evaluation.report import write_report
from training.evaluation.stage_figures import Gain, StageFigures, gain_over
from training.interpolation import Measured, interpolated, swept
from training.model_card import CARD_FILE, model_card
from training.prediction import Answers, Seen, answers_of, seen_by, top1
from training.run import Run, Split
from training.staging import StageResult
from training.validation import validation_answers

PACKAGES = ("torch", "transformers", "accelerate", "peft", "numpy", "av", "pillow")
BULKY = {"confusion", "per_class", "reliability", "reliability_before"}


@dataclass(frozen=True)
class HeldOut:
    """Clips that no stage learned from."""

    val: Split
    test: Split
    novel_val: Split | None
    """Of the classes that were held out; None: there are none."""
    novel_test: Split | None


@dataclass(frozen=True)
class Shipped:
    """The weights that are kept, and what their variants say of held-out clips."""

    model: ActionModel
    sweep: list[Interpolation]
    """What chose them; empty where the settings did."""
    val: dict[str, Answers]
    test: dict[str, Answers]
    seen: Seen
    """The test clips as the vision tower sees them."""
    temperatures: dict[str, float]


def finish(run: Run, stages: list[StageResult], command: str, made_from: str) -> Metrics:
    """Chooses the weights, measures them and writes checkpoints, `metrics.json` and the report."""
    held_out = _held_out(run)
    shipped = _shipped(run, stages, held_out)
    val = shipped.val, held_out.val.truth
    ensemble = fitted_ensemble(*val, shipped.temperatures, run.config.main_variant)
    together = ensemble_figures(ensemble, shipped.test, held_out.test.truth, run.spec.labels, val)
    metrics = _metrics(run, stages, held_out, shipped, together)
    if run.main_process:
        write_report(run.out, metrics)
        write_whole(run.out / ENSEMBLE_FILE, ensemble.model_dump_json(indent=2) + "\n")
        record = _record(run, command, made_from, metrics)
        _write_checkpoints(run, shipped, record, metrics)
    run.accelerator.wait_for_everyone()
    return metrics


def _shipped(run: Run, stages: list[StageResult], held_out: HeldOut) -> Shipped:
    tuned = run.loaded(stages[-1].folder)
    begun = _before_tuning(run, stages, tuned)
    sweep = _swept(run, begun, tuned, held_out) if run.config.alpha == "sweep" else []
    model = interpolated(begun, tuned, _alpha(run, sweep))
    val, seen = _answers(run, model, held_out.val), seen_by(model, held_out.test.views)
    temperatures = {
        name: fitted_temperature(told.logits.clone(), held_out.val.truth)
        for name, told in val.items()
    }
    test = answers_of(model, seen, run.texts)
    return Shipped(model, sweep, val, test, seen, temperatures)


def _metrics(
    run: Run,
    stages: list[StageResult],
    held_out: HeldOut,
    shipped: Shipped,
    ensemble: EnsembleFigures,
) -> Metrics:
    stage_figures, right = zip(
        *(_stage_figures(run, stage, held_out) for stage in stages), strict=True
    )
    held = _held(run, shipped, held_out.test)
    broken = set(run.broken.values())
    return Metrics(
        name=run.out.name,
        data=run.data_set.name,
        source=run.data_set.source,
        manifest_sha256=run.manifest,
        split="test",
        labels=run.spec.labels,
        held_out_labels=run.config.held_out_labels,
        frames=run.config.frames,
        clips_per_video=1,
        crops=1,
        prompts=run.config.prompts,
        variant=run.config.main_variant,
        test=held[run.config.main_variant],
        variants=held,
        ensemble=ensemble,
        stages=stage_figures,
        gain=_gain(run, stages, right[0], shipped.test, held_out.test),
        interpolation=tuple(shipped.sweep),
        zero_shot=_zero_shot(run, shipped, held_out),
        cost={name: cost_of(shipped.model, name, run.view) for name in held},
        trained_parameters={stage.name: stage.trained_parameters for stage in stages},
        skipped_clips=tuple(sorted(broken.union(*(stage.faults for stage in stages)))),
        provenance=provenance(PACKAGES),
    )


def _held_out(run: Run) -> HeldOut:
    novel = bool(run.config.held_out_labels)
    return HeldOut(
        val=run.split("val"),
        test=run.split("test"),
        novel_val=run.split("val", novel=True) if novel else None,
        novel_test=run.split("test", novel=True) if novel else None,
    )


def _answers(run: Run, model: ActionModel, split: Split) -> dict[str, Answers]:
    return answers_of(model, seen_by(model, split.views), run.texts)


def _top1(run: Run, model: ActionModel, split: Split) -> float:
    """Of the main variant's head."""
    return top1(_answers(run, model, split)[run.config.main_variant].logits, split.truth)


def _novel_top1(run: Run, model: ActionModel, split: Split) -> float:
    """Of the main variant, by the names of the classes that were held out."""
    told = answers_of(model, seen_by(model, split.views), run.novel_texts)
    return top1(told[run.config.main_variant].text_logits, split.truth)


def _stage_figures(run: Run, stage: StageResult, held_out: HeldOut) -> tuple[StageFigures, Tensor]:
    """And whether each test clip is named right by the main variant, bool (C,)."""
    model, novel = run.loaded(stage.folder), held_out.novel_test
    answers = _answers(run, model, held_out.test)
    logits = {name: told.logits for name, told in answers.items()}
    held = held_figures(logits, held_out.test.truth, run.spec.labels)
    main = held[run.config.main_variant]
    figures = StageFigures(
        name=stage.name,
        top1=main.top1,
        mean_class_accuracy=main.mean_class_accuracy,
        top1_interval=main.top1_interval,
        variants={name: figures.top1 for name, figures in held.items()},
        zero_shot=_novel_top1(run, model, novel) if novel else None,
        trained_parameters=stage.trained_parameters,
        steps=stage.steps,
        seconds=stage.seconds,
    )
    return figures, _right(run, answers, held_out.test)


def _right(run: Run, answers: dict[str, Answers], split: Split) -> Tensor:
    """Whether the main variant names each clip right, bool (C,)."""
    return answers[run.config.main_variant].logits.argmax(dim=1) == split.truth


def _gain(
    run: Run,
    stages: list[StageResult],
    before: Tensor,
    shipped: dict[str, Answers],
    split: Split,
) -> Gain | None:
    """Over the first stage, which named the clips `before` right."""
    if len(stages) == 1:
        return None
    return gain_over(stages[0].name, before, _right(run, shipped, split))


def _before_tuning(run: Run, stages: list[StageResult], tuned: ActionModel) -> ActionModel:
    """What the frozen stages left; the action parts of the end on the pretrained CLIP, if none."""
    frozen = [one for one in stages if run.config.stages[one.name].trains == "frozen"]
    if frozen:
        return run.loaded(frozen[-1].folder)
    begun = deepcopy(tuned)
    begun.clip.load_state_dict(run.clip.state_dict())
    return begun


def _swept(
    run: Run, begun: ActionModel, tuned: ActionModel, held_out: HeldOut
) -> list[Interpolation]:
    val, test = held_out.val, held_out.test
    novel_val, novel_test = held_out.novel_val, held_out.novel_test
    assert novel_val is not None, "TrainConfig asks for held_out_labels"
    assert novel_test is not None, "TrainConfig asks for held_out_labels"

    def measure(model: ActionModel) -> Measured:
        logits, truth = validation_answers(run, model, val)
        temperature = fitted_temperature(logits.clone(), truth)
        return Measured(
            top1=top1(logits, truth),
            zero_shot=_novel_top1(run, model, novel_val),
            nll=float(cross_entropy(logits / temperature, truth)),
            test_top1=_top1(run, model, test),
            test_zero_shot=_novel_top1(run, model, novel_test),
        )

    return swept(begun, tuned, measure)


def _alpha(run: Run, sweep: list[Interpolation]) -> float:
    alpha = next((mix.alpha for mix in sweep if mix.shipped), run.config.alpha)
    assert not isinstance(alpha, str)
    return alpha


def _held(run: Run, shipped: Shipped, split: Split) -> dict[str, Held]:
    model = shipped.model

    def see(clips: list[Clip], name: str) -> Seen:
        return seen_by(model, run.views(clips, name.replace(" ", "-"), name))

    labels, pairs = run.spec.labels, run.data_set.pairs
    turned = turned_clips(shipped.seen, split.truth, run.classes.backwards)
    tiers = seen_tiers(pairs, labels, run.data, see, run.broken) if pairs else turned
    orders = order_figures(model, tiers, run.texts)
    logits = {name: told.logits for name, told in shipped.test.items()}
    return held_figures(logits, split.truth, labels, shipped.temperatures, orders)


def _zero_shot(run: Run, shipped: Shipped, held_out: HeldOut) -> tuple[ZeroShot, ...]:
    novel = held_out.novel_test
    if novel is None:
        return ()
    pretrained = run.begun().to(run.accelerator.device).eval()
    return novel_figures(
        answers_of(shipped.model, seen_by(shipped.model, novel.views), run.novel_texts),
        frame_bag_logits(pretrained, seen_by(pretrained, novel.views), run.novel_texts),
        novel.truth,
        shipped.test,
        held_out.test.truth,
    )


def _write_checkpoints(
    run: Run, shipped: Shipped, record: dict[str, Any], metrics: Metrics
) -> None:
    for name in run.config.variants:
        trained = shipped.model.variant(name, shipped.temperatures[name]).cpu()
        figures = metrics.variants[name].model_dump(exclude=BULKY)
        told = {**record, "variant": name, "metrics": {"test": figures}}
        card = model_card(trained.spec, told, metrics)
        save_checkpoint(run.out / name, trained, run.tokenizer, told, {CARD_FILE: card})
        record_inputs(run.out / name, record["made_from"])


def _record(run: Run, command: str, made_from: str, metrics: Metrics) -> dict[str, Any]:
    """How the checkpoints came about."""
    return {
        "command": command,
        "config": run.config.model_dump(),
        "data": {
            "name": run.data_set.name,
            "source": run.data_set.source,
            "manifest_sha256": run.manifest,
        },
        "made_from": made_from,
        "stages": [stage.model_dump() for stage in metrics.stages],
        "alpha": _alpha(run, list(metrics.interpolation)),
        "skipped_clips": list(metrics.skipped_clips),
        "provenance": metrics.provenance,
    }
