"""What decides on validation clips."""

from dataclasses import replace

import torch

from training.action_model import ActionModel
from training.prediction import answers_of, seen_by
from training.run import Run
from training.validation import validation_answers


def test_clips_with_a_reversal_are_asked_about_both_ways(
    model: ActionModel, run: Run, in_one_process: None
) -> None:
    val, labels = run.split("val"), run.spec.labels
    logits, truth = validation_answers(run, model.eval(), val)
    forward = answers_of(model, seen_by(model, val.views), run.texts)["temporal"].logits
    torch.testing.assert_close(logits[: len(val.clips)], forward)
    known = [labels[one] for one in val.truth]
    table = run.data_set.reversals
    assert [labels[one] for one in truth] == known + [table[one] for one in known if one in table]
    assert len(truth) > len(known)


def test_clips_are_asked_about_one_way_where_none_is_trained_backwards(
    model: ActionModel, run: Run, in_one_process: None
) -> None:
    forwards = replace(run, config=run.config.model_copy(update={"reversed_share": 0.0}))
    val = forwards.split("val")
    logits, truth = validation_answers(forwards, model.eval(), val)
    assert len(logits) == len(truth) == len(val.clips)


def test_a_picture_is_asked_about_one_way(
    model: ActionModel, run: Run, in_one_process: None
) -> None:
    val = run.split("val")
    times = val.views.times.clone()
    (reversible,) = torch.where(run.classes.backwards[val.truth] >= 0)
    times[reversible[0]] = 0.0
    pictured = replace(val, views=replace(val.views, times=times))
    _, truth = validation_answers(run, model.eval(), pictured)
    assert len(truth) == len(val.clips) + len(reversible) - 1
