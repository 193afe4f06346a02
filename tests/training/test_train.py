"""Training of the action parts on frozen features."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from clip_har.checkpoint import model_from_checkpoint, tokenizer_from_checkpoint
from clip_har.dataset import DataSet
from clip_har.nn.clip import clip_from_pretrained
from clip_har.nn.model import CLIPHARModel
from clip_har.spec import ModelSpec, Preprocessing
from training.features import FeatureSet
from training.objective import (
    TEMPERATURE_BOUNDS,
    action_loss,
    fitted_temperature,
    reversal_table,
    text_bank,
)
from training.train import Run, TrainConfig, Variant, _batch, _played_backwards, train


def config_for(backbone: Path, **changes: object) -> TrainConfig:
    config = TrainConfig(
        seed=1,
        backbone=str(backbone),
        frames=4,
        train_frames=(3, 5),
        prompts=("a person {}", "a video of a person {}"),
        batch=8,
        warmup=2,
        weight_decay=0.05,
        label_smoothing=0.1,
        text_weight=0.5,
        still_share=0.1,
        crop=0.75,
        noise=0.1,
        reversed_share=0.5,
        variants={
            "base": Variant(temporal="mean", steps=6, learning_rate=3e-3),
            "temporal": Variant(temporal="attention_motion", steps=6, learning_rate=1e-3),
        },
    )
    return config.model_copy(update=changes)


def weights(out: Path, name: str) -> dict[str, torch.Tensor]:
    return load_file(out / name / "model.safetensors")


@pytest.fixture(scope="module")
def trained(backbone: Path, rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with both variants. Not to be changed."""
    out = tmp_path_factory.mktemp("trained") / "run"
    metrics = train(config_for(backbone), rendered, out, "python -m training train")
    assert list(metrics) == ["base", "temporal"]
    return out


@pytest.fixture
def run(by_hand: FeatureSet, tmp_path: Path) -> Run:
    """Class 0 and class 1 are reversals of each other; class 2 has none."""
    labels = ("up", "down", "still")
    data = DataSet(name="d", source="s", labels=labels, clips=())
    table = reversal_table(labels, {"up": "down", "down": "up"})
    spec = ModelSpec(
        backbone="by hand",
        clip={},
        embed_dim=1,
        frames=2,
        temporal="mean",
        labels=labels,
        prompts=("{}",),
        preprocessing=Preprocessing(image_size=1, mean=(0, 0, 0), std=(1, 1, 1)),
    )
    return Run(
        config=config_for(tmp_path, reversed_share=1.0, noise=0.0),
        spec=spec,
        data=data,
        manifest="",
        train=by_hand,
        val=by_hand,
        texts=torch.zeros(3, 1),
        reversed_class=table,
    )


def test_the_reversal_table_has_partners_and_minus_one(run: Run) -> None:
    assert run.reversed_class.tolist() == [1, 0, -1]


def test_played_backwards_turns_only_classes_that_have_a_reversal(run: Run) -> None:
    embeds = torch.arange(9.0).reshape(3, 3, 1)
    times = torch.tensor([[0.5, 1.0, 3.0]]).repeat(3, 1)
    turned, mirrored, truth = _played_backwards(run, embeds, times, torch.tensor([0, 1, 2]))
    assert turned[..., 0].tolist() == [[2, 1, 0], [5, 4, 3], [6, 7, 8]]
    assert mirrored.tolist() == [[0.5, 2.5, 3.0], [0.5, 2.5, 3.0], [0.5, 1.0, 3.0]]
    assert truth.tolist() == [1, 0, 2]


def test_one_frame_has_no_direction_and_keeps_its_class(run: Run) -> None:
    embeds, times = torch.ones(2, 1, 1), torch.ones(2, 1)
    assert _played_backwards(run, embeds, times, torch.tensor([0, 1]))[2].tolist() == [0, 1]


def test_no_clip_is_played_backwards_where_none_is_asked_for(run: Run) -> None:
    run = replace(run, config=run.config.model_copy(update={"reversed_share": 0.0}))
    embeds, times = torch.arange(6.0).reshape(2, 3, 1), torch.arange(3.0).expand(2, -1)
    same = _played_backwards(run, embeds, times, torch.tensor([0, 1]))
    assert torch.equal(same[0], embeds)
    assert torch.equal(same[1], times)
    assert same[2].tolist() == [0, 1]


def test_a_batch_has_the_asked_frames_in_order_of_time(run: Run) -> None:
    torch.manual_seed(0)
    seen = set()
    for _ in range(40):
        embeds, times, truth = _batch(run)
        seen.add(embeds.shape[1])
        assert embeds.shape == (8, times.shape[1], 1)
        assert truth.shape == (8,)
        assert (times.diff(dim=1) >= 0).all()
    assert seen == {1, 3, 5}


def test_two_variants_are_written_whole(trained: Path, backbone: Path) -> None:
    base, temporal = (model_from_checkpoint(trained / name) for name in ("base", "temporal"))
    assert (base.spec.temporal, temporal.spec.temporal) == ("mean", "attention_motion")
    before = clip_from_pretrained(str(backbone)).state_dict()
    for model, name in ((base, "base"), (temporal, "temporal")):
        frozen = model.clip.state_dict()
        assert all(torch.equal(frozen[key], weight) for key, weight in before.items())
        record = json.loads((trained / name / "run.json").read_text())
        assert record["command"] == "python -m training train"
        assert record["metrics"]["val"]["clips"] == 19
        assert model.spec.temperature == pytest.approx(
            record["metrics"]["val"]["temperature"], abs=1e-4
        )
        assert len(tokenizer_from_checkpoint(trained / name, model)) > 0
    assert temporal.temporal.fusion[-1].weight.abs().max() > 0  # it has learned something


def test_a_second_run_is_up_to_date_and_a_changed_one_is_not(
    backbone: Path, rendered: Path, trained: Path, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    config = config_for(backbone)
    assert list(train(config, rendered, out, "")) == ["base", "temporal"]
    written = (out / "base" / "run.json").stat().st_mtime_ns
    assert train(config, rendered, out, "") == {}
    assert (out / "base" / "run.json").stat().st_mtime_ns == written
    (out / "temporal" / "inputs.json").unlink()  # as an interrupted run leaves it
    assert list(train(config, rendered, out, "")) == ["temporal"]
    for name in ("base", "temporal"):
        once, again = weights(trained, name), weights(out, name)
        assert not [key for key in once if not torch.equal(once[key], again[key])]
    other = config.model_copy(update={"seed": 2})
    assert list(train(other, rendered, out, "")) == ["base", "temporal"]
    assert not torch.equal(weights(out, "base")["head.1.weight"], once["head.1.weight"])


def test_a_backbone_that_is_not_there_is_a_user_error(rendered: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nowhere"):
        train(config_for(tmp_path / "nowhere"), rendered, tmp_path / "run", "")


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


@torch.inference_mode()
def test_the_text_bank_is_the_mean_over_prompts(trained: Path) -> None:
    model = CLIPHARModel.from_pretrained(trained / "base")
    tokenizer = tokenizer_from_checkpoint(trained / "base", model)

    def bank(*prompts: str) -> torch.Tensor:
        return text_bank(model.clip, tokenizer, ["running", "jumping"], prompts)

    one, two = bank("a person {}"), bank("someone {}")
    expected = torch.nn.functional.normalize((one + two) / 2, dim=-1)
    torch.testing.assert_close(bank("a person {}", "someone {}"), expected, atol=1e-6, rtol=0)


@torch.inference_mode()
def test_the_loss_is_head_plus_weighted_text_contrast(trained: Path) -> None:
    model = CLIPHARModel.from_pretrained(trained / "base")
    torch.manual_seed(0)
    embeds = torch.nn.functional.normalize(torch.randn(3, 4, 16), dim=-1)
    texts = torch.nn.functional.normalize(torch.randn(17, 16), dim=-1)
    seen, truth = model.recognise(embeds, torch.arange(4.0).expand(3, -1)), torch.tensor([0, 5, 16])
    rows = torch.arange(3)
    by_head = -seen.logits.log_softmax(dim=1)[rows, truth].mean()
    cosine = seen.embedding @ texts.T * model.clip.logit_scale.exp()
    by_text = -cosine.log_softmax(dim=1)[rows, truth].mean()
    loss = action_loss(model, seen, texts, truth, smoothing=0.0, text_weight=0.3)
    torch.testing.assert_close(loss, by_head + 0.3 * by_text)
