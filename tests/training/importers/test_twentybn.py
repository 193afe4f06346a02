"""Something-Something V2 and Jester in their published layouts."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from training.importers.listing import Listing

Listed = Callable[..., Listing]


@pytest.fixture
def ssv2(tmp_path: Path, media: Any) -> Path:
    root = tmp_path / "ssv2"
    (root / "labels").mkdir(parents=True)
    names = {"Holding something next to something": "1", "Approaching something": "0"}
    holding = "Holding [something] next to [something]"
    train = [
        {"id": "1", "label": "holding a cup", "template": holding, "placeholders": ["a cup"]},
        {"id": "2", "label": "x", "template": "Approaching [something]", "placeholders": ["x"]},
        {"id": "3", "label": "x", "template": "Eating [something]", "placeholders": ["x"]},
        {"label": "x", "template": holding},
    ]
    for name, table in {
        "labels": names,
        "train": train,
        "validation": [{"id": "4", "label": "x", "template": holding, "placeholders": []}],
        "test": [{"id": "5"}],
    }.items():
        (root / "labels" / f"{name}.json").write_text(json.dumps(table))
    media.write(*(root / "20bn-something-something-v2" / f"{i}.webm" for i in (1, 2, 3, 4, 5)))
    return root


def test_ssv2_strips_brackets_and_orders_classes_by_number(ssv2: Path, listed: Listed) -> None:
    listing = listed("ssv2", ssv2)
    assert listing.labels == ("approaching something", "holding something next to something")
    assert [(e.path.name, e.label, e.split) for e in listing.entries] == [
        ("1.webm", "holding something next to something", "train"),
        ("2.webm", "approaching something", "train"),
        ("4.webm", "holding something next to something", "test"),
    ]
    assert [(f.where.rpartition(":")[2], f.reason) for f in listing.faults] == [
        ("entry 3 (id 3)", "label"),
        ("entry 4 (id None)", "label"),
    ]


def test_a_list_that_is_no_json_is_told(ssv2: Path, listed: Listed) -> None:
    (ssv2 / "labels" / "train.json").write_text('[{"id": "1"')
    with pytest.raises(ValueError, match=r"train\.json: expected a list of .*cannot be read"):
        listed("ssv2", ssv2)


def test_jester_clips_are_frame_folders_at_twelve_frames_a_second(
    tmp_path: Path, media: Any, listed: Listed
) -> None:
    (tmp_path / "jester-v1-labels.csv").write_text("Swiping Left\nThumb Up\nDoing other things\n")
    (tmp_path / "jester-v1-train.csv").write_bytes(
        b"34870;Thumb Up\r\n7;Doing other things\r\n8;Thumbs Down\r\n9;Thumb Up\r\n"
    )
    (tmp_path / "jester-v1-validation.csv").write_text("9223;Swiping Left\n\n")
    (tmp_path / "jester-v1-test.csv").write_text("55\n")
    for clip in ("34870", "7", "9223", "55"):
        media.frames(tmp_path / "20bn-jester-v1" / clip, ["00001.jpg"])
    listing = listed("jester", tmp_path)
    assert listing.labels == ("swiping left", "thumb up", "doing other things")
    assert [(e.path.name, e.label, e.split, e.fps) for e in listing.entries] == [
        ("34870", "thumb up", "train", 12.0),
        ("7", "doing other things", "train", 12.0),
        ("9223", "swiping left", "test", 12.0),
    ]
    assert [(f.where.rpartition("/")[2], f.reason) for f in listing.faults] == [
        ("jester-v1-train.csv:3", "label"),
        ("jester-v1-train.csv:4", "missing"),
    ]
