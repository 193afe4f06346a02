"""Settings that cannot work are refused before anything runs, in words that help."""

from pathlib import Path
from typing import Any

import pytest

from training.settings import Stage, TrainConfig

CONFIGS = sorted((Path(__file__).parents[2] / "configs").glob("*.toml"))
FROZEN = {"trains": "frozen", "epochs": 1, "batch": 8, "learning_rate": 1e-3}
LORA = {**FROZEN, "trains": "lora", "encoder_learning_rate": 1e-3, "blocks": 1}
TABLE: dict[str, Any] = {
    "seed": 1,
    "backbone": "openai/clip-vit-base-patch16",
    "frames": 8,
    "train_frames": [8],
    "prompts": ["a person {}"],
    "variants": {"base": {"temporal": "mean"}, "temporal": {"temporal": "attention_motion"}},
    "stages": {"frozen": FROZEN, "lora": LORA},
}


def refused(**changes: Any) -> str:
    with pytest.raises(ValueError, match=r"^settings\.toml: ") as caught:
        TrainConfig.from_table({**TABLE, **changes}, "settings.toml")
    return str(caught.value)


def stage(**changes: Any) -> dict[str, Any]:
    return {"stages": {"only": {**LORA, **changes}}}


def test_the_table_as_it_stands_is_accepted_and_the_last_variant_decides() -> None:
    config = TrainConfig.from_table(TABLE, "settings.toml")
    assert config.main_variant == "temporal"
    assert config.model_copy(update={"main": "base"}).main_variant == "base"


@pytest.mark.parametrize(
    "path", [p for p in CONFIGS if "[stages." in p.read_text()], ids=lambda path: path.stem
)
def test_published_settings_are_accepted(path: Path) -> None:
    config = TrainConfig.from_toml(path)
    assert config.stages


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"learning_rate": 1e-3}, ["unknown key 'learning_rate'", "Known keys: seed, backbone"]),
        (stage(rate=1), ["unknown key 'stages.only.rate'"]),
        ({"alpha": "sweep"}, ['alpha = "sweep" needs `held_out_labels`', "give alpha as a number"]),
        ({"alpha": 1.5}, ["alpha = 1.5 must lie between 0 and 1"]),
        ({"alpha": "sweeping"}, ["alpha"]),
        ({"main": "both"}, ["main = 'both' is none of the variants: base, temporal"]),
        (
            {"stages": {"first": LORA, "second": FROZEN}},
            ["come before the stages that change it", "the order is lora, frozen"],
        ),
        (
            {"stages": {"only": {**FROZEN, "augmentation": {"colour": 0.5}}}},
            ["embeddings that are computed once", "no `augmentation`", "choose `lora`"],
        ),
        (stage(batch=9, accumulate=2), ["batch = 9", "accumulate = 2", "choose a multiple"]),
        (stage(blocks=0), ["a `lora` stage needs `blocks`"]),
        (stage(trains="unfrozen", encoder_learning_rate=0), ["a `unfrozen` stage needs `blocks`"]),
        (stage(trains="everything"), ["stages.only.trains", "'frozen', 'lora' or 'unfrozen'"]),
        ({"stages": {}}, ["stages"]),
        ({"variants": {"base": {"temporal": "lstm"}}}, ["variants.base.temporal"]),
    ],
)
def test_what_cannot_work_is_refused_with_help(changes: dict[str, Any], told: list[str]) -> None:
    message = refused(**changes)
    assert [part for part in told if part not in message] == [], message


def test_steps_are_rounded_and_never_none() -> None:
    one = Stage.model_validate({**FROZEN, "epochs": 2.5})
    assert [one.steps(clips) for clips in (1, 16, 17)] == [1, 5, 5]
