"""Every training recipe in configs/ can be read, and its comment says how to use it."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
from accelerate.commands.launch import launch_command_parser
from typer.main import get_command

from training.__main__ import app
from training.augmentation import check_flip, flip_table
from training.importers.formats import IMPORTERS
from training.settings import TrainConfig

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
RECIPES = sorted(path for path in CONFIGS.glob("*.toml") if "[stages." in path.read_text())
PUBLISHED = [path for path in RECIPES if path.stem not in ("demo", "mocap")]
"""Those of data sets that this project does not have."""
USAGE_ERROR: Any = typer.BadParameter.__base__
SSV2 = (
    "opening something",
    "plugging something into something but pulling it right out as you remove your hand",
    "pulling something from left to right",
    "pulling something from right to left",
    "pushing something from left to right",
    "pushing something from right to left",
    "turning the camera left while filming something",
    "turning the camera right while filming something",
)
"""One of its labels, and all of the 174 with `left` or `right` among their words, as imported."""


def comment(recipe: Path) -> str:
    """What stands before the first setting."""
    lines = recipe.read_text().split("\nseed")[0].splitlines()
    assert all(line.startswith("#") for line in lines)
    return "\n".join(line[1:].strip() for line in lines)


def commands(recipe: Path) -> list[str]:
    """The lines of a comment that can be run."""
    return re.findall(r"^((?:python|accelerate) .+)$", comment(recipe), re.M)


def our_words(command: str) -> list[str]:
    """What a command hands to `python -m training`; the launcher's own options are checked."""
    words = shlex.split(command)
    if words[0] == "accelerate":
        launched = launch_command_parser().parse_args(words[2:])
        assert (launched.module, launched.training_script) == (True, "training")
        return launched.training_script_args
    assert words[:3] == ["python", "-m", "training"]
    return words[3:]


def parsed(command: str) -> tuple[str, dict[str, Any]]:
    """Name and parameters of a command; raises a usage error like the command line."""
    group: Any = get_command(app)
    words = our_words(command)
    with group.make_context("training", list(words)) as context:
        name, chosen, arguments = group.resolve_command(context, words)
        return name, chosen.make_context(name, arguments, parent=context).params


def test_there_are_recipes_for_five_published_data_sets() -> None:
    names = {path.stem for path in PUBLISHED}
    assert names == {"ucf101", "hmdb51", "kinetics400", "ssv2", "har15-images"}


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_a_recipe_can_be_read_and_serves_what_it_trains(recipe: Path) -> None:
    config = TrainConfig.from_toml(recipe)
    assert all("{}" in prompt for prompt in config.prompts)
    assert config.frames in config.train_frames
    assert config.cached_frames >= max(config.train_frames)
    still = config.frames == 1
    assert still == all(one.temporal == "mean" for one in config.variants.values())


@pytest.mark.parametrize("recipe", PUBLISHED, ids=lambda path: path.stem)
def test_a_recipe_of_published_data_starts_from_openais_clip_in_stages(recipe: Path) -> None:
    config = TrainConfig.from_toml(recipe)
    assert config.backbone == "openai/clip-vit-base-patch16"
    assert config.train_frames == ((1,) if config.frames == 1 else (4, 8, 16))
    kinds = [stage.trains for stage in config.stages.values()]
    assert kinds[0] == "frozen"
    assert kinds[-1] == "unfrozen"
    for stage in config.stages.values():
        assert stage.batch % (8 * stage.accumulate) == 0  # for 1, 2, 4 or 8 GPUs


@pytest.mark.parametrize("recipe", PUBLISHED, ids=lambda path: path.stem)
def test_the_commands_of_a_recipe_lead_from_files_to_figures(recipe: Path) -> None:
    told = [parsed(command) for command in commands(recipe)]
    by_name: dict[str, list[dict[str, Any]]] = {}
    for name, parameters in told:
        by_name.setdefault(name, []).append(parameters)
    assert set(by_name) == {"import", "inspect", "train", "evaluate"}
    made = by_name["import"][0]
    assert made["layout"] in IMPORTERS
    assert by_name["inspect"][0]["data"] == made["out"]
    assert {one["config"] for one in by_name["train"]} == {recipe.relative_to(CONFIGS.parent)}
    assert {one["data"] for one in by_name["train"]} == {made["out"]}
    assert {one["backbone"] for one in by_name["train"]} == {None, "openai/clip-vit-base-patch32"}
    trained = {one["out"] for one in by_name["train"]}
    assert len(trained) == 2  # one a backbone
    assert {one["checkpoint"] for one in by_name["evaluate"]} <= trained
    outs = [one["out"] for one in by_name["evaluate"]]
    assert None not in outs
    assert len(set(outs)) == len(outs)
    assert any(one["protocol"] for one in by_name["evaluate"])


@pytest.mark.parametrize("recipe", PUBLISHED, ids=lambda path: path.stem)
def test_a_recipe_tells_whose_its_numbers_are(recipe: Path) -> None:
    told = " ".join(comment(recipe).split())
    assert "Nobody has run this file" in told
    assert "Every number below is another project's." in told
    assert re.search(r"Expected.*sources?: .*README", told)
    assert "clips x crops" in told
    assert "Different here" in told or "Do not expect" in told
    assert "Download" in told or "download" in told


@pytest.mark.parametrize("command", ["python -m training train x --no-such", "accelerate launch x"])
def test_a_wrong_command_would_be_found(command: str) -> None:
    with pytest.raises((USAGE_ERROR, AssertionError)):
        parsed(command)


@pytest.mark.parametrize("stage", ["lora", "unfrozen"])
def test_clips_of_something_something_are_not_mirrored_but_could_be(stage: str) -> None:
    augmentation = TrainConfig.from_toml(CONFIGS / "ssv2.toml").stages[stage].augmentation
    assert augmentation.flip == 0
    check_flip(SSV2, augmentation)
    flipping = augmentation.model_copy(update={"flip": 0.5})
    assert flip_table(SSV2, flipping).tolist() == [0, 1, 3, 2, 5, 4, 7, 6]
    with pytest.raises(ValueError, match="would keep a label"):
        check_flip(SSV2, flipping.model_copy(update={"flip_labels": {}}))


def test_the_recipe_for_names_elsewhere_keeps_them_in_every_stage() -> None:
    stages = TrainConfig.from_toml(CONFIGS / "kinetics400.toml").stages
    assert all(stage.distillation for stage in stages.values())
