"""What learns in each kind of stage, how fast, and what is left of it afterwards."""

from collections.abc import Iterator
from copy import deepcopy

import pytest
import torch
from torch import Tensor

from training.action_model import ActionModel
from training.averaging import trained_weights
from training.objective import action_loss
from training.run import Run
from training.settings import Stage, TrainConfig
from training.stages import begin_stage, end_stage, parameter_groups

LAST_BLOCK = "clip.vision_model.encoder.layers.1."
ACTION_PARTS = ("temporal.", "heads.")
KINDS = ("frozen", "lora", "unfrozen")


def stage(config: TrainConfig, name: str, **changes: object) -> Stage:
    return config.stages[name].model_copy(update=changes)


def answers(model: ActionModel, run: Run, distil: bool = False) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    size = run.spec.preprocessing.image_size
    shape = (3, 4, size, size, 3)
    frames = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    times = torch.arange(4.0).expand(3, -1)
    pretrained = torch.randn(3, run.spec.embed_dim, generator=generator) if distil else None
    return model(frames, times, run.texts, pretrained)


def learn(model: ActionModel, run: Run, settings: Stage) -> None:
    """Three steps of a stage."""
    optimizer = torch.optim.AdamW(parameter_groups(model, run.config, settings))
    targets = torch.eye(len(run.spec.labels))[:3]
    for _ in range(3):
        optimizer.zero_grad()
        told = answers(model, run, bool(settings.distillation))
        action_loss(told, targets, model.kinds, settings).backward()
        optimizer.step()


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return request.param


def test_a_frozen_stage_learns_the_action_parts_alone(model: ActionModel, run: Run) -> None:
    begin_stage(model, stage(run.config, "frozen", distillation=0.0))
    names = set(trained_weights(model))
    assert all(name.startswith(ACTION_PARTS) for name in names)
    parts = {name.split(".")[0] + "." + name.split(".")[1] for name in names}
    assert parts == {"temporal.temporal", "heads.base", "heads.temporal"}  # a mean has no weights


def test_lora_learns_low_rank_additions_to_the_last_blocks_alone(
    model: ActionModel, run: Run
) -> None:
    begin_stage(model, stage(run.config, "lora", blocks=1, distillation=0.0))
    of_clip = {n: w for n, w in trained_weights(model).items() if not n.startswith(ACTION_PARTS)}
    assert of_clip
    assert all("layers.1." in name and ".lora_" in name for name in of_clip)
    assert {min(weight.shape) for weight in of_clip.values()} == {2}  # lora_rank
    begun = run.begun()
    begin_stage(begun, stage(run.config, "lora", blocks=2))
    assert {1, 0} == {int("layers.1." in n) for n in trained_weights(begun) if ".lora_" in n}


def test_an_unfrozen_stage_learns_the_last_blocks_the_projection_and_the_scale(
    model: ActionModel, run: Run
) -> None:
    begin_stage(model, stage(run.config, "unfrozen", blocks=1))
    of_clip = {name for name in trained_weights(model) if name.startswith("clip.")}
    others = {name for name in of_clip if not name.startswith(LAST_BLOCK)}
    assert len(of_clip - others) == 16
    assert others == {
        "clip.logit_scale",
        "clip.visual_projection.weight",
        "clip.vision_model.post_layernorm.weight",
        "clip.vision_model.post_layernorm.bias",
    }


def test_the_distiller_learns_where_something_is_distilled(model: ActionModel, run: Run) -> None:
    for weight, learns in ((0.5, True), (0.0, False)):
        begin_stage(model, stage(run.config, "unfrozen", distillation=weight))
        assert any("distiller" in name for name in trained_weights(model)) == learns


def test_more_blocks_than_there_are_are_refused(model: ActionModel, run: Run) -> None:
    with pytest.raises(ValueError, match=r"blocks = 3, but the vision tower has 2"):
        begin_stage(model, stage(run.config, "lora", blocks=3))


def test_a_stage_changes_what_learns_and_nothing_else(
    model: ActionModel, run: Run, kind: str
) -> None:
    before = deepcopy(model.state_dict())
    settings = stage(run.config, kind)
    begin_stage(model, settings)
    learn(model, run, settings)
    end_stage(model, settings)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert not any(parameter.requires_grad for parameter in model.parameters())
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    of_clip = {name for name in changed if name.startswith("clip.")}
    assert "heads.base.1.weight" in changed
    assert "temporal.temporal.fusion.2.weight" in changed
    assert not any("text" in name for name in of_clip)
    if kind == "frozen":
        assert of_clip == set()
    elif kind == "lora":
        assert of_clip
        assert all(name.startswith(LAST_BLOCK) for name in of_clip)
        assert all(name.endswith("weight") for name in of_clip)
    else:
        assert {"clip.logit_scale", LAST_BLOCK + "mlp.fc1.weight"} <= of_clip
        assert not any("layers.0." in name or "embeddings" in name for name in of_clip)


def test_merged_lora_is_a_plain_clip_that_answers_the_same(model: ActionModel, run: Run) -> None:
    settings = stage(run.config, "lora")
    begin_stage(model, settings)
    learn(model, run, settings)
    model.eval()
    with torch.inference_mode():
        wrapped = answers(model, run)
    end_stage(model, settings)
    assert type(model.clip) is type(run.clip)
    assert model.clip.state_dict().keys() == run.clip.state_dict().keys()
    with torch.inference_mode():
        for name, merged in answers(model, run).items():
            torch.testing.assert_close(merged, wrapped[name], atol=2e-5, rtol=1e-4)


def rates(model: ActionModel, run: Run, settings: Stage) -> dict[str, tuple[float, float]]:
    """Peak learning rate and weight decay of each weight that learns, by name."""
    begin_stage(model, settings)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = parameter_groups(model, run.config, settings)
    return {
        names[id(parameter)]: (group["lr"], group["weight_decay"])
        for group in groups
        for parameter in group["params"]
    }


def test_earlier_blocks_learn_more_slowly(model: ActionModel, run: Run) -> None:
    changes = {"learning_rate": 1.0, "encoder_learning_rate": 0.1, "layer_decay": 0.5}
    found = rates(model, run, stage(run.config, "unfrozen", blocks=2, **changes))
    assert found.keys() == trained_weights(model).keys()

    def rate(name: str) -> float:
        return found[name][0]

    assert rate("clip.visual_projection.weight") == pytest.approx(0.1)
    assert rate("clip.logit_scale") == pytest.approx(0.1)
    assert rate(LAST_BLOCK + "mlp.fc1.weight") == pytest.approx(0.1)
    assert rate(LAST_BLOCK.replace("1", "0") + "mlp.fc1.weight") == pytest.approx(0.05)
    assert rate("heads.temporal.1.weight") == pytest.approx(1.0)
    assert rate("heads.base.1.weight") == pytest.approx(2.0)  # its variant's own rate


def test_lora_learns_at_the_encoders_rate(model: ActionModel, run: Run) -> None:
    found = rates(model, run, stage(run.config, "lora", encoder_learning_rate=0.3))
    assert {rate for name, (rate, _) in found.items() if ".lora_" in name} == {0.3}


def test_biases_norms_and_the_scale_do_not_decay(model: ActionModel, run: Run) -> None:
    found = rates(model, run, stage(run.config, "unfrozen", weight_decay=0.2))

    def decays(*ends: str) -> Iterator[float]:
        return (decay for name, (_, decay) in found.items() if name.endswith(ends))

    assert set(decays("bias", "logit_scale", "layer_norm1.weight", "norms.0.weight")) == {0.0}
    assert set(decays("q_proj.weight", "fc1.weight", "fusion.0.weight")) == {0.2}
