"""What training minimises. B clips, D embedding, K classes."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from clip_har.nn.clip import clip_from_pretrained, tokenizer_from_pretrained
from clip_har.nn.head import TEMPERATURE_BOUNDS, fitted_temperature
from clip_har.nn.text_bank import text_bank
from training.action_model import MOST_LOGIT_SCALE, ActionModel, Distiller
from training.objective import action_loss, contrastive_loss
from training.run import Run
from training.settings import Stage

STAGE = Stage(
    trains="frozen",
    epochs=1,
    batch=4,
    learning_rate=1e-3,
    label_smoothing=0.1,
    text_weight=0.3,
)


def made(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def soft_targets() -> Tensor:
    """Two clips of one class, two that are mixed."""
    return torch.tensor([[1.0, 0, 0], [1.0, 0, 0], [0.3, 0.7, 0], [0, 0.2, 0.8]])


def test_contrast_with_soft_pairs_shares_every_row_and_every_column() -> None:
    logits, pairs = made(0, 4, 3), soft_targets()
    rows, columns = logits.log_softmax(dim=1), logits.log_softmax(dim=0)
    by_row = -(pairs * rows).sum() / 4
    shares = pairs / pairs.sum(dim=0)
    by_column = -(shares * columns).sum() / 3
    torch.testing.assert_close(contrastive_loss(logits, pairs), (by_row + by_column) / 2)


def test_smoothing_is_over_the_texts_of_an_image() -> None:
    logits, pairs = made(1, 3, 3), torch.eye(3)
    rows, columns = logits.log_softmax(dim=1), logits.log_softmax(dim=0)
    smooth = 0.8 * torch.eye(3) + 0.2 / 3
    by_row, by_column = -(smooth * rows).sum() / 3, -(pairs * columns).sum() / 3
    torch.testing.assert_close(contrastive_loss(logits, pairs, 0.2), (by_row + by_column) / 2)


def test_the_loss_is_head_plus_weighted_text_contrast_of_every_variant() -> None:
    targets, names = soft_targets(), ("base", "temporal")
    answers = {
        f"{name}.{part}": made(seed, 4, 3)
        for seed, (name, part) in enumerate(
            (name, part) for name in names for part in ("logits", "text_logits")
        )
    }
    expected = torch.zeros(())
    for name in names:
        smooth = 0.9 * targets + 0.1 / 3
        by_head = -(smooth * answers[f"{name}.logits"].log_softmax(dim=1)).sum() / 4
        by_text = contrastive_loss(answers[f"{name}.text_logits"], targets, 0.1)
        expected = expected + by_head + 0.3 * by_text
    torch.testing.assert_close(action_loss(answers, targets, names, STAGE), expected)
    one = action_loss(answers, targets, names[:1], STAGE)
    other = action_loss(answers, targets, names[1:], STAGE)
    torch.testing.assert_close(one + other, expected)
    distilled = {**answers, "distance": torch.tensor([0.1, 0.2, 0.3, 0.4])}
    stage = STAGE.model_copy(update={"distillation": 2.0})
    torch.testing.assert_close(
        action_loss(distilled, targets, names, stage), expected + torch.tensor(0.5)
    )


def test_distillation_is_nothing_where_tuned_equals_pretrained() -> None:
    distiller, tuned = Distiller(8), F.normalize(made(0, 5, 8), dim=-1)
    torch.testing.assert_close(distiller(tuned, tuned), torch.zeros(5), atol=1e-6, rtol=0)
    other = F.normalize(made(1, 5, 8), dim=-1)
    expected = 1 - (tuned * other).sum(dim=-1)  # it begins as a plain cosine
    torch.testing.assert_close(distiller(tuned, other), expected)
    distiller(tuned, other).sum().backward()
    last = distiller.project[-1]
    assert last.weight.grad is not None
    assert last.weight.grad.abs().sum() > 0


def test_distance_is_told_where_there_is_a_pretrained_answer(model: ActionModel, run: Run) -> None:
    embeds = F.normalize(made(0, 3, 4, run.spec.embed_dim), dim=-1)
    times = torch.arange(4.0).expand(3, -1)
    assert "distance" not in model(embeds, times, run.texts)
    mean = embeds.mean(dim=1)
    told = model(embeds, times, run.texts, mean)
    torch.testing.assert_close(told["distance"], torch.zeros(3), atol=1e-6, rtol=0)


@torch.inference_mode()
def test_distance_is_that_of_what_each_variant_makes_of_a_clip(
    model: ActionModel, run: Run
) -> None:
    embeds = F.normalize(made(0, 3, 4, run.spec.embed_dim), dim=-1)
    times, mean = torch.arange(4.0).expand(3, -1), embeds.mean(dim=1)
    model.temporal["temporal"].fusion[-1].bias.add_(1)
    apart = 1 - F.cosine_similarity(model.temporal["temporal"](embeds, times), mean, dim=-1)
    assert apart.min() > 0.01
    told = model(embeds, times, run.texts, mean)["distance"]
    torch.testing.assert_close(told, apart / 2)  # a mean of frames is where it was


def test_the_scale_of_text_logits_is_bounded(model: ActionModel, run: Run) -> None:
    with torch.no_grad():
        model.clip.logit_scale.fill_(10.0)
        logits = model.text_logits(run.texts[:1], run.texts[:1])
    assert float(logits) == pytest.approx(MOST_LOGIT_SCALE, rel=1e-5)


def test_text_logits_and_the_distance_stay_in_fp32_where_towers_run_in_bf16(
    model: ActionModel, run: Run
) -> None:
    torch.nn.init.normal_(model.distiller.project[2].weight)
    with torch.no_grad():
        told = model.text_logits(run.texts, run.texts), model.distiller(run.texts, run.texts)
        with torch.autocast("cpu", torch.bfloat16):
            mixed = model.text_logits(run.texts, run.texts), model.distiller(run.texts, run.texts)
    assert [one.dtype for one in mixed] == [torch.float32] * 2
    for ours, theirs in zip(mixed, told, strict=True):
        torch.testing.assert_close(ours, theirs)


@torch.inference_mode()
def test_the_text_bank_is_the_mean_over_prompts(small_clip: Path) -> None:
    clip = clip_from_pretrained(str(small_clip))
    tokenizer = tokenizer_from_pretrained(str(small_clip), clip.config)

    def bank(*prompts: str) -> Tensor:
        return text_bank(clip, tokenizer, ["running", "jumping"], prompts)

    one, two = bank("a person {}"), bank("someone {}")
    expected = F.normalize((one + two) / 2, dim=-1)
    torch.testing.assert_close(bank("a person {}", "someone {}"), expected, atol=1e-6, rtol=0)


def test_the_temperature_of_known_logits_is_recovered() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(20_000, 5, generator=generator) * 2
    truth = torch.multinomial((logits / 2.5).softmax(dim=1), 1, generator=generator)[:, 0]
    assert fitted_temperature(logits, truth) == pytest.approx(2.5, rel=0.05)


@pytest.mark.parametrize(("right", "bound"), [(True, 0), (False, 1)])
def test_the_temperature_stays_within_its_bounds(right: bool, bound: int) -> None:
    truth = torch.arange(6) % 3
    logits = torch.eye(3)[truth if right else (truth + 1) % 3] * 8
    fitted = fitted_temperature(logits, truth)
    low, high = TEMPERATURE_BOUNDS
    assert low <= fitted * (1 + 1e-6)
    assert fitted <= high * (1 + 1e-6)
    assert (fitted < 1) == (bound == 0)
