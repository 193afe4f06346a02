"""The loop of one stage, on embeddings. B clips, T frames, D embedding, K classes."""

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator
from torch import Tensor
from torch.nn import functional as F

from training.batches import Batch
from training.loop import Course, Progress, fit, rate_factor
from training.run import Run
from training.settings import TrainConfig
from training.stages import begin_stage
from training.views import Schedule

CLIPS = 16
Fit = Callable[..., tuple[Progress, dict[str, Tensor]]]


class MadeBatches:
    """The same batch of random embeddings at every step, in as many parts as asked for."""

    def __init__(self, run: Run, schedule: Schedule, spoilt_from: int = 10**6) -> None:
        generator = torch.Generator().manual_seed(0)
        embeds = torch.randn(8, 4, run.spec.embed_dim, generator=generator)
        self.embeds = F.normalize(embeds, dim=-1)
        self.targets = torch.eye(len(run.spec.labels))[:8]
        self.schedule, self.spoilt_from = schedule, spoilt_from

    def steps(self, start: int) -> Iterator[list[Batch]]:
        parts = self.schedule.settings.accumulate
        times = torch.arange(4.0).expand(8 // parts, -1)
        for step in range(start, self.schedule.steps):
            embeds = self.embeds * (math.nan if step >= self.spoilt_from else 1)
            faults = (f"clip {step}",)
            yield [
                Batch(seen, times, truth, faults=faults)
                for seen, truth in zip(embeds.chunk(parts), self.targets.chunk(parts), strict=True)
            ]


@pytest.fixture
def trained_by(run: Run, settings_of: Callable[..., TrainConfig], tmp_path: Path) -> Fit:
    """Trains a new model in one stage of 5 steps, of which each is saved."""

    def trained(
        scores: Sequence[float] = (), spoilt_from: int = 10**6, state: str = "state", **stage: Any
    ) -> tuple[Progress, dict[str, Tensor]]:
        table = {"trains": "frozen", "epochs": 2.5, "batch": 8, "learning_rate": 0.01,
                 "save_steps": 1, "validate_epochs": 0.5}  # fmt: skip
        config = settings_of(dropout=0.0, stages={"only": {**table, **stage}})
        schedule, told = Schedule(config, "only", CLIPS), iter(scores)
        model = run.begun()
        for head in model.heads.values():
            head[0].p = 0.0  # of dropout
        begin_stage(model, config.stages["only"])
        course = Course(
            name="only",
            config=config,
            schedule=schedule,
            batches=MadeBatches(run, schedule, spoilt_from),
            texts=run.texts,
            pretrained=None,
            validate=lambda _: next(told),
            state=tmp_path / state,
        )
        return fit(Accelerator(cpu=True), model, course)

    return trained


def differ(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    assert one.keys() == other.keys()
    return any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, {0: 0.5, 1: 1.0, 3: 0.5, 5: 0.0}),
        ({"warmup_epochs": 1.0}, {0: 1 / 3, 1: 2 / 3, 2: 1.0, 5: 0.0}),
        ({"final_rate": 0.2}, {1: 1.0, 3: 0.6, 5: 0.2}),
    ],
)
def test_the_rate_warms_up_and_decays_by_a_cosine(
    settings_of: Callable[..., TrainConfig], changes: dict[str, float], expected: dict[int, float]
) -> None:
    table = {"trains": "frozen", "epochs": 2.5, "batch": 8, "learning_rate": 0.01}
    config = settings_of(stages={"only": {**table, **changes}})
    schedule = Schedule(config, "only", CLIPS)
    assert schedule.steps == 5
    found = {step: rate_factor(step, schedule, config.stages["only"]) for step in expected}
    assert found == pytest.approx(expected)


def test_a_stage_runs_to_its_end_and_learns(trained_by: Fit, tmp_path: Path) -> None:
    progress, weights = trained_by()
    assert progress.step == 5
    assert progress.faults == [f"clip {step}" for step in range(5)]
    _, begun = trained_by(state="other", learning_rate=1e-12)
    assert differ(weights, begun)
    assert json.loads((tmp_path / "state" / "state.json").read_text())["step"] == 5


def test_a_finished_stage_is_not_trained_again(trained_by: Fit) -> None:
    once, again = trained_by(), trained_by()
    assert not differ(once[1], again[1])
    assert again[0].faults == once[0].faults


def test_a_stage_with_an_average_ends_with_it(trained_by: Fit) -> None:
    _, last = trained_by(state="last")
    _, mean = trained_by(state="mean", ema=0.9)
    name = "heads.base.1.weight"
    _, begun = trained_by(state="begun", learning_rate=1e-12)
    assert differ(last, mean)
    moved = [(weights[name] - begun[name]).abs().mean() for weights in (mean, last)]
    assert moved[0] < moved[1]


def test_a_stage_with_patience_stops_and_ends_with_its_best_weights(trained_by: Fit) -> None:
    progress, weights = trained_by([0.1, 0.5, 0.4, 0.5, 0.9], patience=2)
    assert progress.step == 4
    assert (progress.best, progress.since_best) == (0.5, 2)
    # The rate of a step depends on the length of the stage: so the state after its second step.
    best = trained_by([0.1, 0.5, 0.4, 0.3, 0.2], state="other", patience=3)
    assert best[0].step == 5
    assert not differ(weights, best[1])
    _, last = trained_by(state="last")
    assert differ(weights, last)


@pytest.mark.parametrize(("at_first", "steps"), [(0.9, 2), (0.0, 5)])
def test_tuning_that_improves_nothing_changes_nothing(
    trained_by: Fit, at_first: float, steps: int
) -> None:
    tuning = {"trains": "unfrozen", "blocks": 1, "encoder_learning_rate": 0.01, "patience": 2}
    progress, weights = trained_by([at_first, 0.1, 0.2, 0.3, 0.4, 0.5], **tuning)
    assert (progress.step, progress.best) == (steps, max(at_first, 0.5))
    _, begun = trained_by(state="begun", **{**tuning, "patience": 0, "learning_rate": 1e-12})
    name = "heads.base.1.weight"
    kept = torch.allclose(weights[name], begun[name], atol=1e-6, rtol=0)
    assert kept == (at_first == 0.9)


@pytest.mark.parametrize(
    ("epochs", "validate_epochs", "scores"), [(2.1, 0.7, [0.1, 0.2, 0.3]), (2.0, 3.0, [0.3])]
)
def test_the_last_step_is_validated_wherever_it_falls(
    trained_by: Fit, epochs: float, validate_epochs: float, scores: list[float]
) -> None:
    stage = {"epochs": epochs, "learning_rate": 0.01}
    progress, weights = trained_by(
        scores, patience=2, validate_epochs=validate_epochs, state="watched", **stage
    )
    assert (progress.step, progress.best) == (4, 0.3)
    assert not differ(weights, trained_by(state="last", **stage)[1])


def test_tuning_shorter_than_the_time_between_validations_is_kept(trained_by: Fit) -> None:
    tuning = {"trains": "unfrozen", "blocks": 1, "encoder_learning_rate": 0.01}
    times = {"patience": 2, "validate_epochs": 9.0}
    progress, weights = trained_by([0.1, 0.2], state="watched", **tuning, **times)
    assert progress.best == 0.2
    assert not differ(weights, trained_by(state="last", **tuning)[1])


def test_a_stage_that_stopped_early_stays_stopped(trained_by: Fit) -> None:
    once = trained_by([0.5, 0.4, 0.3], patience=2)
    again = trained_by([], patience=2)  # no validation is asked for
    assert again[0].step == once[0].step == 3
    assert not differ(once[1], again[1])


def test_an_interrupted_stage_remembers_its_best_weights(trained_by: Fit) -> None:
    scores = [0.5, 0.6, 0.2, 0.1]
    whole = trained_by(scores, patience=2, ema=0.5)
    with pytest.raises(ValueError, match="the loss is nan"):
        trained_by(scores[:2], state="other", spoilt_from=2, patience=2, ema=0.5)
    resumed = trained_by(scores[2:], state="other", patience=2, ema=0.5)
    assert resumed[0].step == whole[0].step == 4
    assert resumed[0].best == 0.6
    assert not differ(whole[1], resumed[1])


def test_a_clip_that_cannot_be_decoded_is_told_once(
    trained_by: Fit, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = MadeBatches.steps

    def broken(batches: MadeBatches, start: int) -> Iterator[list[Batch]]:
        for parts in steps(batches, start):
            yield [replace(part, faults=("b.mp4", "a.mp4")) for part in parts]

    monkeypatch.setattr(MadeBatches, "steps", broken)
    assert trained_by()[0].faults == ["a.mp4", "b.mp4"]


def test_without_patience_nothing_is_validated(trained_by: Fit) -> None:
    progress, _ = trained_by([])
    assert progress.best == -math.inf


def test_a_loss_that_is_no_number_is_an_error_that_helps(trained_by: Fit, tmp_path: Path) -> None:
    told = r"stage 'only', step 3: the loss is nan\. Lower the learning rates.*run again"
    with pytest.raises(ValueError, match=told):
        trained_by(spoilt_from=3)
    assert json.loads((tmp_path / "state" / "state.json").read_text())["step"] == 3


def test_accumulated_parts_train_like_the_whole_batch(trained_by: Fit) -> None:
    """But for contrast, which is within a part."""
    changes = {"text_weight": 0.0, "epochs": 0.5}
    _, whole = trained_by(state="whole", **changes)
    for parts in (2, 4):
        _, weights = trained_by(state=str(parts), accumulate=parts, **changes)
        for name in whole:
            if name.startswith("heads."):
                torch.testing.assert_close(weights[name], whole[name], atol=1e-4, rtol=1e-3)
    _, contrasted = trained_by(state="text", accumulate=2)
    assert differ(contrasted, trained_by(state="text whole")[1])
