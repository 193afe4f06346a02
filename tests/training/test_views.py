"""What a step looks at depends on (seed, stage, step, place) and on nothing else."""

import numpy as np
import pytest

from training.settings import Stage, TrainConfig, Variant
from training.views import Schedule, View

STAGE = Stage(trains="frozen", epochs=3, batch=6, learning_rate=1e-3)
CONFIG = TrainConfig(
    seed=1,
    backbone="none",
    frames=8,
    train_frames=(4, 8),
    prompts=("{}",),
    still_share=0.25,
    crop=0.5,
    reversed_share=0.5,
    variants={"base": Variant(temporal="mean")},
    stages={"first": STAGE, "second": STAGE},
)
CLIPS = 10


def schedule(stage: str = "first", clips: int = CLIPS, **changes: object) -> Schedule:
    return Schedule(CONFIG.model_copy(update=changes), stage, clips)


def told(views: list[View]) -> list[tuple[object, ...]]:
    return [(view.clip, view.places.tolist(), view.backwards, view.seed) for view in views]


def test_a_step_shows_the_same_whenever_and_wherever_it_is_asked_for() -> None:
    one = schedule()
    in_order = [told(one.views(step)) for step in range(one.steps)]
    assert [told(schedule().views(step)) for step in reversed(range(one.steps))] == in_order[::-1]


def test_more_clips_a_batch_leave_the_views_of_the_first_places() -> None:
    def places(batch: int) -> list[tuple[object, ...]]:
        stages = {"first": STAGE.model_copy(update={"batch": batch})}
        return told(schedule(stages=stages).views(0))

    assert places(8)[:6] == places(6)


@pytest.mark.parametrize("other", [schedule("second"), schedule(seed=2)])
def test_another_stage_or_seed_shows_others(other: Schedule) -> None:
    steps = range(5)
    ours, theirs = ([told(one.views(step)) for step in steps] for one in (schedule(), other))
    assert all(mine != their for mine, their in zip(ours, theirs, strict=True))
    seeds = {one.step_seed(step, 0) for one in (schedule(), other) for step in steps}
    assert len(seeds) == 10


def test_every_process_and_step_draws_its_own_numbers() -> None:
    one = schedule()
    seeds = {one.step_seed(step, process) for step in range(5) for process in range(3)}
    assert len(seeds) == 15
    assert one.step_seed(2, 1) == schedule().step_seed(2, 1)


def test_every_clip_is_seen_once_an_epoch_in_an_order_of_its_own() -> None:
    one = schedule()
    assert one.steps == 5
    seen = [view.clip for step in range(one.steps) for view in one.views(step)]  # batches of 6
    epochs = [seen[start : start + CLIPS] for start in range(0, len(seen), CLIPS)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(CLIPS))] * 3
    assert epochs[0] != epochs[1] != epochs[2]


def test_a_batch_may_hold_more_clips_than_there_are() -> None:
    views = schedule(clips=4).views(0)
    assert sorted(view.clip for view in views[:4]) == [0, 1, 2, 3]
    assert len(views) == 6


def test_places_ascend_within_a_part_of_the_clip_that_is_long_enough() -> None:
    for step in range(40):
        for view in schedule().views(step):
            assert (np.diff(view.places) > 0).all()
            assert view.places.min() >= 0
            assert view.places.max() < 1
    spans = [np.ptp(view.places) for step in range(40) for view in schedule(crop=1.0).views(step)
             if len(view.places) == 8]  # fmt: skip
    assert min(spans) > 6 / 8  # one moment in each eighth of the whole clip


def test_steps_have_one_of_the_train_frames_or_one() -> None:
    counts = [{len(view.places) for view in schedule().views(step)} for step in range(400)]
    assert all(len(count) == 1 for count in counts)
    share = {frames: counts.count({frames}) / 400 for frames in (1, 4, 8)}
    assert sum(share.values()) == 1
    assert share[1] == pytest.approx(0.25, abs=0.07)
    assert share[4] == pytest.approx(0.375, abs=0.08)


def test_the_asked_share_is_played_backwards_and_never_a_picture() -> None:
    views = [view for step in range(200) for view in schedule().views(step)]
    moving = [view.backwards for view in views if len(view.places) > 1]
    assert np.mean(moving) == pytest.approx(0.5, abs=0.06)
    assert not any(view.backwards for view in views if len(view.places) == 1)
    never = schedule(reversed_share=0.0)
    assert not any(view.backwards for step in range(20) for view in never.views(step))
