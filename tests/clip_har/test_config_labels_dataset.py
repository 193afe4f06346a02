"""Settings tables, a model's description, labels and the manifest of a data set."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field, ValidationError

from clip_har.config import Config
from clip_har.dataset import Clip, DataSet, data_set_from_folder, sample_bytes
from clip_har.labels import rank, sentences
from clip_har.spec import ModelSpec


class Oven(Config):
    heat: int = Field(gt=0)
    """Degrees."""
    name: str
    """What it is called."""


class Kitchen(Config):
    oven: Oven
    """Where things get hot."""


def test_a_table_is_read_from_toml_and_json_alike(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('[oven]\nheat = 200\nname = "old"\n')
    (tmp_path / "a.json").write_text('{"oven": {"heat": 200, "name": "old"}}')
    expected = Kitchen(oven=Oven(heat=200, name="old"))
    assert Kitchen.from_toml(tmp_path / "a.toml") == expected
    assert Kitchen.from_json(tmp_path / "a.json") == expected


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('heat = 200\nname = "old"\ncolour = "red"', r"a\.toml: unknown key 'colour'.*heat, name"),
        ('heat = -3\nname = "old"', r"a\.toml: heat: .*greater than 0.*got -3"),
        ('heat = "hot"\nname = "old"', r"a\.toml: heat: .*integer.*got 'hot'"),
        ("heat = 200", r"a\.toml: .*'name' is missing"),
        ("heat = = 200", r"a\.toml: not valid TOML"),
    ],
)
def test_an_error_names_file_key_and_value(tmp_path: Path, text: str, told: str) -> None:
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(ValueError, match=told):
        Oven.from_toml(tmp_path / "a.toml")


def test_every_error_of_a_file_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('heat = -3\ncolour = "red"')
    with pytest.raises(ValueError, match=r"(?s)a\.toml.*a\.toml.*a\.toml") as caught:
        Oven.from_toml(tmp_path / "a.toml")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_missing_or_binary_file_is_a_user_error(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "a.json"
    if content:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.json: (cannot be read|not valid JSON)"):
        Oven.from_json(path)


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Oven(heat=1, name="a").heat = 2


def table(**changes: object) -> dict[str, Any]:
    """A model's description as a file holds it."""
    preprocessing = {"image_size": 32, "mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]}
    return {
        "backbone": "clip",
        "clip": {},
        "embed_dim": 16,
        "frames": 4,
        "temporal": "mean",
        "labels": ["walking", "running"],
        "prompts": ["a person {}"],
        "preprocessing": preprocessing,
        **changes,
    }


def test_the_sizes_that_a_checkpoint_fixes() -> None:
    assert ModelSpec.from_table(table(), "spec").sizes == {"S": 32, "D": 16, "K": 2}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"labels": ["walking", "running", "walking"]}, r"occur twice: walking\b"),
        ({"labels": ["walking"]}, r"labels: .*at least 2"),
        ({"prompts": ["a person {}", "a person"]}, "'a person' has none"),
        ({"prompts": []}, r"prompts: .*at least 1"),
        ({"temporal": "attention"}, r"temporal: .*'mean' or 'attention_motion'.*got 'attention'"),
        ({"temperature": 0}, r"temperature: .*greater than 0"),
        ({"frames": 0}, r"frames: .*greater than or equal to 1"),
        ({"format": 2}, r"format: .*got 2"),
        ({"dropout": 0.5}, r"unknown key '?dropout"),
    ],
)
def test_an_unusable_description_is_refused(changes: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=rf"spec: .*{told}"):
        ModelSpec.from_table(table(**changes), "spec")


def test_ranking_gives_the_best_first_with_their_places() -> None:
    best = rank([0.2, 0.1, 0.7], ["a", "b", "c"], 2)
    assert [(p.label, p.index, p.score) for p in best] == [("c", 2, 0.7), ("a", 0, 0.2)]
    assert len(rank([0.2, 0.1, 0.7], ["a", "b", "c"], 9)) == 3


def test_equal_probabilities_keep_the_order_of_the_labels() -> None:
    assert [p.label for p in rank([0.3, 0.4, 0.3], ["a", "b", "c"], 3)] == ["b", "a", "c"]


def test_labels_of_another_model_are_refused() -> None:
    with pytest.raises(ValueError, match="3 probabilities for 2 labels"):
        rank([0.2, 0.1, 0.7], ["a", "b"], 1)


def test_a_label_goes_where_the_braces_are_and_nowhere_else() -> None:
    prompts = ["a person {}", "{}: {0} {name}"]
    assert sentences("sits {}", prompts) == ["a person sits {}", "sits {}: {0} {name}"]


def manifest(**changes: object) -> dict[str, Any]:
    clip = {"path": "a.mp4", "label": "up", "sha256": hashlib.sha256(b"media").hexdigest()}
    return {
        "name": "tiny",
        "source": "A test.",
        "labels": ["up", "down"],
        "clips": [clip | {"split": "train", "seconds": 1.0, "frames": 10}],
        **changes,
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "a.mp4").write_bytes(b"media")
    (tmp_path / "manifest.json").write_text(json.dumps(manifest()))
    return tmp_path


def only_clip(data: Path) -> Clip:
    return data_set_from_folder(data).clips[0]


def test_a_listed_file_gives_its_bytes(data: Path) -> None:
    assert sample_bytes(data, only_clip(data)) == b"media"


def test_a_missing_file_is_told(data: Path) -> None:
    (data / "a.mp4").unlink()
    with pytest.raises(ValueError, match=r"a\.mp4: listed in manifest\.json, but missing"):
        sample_bytes(data, only_clip(data))


def test_a_changed_file_is_told(data: Path) -> None:
    (data / "a.mp4").write_bytes(b"MEDIA")
    with pytest.raises(ValueError, match=r"a\.mp4: not the file that manifest\.json lists"):
        sample_bytes(data, only_clip(data))


def test_a_split_without_clips_is_told(data: Path) -> None:
    data_set = data_set_from_folder(data)
    assert [clip.path for clip in data_set.split("train")] == ["a.mp4"]
    with pytest.raises(ValueError, match="tiny: no clip has the split 'val'"):
        data_set.split("val")


def test_a_folder_without_a_manifest_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"manifest\.json: cannot be read"):
        data_set_from_folder(tmp_path)


STILL = {"path": "a.jpg", "label": "aside", "sha256": ""}
PAIR = {"forward": "f", "backward": "b", "label": "up", "reversed_label": "aside"}


@pytest.mark.parametrize(
    "changes",
    [
        {"clips": [STILL | {"split": "val", "seconds": 1, "frames": 1}]},
        {"stills": [STILL]},
        {"pairs": [PAIR]},
        {"reversals": {"up": "aside"}},
        {"reversals": {"aside": "up"}},
    ],
    ids=["clip", "still", "pair", "reversed class", "reversal of"],
)
def test_a_label_that_is_not_listed_is_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not in `labels`: aside"):
        DataSet.from_table(manifest(**changes), "manifest")
