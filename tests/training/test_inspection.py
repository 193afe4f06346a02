import io
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import pytest
from PIL import Image
from rich.console import Console

from clip_har.dataset import DataSet, data_set_from_folder
from clip_har.product import file_hash, tree_hash
from training.contact_sheet import BORDER, COLOURS, GAP, MARGIN, SIDE, contact_sheet
from training.inspection import Inspection, Spread, inspect_data_set
from training.inspection_tables import tables

Item = TypeVar("Item")


def silent(items: Iterable[Item], title: str, total: int) -> Iterable[Item]:
    return items


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, movie: Callable[..., bytes]) -> Path:
    """Three classes with leaks, and files that went bad after the import."""
    folder = tmp_path_factory.mktemp("data")
    for name, frames in {"a": 4, "b": 8, "c": 5, "changed": 6, "gone": 7}.items():
        (folder / f"{name}.mp4").write_bytes(movie(frames))
    (folder / "copy.mp4").write_bytes((folder / "a.mp4").read_bytes())
    (folder / "damaged.mp4").write_bytes(b"no video")
    (folder / "still.jpg").write_bytes(jpeg())
    (folder / "frames").mkdir()
    (folder / "frames" / "00001.jpg").write_bytes(jpeg())

    def clip(name: str, label: str, split: str, **more: object) -> dict[str, Any]:
        path = folder / name
        sha256 = tree_hash(path) if path.is_dir() else file_hash(path)
        known = {"path": name, "label": label, "split": split, "sha256": sha256}
        return known | {"seconds": 1.0, "frames": 10} | more

    clips = [
        clip("a.mp4", "walk", "train", group="film 1", seconds=2.0),
        clip("b.mp4", "walk", "val", group="film 1", seconds=4.0),
        clip("copy.mp4", "run", "test"),
        clip("c.mp4", "run", "train", seconds=6.0),
        clip("changed.mp4", "run", "train", seconds=7.0),
        clip("gone.mp4", "[sit]", "train"),
        clip("damaged.mp4", "[sit]", "train"),
        clip("frames", "walk", "test", fps=5.0),
    ]
    still = {"path": "still.jpg", "label": "run", "sha256": file_hash(folder / "still.jpg")}
    table = {
        "name": "tiny",
        "source": "A test.",
        "labels": ["walk", "run", "[sit]"],
        "clips": clips,
        "stills": [still],
    }
    (folder / "manifest.json").write_text(json.dumps(table))
    faults = [{"where": f"{i}", "reason": "missing", "why": "Gone."} for i in range(3)]
    (folder / "quarantine.json").write_text(json.dumps({"faults": faults}))
    (folder / "changed.mp4").write_bytes(movie(3))
    (folder / "gone.mp4").unlink()
    return folder


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (24, 16), (250, 0, 0)).save(file, "JPEG")
    return file.getvalue()


@pytest.fixture(scope="module")
def inspection(data: Path) -> Inspection:
    return inspect_data_set(data, silent)


def test_classes_and_splits_are_counted(inspection: Inspection) -> None:
    assert inspection.classes == {
        "walk": {"train": 1, "val": 1, "test": 1},
        "run": {"train": 2, "test": 1},
        "[sit]": {"train": 2},
    }
    train = inspection.splits["train"]
    assert (train.clips, train.groups, train.seconds) == (5, 1, Spread(1.0, 2.0, 7.0))
    assert inspection.codecs == {"h264": 4, "JPEG": 1}  # of the clips that can be read
    assert inspection.resolutions == {"64x48": 4, "24x16": 1}


def test_files_that_went_bad_are_named(inspection: Inspection) -> None:
    assert [(Path(one.where).name, one.reason) for one in inspection.faults] == [
        ("changed.mp4", "changed"),
        ("gone.mp4", "missing"),
        ("damaged.mp4", "undecodable"),
    ]


def test_content_and_recordings_in_two_splits_are_leaks(inspection: Inspection) -> None:
    assert [(leak.kind, leak.what, leak.places) for leak in inspection.leaks] == [
        ("content", "a.mp4", ("test", "train")),
        ("label", "a.mp4", ("run", "walk")),
        ("group", "film 1", ("train", "val")),
    ]
    assert inspection.leaks[0].paths == ("a.mp4", "copy.mp4")


def test_classes_with_too_few_clips_are_named(inspection: Inspection) -> None:
    assert inspection.thin == {
        "no val clip": ["run", "[sit]"],
        "no test clip": ["[sit]"],
        "fewer than 5 train clips": ["walk", "run", "[sit]"],
    }


def test_tables_tell_all_of_it(inspection: Inspection) -> None:
    console = Console(file=io.StringIO(), width=200)
    with console.capture() as capture:
        for table in tables(inspection):
            console.print(table)
    printed = capture.get()
    for told in ("[sit]", "film 1", "gone.mp4", "1, 2, 7", "fewer than 5 train clips", "24x16"):
        assert told in printed
    assert inspection.quarantined == {"missing": 3}
    assert "left out by the import" in printed


def test_a_sound_data_set_has_nothing_to_tell(mocap: Path) -> None:
    inspection = inspect_data_set(mocap, silent)
    assert (inspection.faults, inspection.leaks, inspection.quarantined) == ((), (), {})
    assert {table.title for table in tables(inspection)}.isdisjoint(
        {"leaks", "files that cannot be used"}
    )


def test_a_contact_sheet_frames_each_clip_in_the_colour_of_its_split(data: Path) -> None:
    data_set = data_set_from_folder(data)
    sheet = Image.open(io.BytesIO(contact_sheet(data, data_set))).convert("RGB")
    step = SIDE + 2 * BORDER + GAP

    def colour(column: int, row: int, inside: int) -> str:
        place = (MARGIN + column * step + inside, 28 + row * step + inside)
        return "#{:02x}{:02x}{:02x}".format(*sheet.getpixel(place))

    middle = SIDE // 2
    assert [colour(column, 0, 1) for column in (0, 3, 6)] == list(COLOURS.values())
    assert colour(1, 0, 1) == "#ffffff"  # there is one training clip
    assert colour(6, 0, middle).startswith("#f")  # the red frame of the folder
    assert colour(0, 2, middle) == colour(1, 2, middle) == "#bbbbbb"  # gone, damaged


def test_a_contact_sheet_of_many_classes_says_what_it_leaves_out(data: Path) -> None:
    def height(classes: int) -> int:
        labels = ("walk", "run", "[sit]", *(f"class {i}" for i in range(classes - 3)))
        data_set = DataSet(name="many", source="A test.", labels=labels, clips=())
        return Image.open(io.BytesIO(contact_sheet(data, data_set))).size[1]

    assert height(30) < height(60) == height(90)
