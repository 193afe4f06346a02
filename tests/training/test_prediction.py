"""What a model says of held-out clips. C clips, V views, T frames, D embedding, K classes."""

import pytest
import torch
from torch import nn

from training.action_model import ActionModel
from training.held_out import ViewSet
from training.prediction import Seen, answers_of, seen_by, seen_in_passing, top1
from training.run import Run


@pytest.fixture
def decided(model: ActionModel) -> ActionModel:
    """Large random weights where training begins at zero, so that time and class show."""
    torch.manual_seed(0)
    temporal = model.temporal["temporal"]
    nn.init.normal_(temporal.fusion[-1].weight, std=0.3)
    for head in model.heads.values():
        nn.init.normal_(head[1].weight)
        nn.init.normal_(head[-1].weight)
    return model.eval().requires_grad_(False)


@pytest.fixture
def seen(run: Run) -> Seen:
    """3 clips, 2 views, 4 frames."""
    generator = torch.Generator().manual_seed(1)
    embeds = torch.randn(3, 2, 4, run.spec.embed_dim, generator=generator)
    times = torch.arange(4.0).expand(3, 2, -1) + torch.tensor([0.0, 0.5])[:, None]
    return Seen(nn.functional.normalize(embeds, dim=-1), times)


def test_answers_of_several_views_are_the_mean_probability(
    decided: ActionModel, seen: Seen, run: Run
) -> None:
    told = answers_of(decided, seen, run.texts)
    assert list(told) == ["base", "temporal"]
    apart = [
        answers_of(decided, Seen(seen.embeds[:, view, None], seen.times[:, view, None]), run.texts)
        for view in range(2)
    ]
    for name, answers in told.items():
        for part in ("logits", "text_logits"):
            views = [getattr(one[name], part).softmax(dim=1) for one in apart]
            mean = (views[0] + views[1]) / 2
            torch.testing.assert_close(getattr(answers, part).softmax(dim=1), mean)


def test_one_view_is_answered_by_the_model_itself(
    decided: ActionModel, seen: Seen, run: Run
) -> None:
    one = Seen(seen.embeds[:, :1], seen.times[:, :1])
    told = answers_of(decided, one, run.texts)
    for name in decided.kinds:
        served = decided.variant(name).recognise(one.embeds[:, 0], one.times[:, 0])
        torch.testing.assert_close(told[name].logits, served.logits)
        by_text = decided.text_logits(served.embedding, run.texts)
        torch.testing.assert_close(told[name].text_logits, by_text)


def test_many_clips_are_answered_in_their_order(
    decided: ActionModel, seen: Seen, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = answers_of(decided, seen, run.texts)["temporal"].logits
    monkeypatch.setattr("training.prediction.CLIPS_AT_ONCE", 2)
    in_parts = answers_of(decided, seen, run.texts)["temporal"].logits
    torch.testing.assert_close(in_parts, whole)


def test_the_vision_tower_sees_views_kept_or_in_passing_alike(
    decided: ActionModel, run: Run
) -> None:
    generator = torch.Generator().manual_seed(0)
    size = run.spec.preprocessing.image_size
    frames = torch.randint(0, 256, (3, 2, 4, size, size, 3), generator=generator)
    views = ViewSet(frames.to(torch.uint8).numpy(), torch.arange(4.0).expand(3, 2, -1))
    kept = seen_by(decided, views)
    assert kept.embeds.shape == (3, 2, 4, run.spec.embed_dim)
    served = decided.variant("base").encode_frames(torch.from_numpy(views.frames[1]))
    torch.testing.assert_close(kept.embeds[1], served, atol=1e-5, rtol=0)
    parts = [ViewSet(views.frames[some], views.times[some]) for some in (slice(2), slice(2, 3))]
    passing = seen_in_passing(decided, parts)
    torch.testing.assert_close(passing.embeds, kept.embeds, atol=1e-5, rtol=0)
    assert torch.equal(passing.times, kept.times)


def test_some_clips_are_seen_backwards(seen: Seen) -> None:
    chosen = torch.arange(len(seen.embeds)) == 1
    turned = seen.backwards(chosen)
    assert torch.equal(turned.embeds, seen.embeds[chosen].flip(2))
    first, last = seen.times[chosen][..., :1], seen.times[chosen][..., -1:]
    torch.testing.assert_close(turned.times[..., :1], first)
    torch.testing.assert_close(turned.times, (first + last) - seen.times[chosen].flip(2))


def test_shuffled_clips_keep_the_set_of_their_frames_and_their_times(seen: Seen) -> None:
    shuffled = seen.shuffled(0)
    assert torch.equal(shuffled.times, seen.times)
    assert not torch.equal(shuffled.embeds, seen.embeds)
    for mixed, clip in zip(shuffled.embeds.flatten(0, 1), seen.embeds.flatten(0, 1), strict=True):
        rows = {tuple(frame) for frame in clip.tolist()}
        assert {tuple(frame) for frame in mixed.tolist()} == rows
    assert torch.equal(seen.shuffled(0).embeds, shuffled.embeds)
    assert not torch.equal(seen.shuffled(1).embeds, shuffled.embeds)


def test_a_clip_that_stands_still_is_answered_like_its_picture(
    decided: ActionModel, seen: Seen, run: Run
) -> None:
    standing, pictures = seen.standing(), seen.pictures()
    assert standing.embeds.shape == seen.embeds.shape
    assert pictures.embeds.shape[2] == 1
    assert torch.equal(pictures.embeds[:, :, 0], seen.embeds[:, :, 2])
    still = answers_of(decided, standing, run.texts)
    shown = answers_of(decided, pictures, run.texts)
    moving = answers_of(decided, seen, run.texts)
    for name in decided.kinds:
        a, b, c = (told[name].logits.softmax(dim=1) for told in (still, shown, moving))
        assert (a - b).abs().max() < 1e-4
        assert (a - c).abs().max() > 0.01


def test_top1_is_the_share_of_first_answers_that_are_right() -> None:
    logits = torch.tensor([[2.0, 1.0], [0.0, 1.0], [3.0, 0.0], [0.0, 3.0]])
    assert top1(logits, torch.tensor([0, 1, 1, 1])) == 0.75
